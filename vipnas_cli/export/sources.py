"""Where the networks of `vipnas export` come from: checkpoints, super-networks and a schedule, or only a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.pipelines import NetworkFile
from vipnas_cli.bundle.reader import UNTRAINED, read_manifest
from vipnas_cli.errors import SpecError, UsageError, WeightsError
from vipnas_cli.evaluation.clip_sets import SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.files import shown
from vipnas_cli.inference.frozen import FrozenKey, OnnxKey, TorchKey, is_bundle, load_key
from vipnas_cli.inference.sessions import RuntimeOptions, open_session, read_metadata
from vipnas_cli.nets.batchnorm import recalibrate
from vipnas_cli.nets.checkpoints import (
    SUPER_NETS,
    kind_of,
    load_checkpoint,
    load_followers,
    load_pose_net,
    load_super_net,
)
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.onnx.parity import pose_inputs
from vipnas_cli.spec import Plan, Schedule, SearchSpace, read_schedule

CHECKPOINT, EXPORTED = ".safetensors", ".onnx"
# What both a manifest and an ONNX file say of a network.
STATED = ("macs", "parameters", "plan", "origin", "licence", "imported", "training", "scores", "weights", "decoded")
# Persons whose crops renew batch-norm statistics, and others whose poses are scored on the way.
CALIBRATION, SCORED = 256, 100
# How far a sure position stands out before the softmax.
_SURE_LOGIT = 8.0


@dataclass(frozen=True, eq=False)
class Source:
    """A network to export: `origin` says where its weights come from, `training` how they were made."""

    net: PoseNet
    origin: str
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """Its place in a schedule."""
        return Plan(self.net.arch, self.net.fusion_spec)


@dataclass(frozen=True, eq=False)
class Ready:
    """A network that lies in a bundle, imported or exported, with what the manifest says of it: it is copied."""

    file: NetworkFile
    row: dict[str, Any]

    @property
    def plan(self) -> Plan:
        """Its place in a schedule."""
        return self.file.plan


@dataclass(frozen=True)
class Cycle:
    """The networks of a cycle, scores that were measured on the way, and what the user has to know."""

    sources: tuple[Source | Ready, ...]
    scores: dict[str, float]
    warnings: tuple[str, ...] = ()


def find_networks(names: tuple[str, ...], spec: Path | None, data: Path | None) -> Cycle:
    """The networks of the cycle that the user named."""
    first = Path(names[0])
    if is_bundle(first) or first.suffix == EXPORTED:
        return _behind_ready(first, names[1:], spec, data)
    chosen = [_chosen(name) for name in names]
    if not all(path.suffix == CHECKPOINT for path, _ in chosen):
        return _untrained(names, spec)
    paths = [path for path, _ in chosen]
    kinds = {path: kind_of(load_checkpoint(path)[1]) for path in paths}
    if spec is None:
        for path, kind in kinds.items():
            if kind in SUPER_NETS:
                raise UsageError(f"{path} is a super-network", "say with --spec which of its networks to export")
        # A network that is named twice is exported once.
        known = {path: checkpoint_sources(path) for path in kinds}
        return Cycle(tuple(source for path, places in chosen for source in _placed(path, places, known[path])), {})
    return _extracted(paths, kinds, read_schedule(str(spec)), data)


def _behind_ready(path: Path, names: tuple[str, ...], spec: Path | None, data: Path | None) -> Cycle:
    """The key network of a bundle or of an ONNX file, and followers that the user named behind it."""
    key = load_key(path)
    assert isinstance(key, OnnxKey)
    file = key.pipeline.networks[0]
    rows = read_manifest(path)["networks"].values() if is_bundle(path) else [_row_of(file)]
    ready = Ready(file, next(row for row in rows if row["file"] == file.path.name))
    if spec is None:
        followers = find_networks(names, None, data) if names else Cycle((), {})
        return replace(followers, sources=(ready, *followers.sources))
    if len(names) != 1 or not names[0].endswith(CHECKPOINT):
        raise UsageError(f"--spec behind {path} needs one super-network of followers", "name its checkpoint")
    schedule, followers_path = read_schedule(str(spec)), Path(names[0])
    if schedule.plan(0) != key.plan:
        raise UsageError(f"{path} is not the schedule's key network", "name the one that was searched behind")
    shared = load_super_net(followers_path)
    _check_space(followers_path, shared.space, schedule, range(1, len(schedule)))
    extracted = _taken_out(key, shared, schedule, data)
    return _as_cycle((ready,), extracted, load_checkpoint(followers_path)[1].get("training", {}))


def _row_of(file: NetworkFile) -> dict[str, Any]:
    """What a manifest would say of a network, as far as its file says it."""
    stated = read_metadata(open_session(file.read(), str(file.path), RuntimeOptions(1)), str(file.path))
    own = {"file": file.path.name, "sha256": file.sha256}
    return {**{name: stated[name] for name in STATED if name in stated}, **own}


def checkpoint_sources(path: Path) -> tuple[Source, ...]:
    """The pose network of a checkpoint, or all followers of a trained cycle in their order."""
    _, header = load_checkpoint(path)
    nets = load_followers(path)[1] if header.get("kind") == "cycle" else [load_pose_net(path)]
    # A network that has several places in the cycle is one source.
    sources = {net: Source(net, "checkpoint", header.get("training", {})) for net in nets}
    return tuple(sources[net] for net in nets)


def _chosen(name: str) -> tuple[Path, tuple[int, ...]]:
    """The path in `cycle.safetensors:1,2`, and the followers that it names; without a colon none, which means all."""
    found = re.fullmatch(rf"(.+{re.escape(CHECKPOINT)}):(\d+(?:,\d+)*)", name)
    return (Path(found[1]), tuple(int(place) for place in found[2].split(","))) if found else (Path(name), ())


def _placed(path: Path, places: tuple[int, ...], sources: tuple[Source, ...]) -> tuple[Source, ...]:
    wrong = [place for place in places if not 1 <= place <= len(sources)]
    if wrong:
        raise UsageError(f"{path} has no network {wrong[0]}", f"it has {len(sources)}, counted from 1")
    return tuple(sources[place - 1] for place in places) or sources


def _untrained(names: tuple[str, ...], spec: Path | None) -> Cycle:
    if len(names) != 1 or spec is not None:
        raise UsageError(
            f"{', '.join(names)} are not checkpoints", f"name {CHECKPOINT} files, or one architecture or schedule"
        )
    import torch

    torch.manual_seed(0)
    plans = read_schedule(names[0]).plans
    nets = {plan: Source(_untrained_net(plan), UNTRAINED) for plan in dict.fromkeys(plans)}
    warning = f"{names[0]} has no weights: the networks are untrained, good for timing only, and their poses are noise."
    return Cycle(tuple(nets[plan] for plan in plans), {}, (warning,))


def _untrained_net(plan: Plan) -> PoseNet:
    """A network whose features and results have the size of a trained one's, so that a comparison shows something."""
    import torch

    net = PoseNet(plan.built, fusion=plan.fusion).eval()
    tensors = {name: torch.from_numpy(array) for name, array in pose_inputs(net).items()}
    images, previous = network_input(tensors["images"]), tensors.get("previous_heatmaps")
    recalibrate(net, [(images, previous)])
    with torch.no_grad():
        highest = _SURE_LOGIT if plan.built.rules.output == "softmax" else 1.0
        net.final.weight *= highest / net.raw(images, previous).abs().max()
    return net


