"""Where the networks of `vipnas export` come from: checkpoints, super-networks and a schedule, or only a spec."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.evaluation.clip_sets import SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.inference.frozen import TorchKey
from vipnas_cli.nets.batchnorm import recalibrate
from vipnas_cli.nets.checkpoints import load_checkpoint, load_followers, load_pose_net, load_super_net
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.onnx.parity import pose_inputs
from vipnas_cli.spec import Plan, Schedule, read_schedule

CHECKPOINT = ".safetensors"
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


@dataclass(frozen=True)
class Cycle:
    """The networks of a cycle, scores that were measured on the way, and what the user has to know."""

    sources: tuple[Source, ...]
    scores: dict[str, float]
    warnings: tuple[str, ...] = ()


def find_networks(names: tuple[str, ...], spec: Path | None, data: Path | None) -> Cycle:
    """The networks of the cycle that the user named."""
    chosen = [_chosen(name) for name in names]
    if not all(path.suffix == CHECKPOINT for path, _ in chosen):
        return _untrained(names, spec)
    paths = [path for path, _ in chosen]
    kinds = {path: str(load_checkpoint(path)[1].get("kind")) for path in paths}
    if spec is None:
        for path, kind in kinds.items():
            if kind == "supernet":
                raise UsageError(f"{path} is a super-network", "say with --spec which of its networks to export")
        # A network that is named twice is exported once.
        known = {path: checkpoint_sources(path) for path in kinds}
        return Cycle(tuple(source for path, places in chosen for source in _placed(path, places, known[path])), {})
    return _extracted(paths, kinds, read_schedule(str(spec)), data)


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
    nets = {plan: Source(_untrained_net(plan), "untrained") for plan in dict.fromkeys(plans)}
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
    key = load_super_net(paths[0]) if kinds[paths[0]] == "supernet" else load_pose_net(paths[0])
    followers = load_super_net(paths[-1]) if kinds[paths[-1]] == "supernet" else None
    if followers is None and (len(schedule) > 1 or isinstance(key, PoseNet)):
        raise WeightsError(f"{paths[-1]} is no super-network", "name one that has the networks of the schedule")
    if isinstance(key, PoseNet) and key.arch != schedule.plan(0).arch:
        raise UsageError(f"{paths[0]} is not the schedule's key network", "name the super-network it came from")
    training = [load_checkpoint(path)[1].get("training", {}) for path in (paths[0], paths[-1])]
    scores: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    if data is None:
        nets = _as_trained(key, followers, schedule)
        warnings = (
            "The batch-norm statistics are the mixture of all networks that shared them, so that poses are worse than "
            "they need be: give pictures and labels with --data.",
        )
    else:
        clips = clip_sets(data, SetSizes(SCORED, CALIBRATION, len(schedule)))
        named = TorchKey(key) if isinstance(key, PoseNet) else key
        score, found, nets = ClipScorer(Networks(named, followers), clips).run(schedule)
        assert isinstance(found, TorchKey)
        nets = [found.net, *nets]
        scores["clips_PCK@0.1"] = round(score.mean, 2)
    origin = "super-network, statistics " + ("recalibrated" if data else "as trained together")
    sources = tuple(Source(net, origin, training[min(position, 1)]) for position, net in enumerate(nets))
    return Cycle(sources, scores, warnings)


def _as_trained(key: SuperNet | PoseNet, followers: SuperNet | None, schedule: Schedule) -> list[PoseNet]:
    plan = schedule.plan(0)
    nets = [key if isinstance(key, PoseNet) else key.extract(plan.built).eval()]
    for plan in schedule.plans[1:]:
        assert followers is not None
        nets.append(followers.extract(plan.built, plan.fusion).eval())
    return nets
