"""The networks that are scored, with what they cost: a pipeline within a budget, or a checkpoint."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vipnas_cli.bundle.archive import is_archive
from vipnas_cli.bundle.reader import bundled_weights, open_bundle, with_detector
from vipnas_cli.errors import VipnasError, WeightsError
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.flip import FlipTestEstimator
from vipnas_cli.inference.onnx import OnnxDetector, OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions, detector_as_run
from vipnas_cli.latency.choice import choose, default_budget
from vipnas_cli.latency.clock import position_ms
from vipnas_cli.spec import Budget

CHECKPOINT = ".safetensors"


@dataclass(frozen=True)
class ModelChoice:
    """What is scored: weights and budget as for `run`, with a flip test or not, on so many threads and workers."""

    weights: Path | None = None
    budget: str | None = None
    flip: bool = False
    runtime: RuntimeOptions = RuntimeOptions()
    workers: int = 1

    @property
    def working(self) -> RuntimeOptions:
        """How networks run beside each other: with one thread each if there are several workers."""
        return replace(self.runtime, threads=1 if self.workers > 1 else self.runtime.threads)


@dataclass(frozen=True)
class Cost:
    """Mean cost per person and frame of what really ran."""

    macs_per_person_frame: float
    ms_per_person_frame: float


@dataclass(frozen=True)
class Model:
    """Networks by position of the cycle: multiply-accumulates and milliseconds of one crop."""

    name: str
    estimator: PoseEstimator
    macs: tuple[float, ...]
    ms: tuple[float, ...]

    def cost(self, crops: Counter[int], followed: int) -> Cost:
        """What the crops of each position cost; see per_person_frame."""
        return Cost(per_person_frame(self.macs, crops, followed), per_person_frame(self.ms, crops, followed))


def per_person_frame(amounts: Sequence[float], crops: Counter[int], followed: int) -> float:
    """What a run spent for each person on each frame, by the amount that a crop takes at each position of the cycle.

    `followed` sums up the people who were followed on each frame: crops of duplicates and of those who were not
    believed come on top. Where nobody was followed it is the mean of the crops, NaN if there were none.
    """
    spent = sum(amounts[position] * count for position, count in crops.items())
    return spent / (followed or crops.total() or math.nan)


def open_model(options: ModelChoice) -> Model:
    """The pipeline that weights and budget choose; workers each have one thread for their networks."""
    measured, working = options.runtime, options.working
    if options.weights is not None and options.weights.suffix == CHECKPOINT:
        name, estimator, macs = _from_checkpoint(options.weights, working)
        timed = estimator
    else:
        budget = Budget.parse(options.budget or default_budget(options.weights))
        pipeline = choose(options.weights, budget, measured).pipeline
        name, macs = pipeline.name, tuple(float(network.macs) for network in pipeline.networks)
        estimator, timed = OnnxEstimator(pipeline, working), OnnxEstimator(pipeline, measured)
    if options.flip:
        estimator, timed = FlipTestEstimator(estimator), FlipTestEstimator(timed)
        macs = tuple(2 * count for count in macs)
    return Model(name, estimator, macs, position_ms(timed))


def open_detector(options: ModelChoice, verify: bool | None = None) -> OnnxDetector:
    """The person detector of the weights in use, or the bundled one; `verify` see TrackerOptions."""
    given = options.weights
    whole = given is not None and (given.is_dir() or is_archive(given))
    bundle = with_detector(open_bundle(given if given is not None and whole else bundled_weights()))
    if bundle.detector is None:
        raise WeightsError(f"{bundle.folder} holds no person detector", "give boxes with --boxes gt or --boxes FILE")
    return OnnxDetector(detector_as_run(bundle.detector, TrackerOptions(verify=verify)), options.working)


def _from_checkpoint(path: Path, runtime: RuntimeOptions) -> tuple[str, PoseEstimator, tuple[float, ...]]:
    """One network of a training as a cycle of one frame."""
    try:
        import torch

        from vipnas_cli.inference.torch import TorchEstimator
        from vipnas_cli.nets.checkpoints import load_pose_net
        from vipnas_cli.spec.cost import plan_cost
    except ImportError as error:
        raise VipnasError(
            f"{path} is a checkpoint, and torch to run it is not installed", "pip install 'vipnas[train]'"
        ) from error
    net = load_pose_net(path)
    if net.fusion is not None:
        raise WeightsError(f"{path} is a follower and cannot start a cycle", "export it with its key network")
    torch.set_num_threads(runtime.resolved_threads)
    estimator = TorchEstimator([net], torch.device("cpu"))
    plan = estimator.schedule.plan(0)
    return path.stem, estimator, (float(plan_cost(plan, net.final.out_channels).macs),)
