"""How long the networks of a pipeline take on this machine."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from vipnas_cli.bundle import Bundle, Pipeline
from vipnas_cli.errors import BudgetError
from vipnas_cli.inference.onnx_backend import OnnxEstimator, RuntimeOptions


def measure_ms(pipeline: Pipeline, options: RuntimeOptions, repeats: int = 15) -> float:
    """Mean milliseconds per person and frame over one cycle, each network by its median for one crop."""
    estimator = OnnxEstimator(pipeline, options)
    total = 0.0
    for position, plan in enumerate(pipeline.schedule.plans):
        crops = np.zeros((1, plan.arch.height, plan.arch.width, 3), np.uint8)
        keypoints = len(estimator.skeleton.keypoints)
        previous = np.zeros((1, keypoints, plan.arch.height // 4, plan.arch.width // 4), np.float32)
        times = []
        for _ in range(repeats + 2):
            started = time.perf_counter()
            estimator.estimate(position, crops, previous)
            times.append(time.perf_counter() - started)
        total += median(times[2:])
    return 1000 * total / len(pipeline.networks)


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
