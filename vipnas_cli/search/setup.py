"""What a search starts from: the checkpoints of its networks, the space of their schedules, named ones to compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vipnas_cli.bundle.reader import MANIFEST, bundled_weights
from vipnas_cli.errors import WeightsError
from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.inference.frozen import load_key
from vipnas_cli.nets.checkpoints import load_checkpoint, load_super_net
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


def find_files(mode: str, weights: Sequence[Path] = (), key: Path | None = None) -> Files:
    """The checkpoints that were named, bundled ones otherwise; WeightsError or UsageError if they do not suffice."""
    kinds = {path: _kind(path) for path in weights or _bundled("*supernet*.safetensors")}
    wrong = [path for path, kind in kinds.items() if kind not in ("spatial", "temporal")]
    if wrong:
        raise WeightsError(f"{wrong[0]} is no super-network", "a fixed key network is named with --key")
    found = {kind: path for path, kind in kinds.items()}
    if mode == "spatial":
        return Files(_named(found, "spatial", kinds), None, key_is_super_net=True)
    followers = _named(found, "temporal", kinds)
    if mode == "joint":
        return Files(_named(found, "spatial", kinds), followers, key_is_super_net=True)
    keys = [key] if key else _bundled("key-*.safetensors")
    if not keys:
        raise WeightsError("no key network comes with this installation", "name a checkpoint with --key")
    return Files(keys[-1], followers)


def _bundled(pattern: str) -> list[Path]:
    return sorted(bundled_weights().glob(pattern))


def _kind(path: Path) -> str:
    """What a checkpoint holds; super-networks with fusions are temporal."""
    header = load_checkpoint(path)[1]
    if header.get("kind") == "supernet":
        return "temporal" if header.get("fusions") else "spatial"
    return str(header.get("kind"))


def _named(found: dict[str, Path], kind: str, given: dict[Path, str]) -> Path:
    if kind in found:
        return found[kind]
    names = ", ".join(map(str, given))
    missing = f"no {kind} super-network comes with this installation"
    hint = f"train one with `vipnas train {kind}` and name it with --weights"
    raise WeightsError(f"{names} is no {kind} super-network" if names else missing, hint)


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
