"""What a search starts from: the checkpoints of its networks, the space of their schedules, named ones to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vipnas_cli.bundle.reader import MANIFEST, bundled_weights
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.inference.frozen import load_key
from vipnas_cli.nets.checkpoints import (
    SUPER_NETS,
    kind_of,
    load_checkpoint,
    load_pose_net,
    load_super_net,
    space_of_header,
)
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.search.candidate import Prices
from vipnas_cli.spec import PRESETS, Budget, CycleSpace, FusionSpec, Plan, Schedule, key_space_of
from vipnas_cli.spec.presets import DETECTOR

# Presets that cost more than this share of the budget tell nothing about networks within it.
PRESET_REACH = 1.5


@dataclass(frozen=True)
class Files:
    """The checkpoints that a search uses: key networks (or their super-network), and followers."""

    key: Path
    followers: Path | None
    key_is_super_net: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that there are."""
        return (self.key,) if self.followers is None else (self.key, self.followers)


def find_files(mode: str, weights: Sequence[Path] = (), key: Path | None = None, space: str | None = None) -> Files:
    """The checkpoints that were named, bundled ones otherwise; WeightsError or UsageError if they do not suffice.

    `space` is the family of the searched key networks.
    """
    if space is not None and mode == "temporal":
        raise UsageError(
            "--space names the family of searched key networks, which temporal has none of", "leave it out"
        )
    if key is not None and mode != "temporal":
        raise UsageError(f"--key names the fixed key network of temporal, and {mode} searches for one", "leave it out")
    kinds = {path: _kind(path) for path in weights or _bundled("*supernet*.safetensors")}
    wrong = [path for path, kind in kinds.items() if kind.name not in SUPER_NETS]
    if wrong:
        raise WeightsError(f"{wrong[0]} is no super-network", "a fixed key network is named with --key")
    if mode == "spatial":
        return Files(_named(kinds, "spatial", space), None, key_is_super_net=True)
    followers = _named(kinds, "temporal")
    if mode == "joint":
        return Files(_named(kinds, "spatial", space), followers, key_is_super_net=True)
    keys = [key] if key else _bundled("key-*.safetensors")
    if not keys:
        raise WeightsError("no key network comes with this installation", "name a checkpoint with --key")
    return Files(keys[-1], followers)


@dataclass(frozen=True)
class Kind:
    """What a checkpoint holds, and for super-networks the family of their space."""

    name: str
    family: str = ""


def _bundled(pattern: str) -> list[Path]:
    return sorted(bundled_weights().glob(pattern))


def _kind(path: Path) -> Kind:
    """What a checkpoint holds."""
    header = load_checkpoint(path)[1]
    kind = kind_of(header)
    return Kind(kind, space_of_header(header, path).family if kind in SUPER_NETS else "")


def _named(found: dict[Path, Kind], kind: str, family: str | None = None) -> Path:
    """The last super-network of a kind, and of a family if one is named."""
    wanted = [path for path, own in found.items() if own.name == kind and family in (None, own.family)]
    if wanted:
        return wanted[-1]
    what = f"{kind} super-network" + (f" of family {family}" if family else "")
    told = ", ".join(f"{path} ({own.name}, {own.family})" for path, own in found.items())
    missing = f"{told} is no {what}" if told else f"no {what} comes with this installation"
    raise WeightsError(missing, f"train one with `vipnas train {kind}` and name it with --weights")


def load_networks(files: Files) -> Networks:
    """The networks of checkpoints; WeightsError if they do not fit each other."""
    key = load_super_net(files.key).eval() if files.key_is_super_net else load_key(files.key)
    followers = load_super_net(files.followers) if files.followers else None
    if followers is not None and followers.keypoints != key.keypoints:
        raise WeightsError(
            f"{files.key} knows {key.keypoints} keypoints, {files.followers} {followers.keypoints}",
            "name networks of the same keypoints",
        )
    return Networks(key, followers and followers.eval())


def load_compared(path: Path, networks: Networks) -> PoseNet:
    """A trained network to compare a search with; WeightsError for one of other keypoints."""
    net = load_pose_net(path).eval()
    if net.final.out_channels != networks.key.keypoints:
        raise WeightsError(
            f"{path} knows {net.final.out_channels} keypoints, the searched networks {networks.key.keypoints}",
            "name networks of the same keypoints",
        )
    return net


def space_of_networks(networks: Networks, lengths: tuple[int, ...]) -> CycleSpace:
    """The schedules whose networks can be taken from the super-networks."""
    if not isinstance(networks.followers, SuperNet):
        assert isinstance(networks.key, SuperNet), "without followers the key network is searched"
        return CycleSpace(networks.key.space, networks.key.space, lengths)
    key = networks.key.space if isinstance(networks.key, SuperNet) else key_space_of(networks.key.plan)
    return CycleSpace(key, networks.followers.space, lengths, (FusionSpec(), *networks.followers.fusion_specs))


def preset_schedules(space: CycleSpace, budget: Budget) -> tuple[Schedule, ...]:
    """Named architectures at every input size, the same for all followers, as far as the space has them."""
    found = []
    length, key_space = max(space.lengths), space.key_space
    fusion = max(space.fusions, key=lambda f: (f.operation == "cat", -f.stage))
    for arch in (arch for arch in PRESETS.values() if arch != DETECTOR):
        key = key_space.largest if key_space.size == 1 else arch
        for height, width in space.follower_space.sizes:
            sized = replace(arch, height=height, width=width)
            plans = [Plan(key if length > 1 else sized), *[Plan(sized, fusion)] * (length - 1)]
            found.append(Schedule(tuple(plans)))
    reach = Prices(Budget(PRESET_REACH * budget.value, "macs"))
    return tuple(s for s in found if space.contains(s) and (budget.unit == "ms" or reach.affordable(s)))


def digest_of(path: Path) -> str:
    """What tells the content of a file, or of a bundle in a folder, from that of others."""
    return hashlib.sha256((path / MANIFEST if path.is_dir() else path).read_bytes()).hexdigest()[:12]
