"""How long the networks of a pipeline take on this machine."""

from __future__ import annotations

import time
from statistics import mean, median

import numpy as np

from vipnas_cli.bundle import Bundle, Pipeline
from vipnas_cli.errors import BudgetError
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.onnx_backend import OnnxEstimator, RuntimeOptions


def position_ms(estimator: PoseEstimator, repeats: int = 15) -> tuple[float, ...]:
    """Milliseconds of one crop at each position of the cycle, by the median."""
    keypoints = len(estimator.skeleton.keypoints)
    found = []
    for position, plan in enumerate(estimator.schedule.plans):
        crops = np.zeros((1, plan.arch.height, plan.arch.width, 3), np.uint8)
        previous = np.zeros((1, keypoints, plan.arch.height // 4, plan.arch.width // 4), np.float32)
        times = []
        for _ in range(repeats + 2):
            started = time.perf_counter()
            estimator.estimate(position, crops, previous)
            times.append(time.perf_counter() - started)
        # The first two find cold caches.
        found.append(1000 * median(times[2:]))
    return tuple(found)


def measure_ms(pipeline: Pipeline, options: RuntimeOptions) -> float:
    """Mean milliseconds per person and frame over one cycle."""
    return mean(position_ms(OnnxEstimator(pipeline, options)))


def within_ms(bundle: Bundle, budget_ms: float, options: RuntimeOptions) -> Pipeline:
    """The best pipeline that this machine runs in `budget_ms` per person and frame; BudgetError names the fastest."""
    measured = {pipeline.name: measure_ms(pipeline, options) for pipeline in bundle.pipelines}
    affordable = [pipeline for pipeline in bundle.pipelines if measured[pipeline.name] <= budget_ms]
    if not affordable:
        name, fastest = min(measured.items(), key=lambda item: item[1])
        raise BudgetError(
            f"no pipeline runs in {budget_ms:g} ms per person and frame here",
            f"the fastest is {name} with {fastest:.1f} ms",
        )
    return max(affordable, key=lambda p: (p.scores.get("selection", 0.0), -measured[p.name]))
