"""What a search starts from: super-networks, the space of their schedules, clips, latency table, log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.search.command import SearchOptions
from vipnas_cli.errors import BudgetError, UsageError, WeightsError
from vipnas_cli.evaluation.clip_sets import ClipSets, SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.latency.probe import ProbeOptions, measured_ms
from vipnas_cli.latency.table import LatencyTable
from vipnas_cli.nets.checkpoints import load_checkpoint, load_pose_net, load_super_net
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.search.candidate import Prices
from vipnas_cli.search.task import SearchPlan
from vipnas_cli.spec import PRESETS, Budget, FusionSpec, Plan, Schedule, SearchSpace
from vipnas_cli.spec.cycle_space import CycleSpace
from vipnas_cli.spec.presets import DETECTOR

CALIBRATION = 32
# Presets that cost more than this share of the budget tell nothing about networks within it.
PRESET_REACH = 1.5


@dataclass(frozen=True)
class Files:
    """The checkpoints that a search uses: key networks (or their super-network), and followers."""

    key: Path
    followers: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that there are."""
        return (self.key,) if self.followers is None else (self.key, self.followers)


def find_files(options: SearchOptions) -> Files:
    """The checkpoints that were named, bundled ones otherwise; WeightsError or UsageError if they do not suffice."""
    kinds = {path: _kind(path) for path in options.weights or _bundled("*supernet*.safetensors")}
    wrong = [path for path, kind in kinds.items() if kind not in ("spatial", "temporal")]
    if wrong:
        raise WeightsError(f"{wrong[0]} is no super-network", "a fixed key network is named with --key")
    found = {kind: path for path, kind in kinds.items()}
    if options.mode == "spatial":
        return Files(_named(found, "spatial", kinds), None)
    followers = _named(found, "temporal", kinds)
    if options.mode == "joint":
        return Files(_named(found, "spatial", kinds), followers)
    keys = [options.key] if options.key else _bundled("key-*.safetensors")
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
    key = load_pose_net(files.key) if _kind(files.key) == "pose" else load_super_net(files.key)
    followers = load_super_net(files.followers) if files.followers else None
    if followers is not None and followers.keypoints != _keypoints(key):
        raise WeightsError(
            f"{files.key} knows {_keypoints(key)} keypoints, {files.followers} {followers.keypoints}",
            "name networks of the same keypoints",
        )
    return Networks(key.eval(), followers and followers.eval())


def _keypoints(net: PoseNet | SuperNet) -> int:
    return net.keypoints if isinstance(net, SuperNet) else net.final.out_channels


def space_of_networks(networks: Networks, lengths: tuple[int, ...]) -> CycleSpace:
    """The schedules whose networks can be taken from the super-networks."""
    key = networks.key.space if isinstance(networks.key, SuperNet) else SearchSpace.of(networks.key.arch)
    if not isinstance(networks.followers, SuperNet):
        return CycleSpace(key, key, lengths)
    return CycleSpace(key, networks.followers.space, lengths, (FusionSpec(), *networks.followers.fusion_specs))


def find_clips(options: SearchOptions, console: Console) -> tuple[ClipSets, bool]:
    """The clips that score and recalibrate, and whether they are synthetic."""
    data = options.data or configured_data()
    if data is None:
        console.print(
            "No data folder: candidates are scored on SYNTHETIC people, made now. Their ranking may differ from that "
            "on your videos; name labelled pictures with --data.",
            style="yellow",
            soft_wrap=True,
        )
    longest = max(options.lengths)
    sets = clip_sets(data, SetSizes(options.clips, CALIBRATION, longest, options.check_clips))
    console.print(f"Scores: PCK@0.1 on {sets.scored.about}.", highlight=False, soft_wrap=True)
    return sets, data is None


def search_plan(options: SearchOptions, space: CycleSpace) -> SearchPlan:
    """How the search proceeds; BudgetError, UsageError or InputError for options that cannot be met."""
    budget = Budget.parse(options.budget)
    if budget.unit == "fps":
        raise BudgetError(f"{budget} is a budget of a whole run", "search for networks in GFLOPs or ms")
    if options.latency_table and options.measure:
        raise UsageError("--latency-table and --measure both tell milliseconds", "leave one of them out")
    table = None
    if options.latency_table:
        table = LatencyTable.read(options.latency_table)
        table.check_machine(options.threads)
    measure = options.threads if options.measure or (budget.unit == "ms" and table is None) else 0
    # Told now rather than after the clips are made.
    _prices(budget, table, measure).cheapest(space)
    plan = SearchPlan(
        budget=budget,
        evaluations=options.evaluations,
        seed=options.seed,
        method=options.method,  # type: ignore[arg-type]
        predictor=options.predictor,
        baselines=options.baselines,
        table=table,
        measure=measure,
    )
    return replace(plan, presets=_presets(space, budget)) if options.baselines else plan


def _prices(budget: Budget, table: LatencyTable | None, threads: int) -> Prices:
    """What schedules cost in the unit of the budget."""
    if budget.unit == "macs":
        return Prices(budget)
    return Prices(budget, table.predict if table else lambda plan: measured_ms(plan, ProbeOptions(threads)))


def _presets(space: CycleSpace, budget: Budget) -> tuple[Schedule, ...]:
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


def problem_of(options: SearchOptions, files: Files, space: CycleSpace, clips: ClipSets) -> dict[str, Any]:
    """What makes two searches the same: the log of one cannot be resumed by another."""
    found = {
        "mode": options.mode,
        "frames": options.frames,
        "budget": options.budget,
        "method": options.method,
        "predictor": options.predictor,
        "seed": options.seed,
        "weights": [_digest(path) for path in files.paths],
        "clips": [clips.scored.digest, clips.calibration.digest],
        "latency": _digest(options.latency_table) if options.latency_table else f"measure {options.measure}",
        "space": [space.key_space.key, space.follower_space.key, len(space.fusions)],
    }
    return found | {"alike": True} if space.uniform else found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