def _extracted(paths: list[Path], kinds: dict[Path, str], schedule: Schedule, data: Path | None) -> Cycle:
    """Networks out of super-networks, with batch-norm statistics of their own if there is data."""
    if len(paths) > 2:
        raise UsageError(f"{len(paths)} checkpoints for one schedule", "name one for key frames and one for followers")
    # Which one is for followers shows, in whatever order they are named.
    paths = sorted(paths, key=lambda path: kinds[path] == "temporal")
    key = load_super_net(paths[0]) if kinds[paths[0]] in SUPER_NETS else load_pose_net(paths[0])
    followers = load_super_net(paths[-1]) if kinds[paths[-1]] in SUPER_NETS else None
    if followers is None and (len(schedule) > 1 or isinstance(key, PoseNet)):
        raise WeightsError(f"{paths[-1]} is no super-network", "name one that has the networks of the schedule")
    if isinstance(key, PoseNet) and key.arch != schedule.plan(0).arch:
        raise UsageError(f"{paths[0]} is not the schedule's key network", "name the super-network it came from")
    if isinstance(key, SuperNet):
        _check_space(paths[0], key.space, schedule, [0])
    if followers is not None:
        _check_space(paths[-1], followers.space, schedule, range(1, len(schedule)))
    training = [load_checkpoint(path)[1].get("training", {}) for path in (paths[0], paths[-1])]
    extracted = _taken_out(TorchKey(key) if isinstance(key, PoseNet) else key, followers, schedule, data)
    assert isinstance(extracted.key, TorchKey)
    first = Source(extracted.key.net, _origin(extracted), training[0])
    return _as_cycle((first,), extracted, training[1])


def _check_space(path: Path, space: SearchSpace, schedule: Schedule, positions: Iterable[int]) -> None:
    """SpecError for a network that is not in the space of its super-network, which has no trained weights for it."""
    for position in positions:
        arch = schedule.plan(position).built
        strange = next(space.strange(arch), None)
        if strange is not None:
            name = f"follower {position}" if position else "key network"
            found = "take a schedule that a search of this super-network found"
            other = "name the key network, or its super-network, and the super-network of the followers"
            raise SpecError(
                f"{shown(path)} does not hold the schedule's {name}: {strange}",
                found if arch.family == space.family else other,
            )


@dataclass(frozen=True)
class _Extracted:
    """The key network and the followers of a schedule, and their score on clips if they were recalibrated."""

    key: FrozenKey
    followers: list[PoseNet]
    score: float | None = None


def _taken_out(
    key: SuperNet | FrozenKey, followers: SuperNet | None, schedule: Schedule, data: Path | None
) -> _Extracted:
    """The networks of a schedule; with data their batch-norm statistics are their own."""
    if data is not None:
        clips = clip_sets(data, SetSizes(SCORED, CALIBRATION, len(schedule)))
        score, found, nets = ClipScorer(Networks(key, followers), clips).run(schedule)
        return _Extracted(found, nets, round(score.mean, 2))
    if isinstance(key, SuperNet):
        key = TorchKey(key.extract(schedule.plan(0).built))
    shared, plans = followers, schedule.plans[1:]
    assert shared is not None or not plans
    return _Extracted(key, [shared.extract(plan.built, plan.fusion).eval() for plan in plans if shared])


def _origin(extracted: _Extracted) -> str:
    return "super-network, statistics " + ("as trained together" if extracted.score is None else "recalibrated")


def _as_cycle(key: tuple[Source | Ready], extracted: _Extracted, training: dict[str, Any]) -> Cycle:
    sources = (*key, *(Source(net, _origin(extracted), training) for net in extracted.followers))
    if extracted.score is not None:
        return Cycle(sources, {"clips_PCK@0.1": extracted.score})
    warning = (
        "The batch-norm statistics are the mixture of all networks that shared them, so that poses are worse than "
        "they need be: give pictures and labels with --data."
    )
    return Cycle(sources, {}, (warning,))
