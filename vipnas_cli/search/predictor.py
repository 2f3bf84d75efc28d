"""A small model that forecasts scores from specifications: ridge regression on one-hot choices and costs.

Shapes: N schedules, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from vipnas_cli.cost import plan_cost
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.spec import Plan, Schedule

Floats = NDArray[np.float64]
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
FOLDS = 5


@dataclass(frozen=True)
class Predictor:
    """Weights of features by name; a choice that was never seen counts as the mean of those that were."""

    weights: dict[str, float]
    means: dict[str, float]
    base: float

    def __call__(self, schedule: Schedule) -> float:
        """The forecast score."""
        features = features_of(schedule)
        total = self.base
        for name, weight in self.weights.items():
            total += weight * (features.get(name, 0.0) - self.means[name])
        return total


def features_of(schedule: Schedule) -> dict[str, float]:
    """What describes a schedule, by name: every choice at every position, and the logarithms of its costs."""
    found = {f"frames={len(schedule)}": 1.0, "cost": float(np.log(sum(plan_cost(p).macs for p in schedule.plans)))}
    for position, plan in enumerate(schedule.plans):
        found[f"{position} cost"] = float(np.log(plan_cost(plan).macs))
        for name, value in _choices(plan):
            found[f"{position} {name}={value}"] = 1.0
            # The same choice works alike at all positions, which few candidates suffice to learn.
            found[f"{name}={value}"] = found.get(f"{name}={value}", 0.0) + 1.0
    return found


def fitted(evaluations: Sequence[Evaluation]) -> Predictor:
    """The predictor of scores that fits evaluations, with the penalty that leaves the least error on held-out ones."""
    names, matrix = _matrix([evaluation.schedule for evaluation in evaluations])
    scores = np.array([evaluation.score.mean for evaluation in evaluations])
    means, base = matrix.mean(0), float(scores.mean())
    centred, target = matrix - means, scores - base
    errors = [_leave_one_out(centred, target, penalty) for penalty in PENALTIES]
    weights = _solved(centred, target, PENALTIES[int(np.argmin(errors))])
    return Predictor(
        dict(zip(names, weights.tolist(), strict=True)), dict(zip(names, means.tolist(), strict=True)), base
    )


def held_out_correlation(evaluations: Sequence[Evaluation]) -> float:
    """Spearman's rank correlation of scores with forecasts that did not know them; NaN for fewer than ten candidates.

    Five folds: each fifth is forecast from the other four.
    """
    if len(evaluations) < 2 * FOLDS:
        return float("nan")
    rows, guesses = np.arange(len(evaluations)), np.zeros(len(evaluations))
    for fold in range(FOLDS):
        predictor = fitted([evaluations[row] for row in rows[rows % FOLDS != fold]])
        for row in rows[rows % FOLDS == fold]:
            guesses[row] = predictor(evaluations[row].schedule)
    return rank_correlation(guesses, np.array([evaluation.score.mean for evaluation in evaluations]))


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation of two rows of numbers; NaN where one is constant."""
    ranked = [rankdata(values) - (len(values) + 1) / 2 for values in (a, b)]
    norm = float(np.sqrt((ranked[0] ** 2).sum() * (ranked[1] ** 2).sum()))
    return float((ranked[0] * ranked[1]).sum()) / norm if norm else float("nan")


def _choices(plan: Plan) -> list[tuple[str, object]]:
    arch = plan.arch
    found: list[tuple[str, object]] = [
        ("size", (arch.height, arch.width)),
        ("fusion", (plan.fusion.operation, plan.fusion.stage)),
    ]
    parts = [("stem", arch.stem), ("head", arch.head), *((f"stage {i}", s) for i, s in enumerate(arch.stages, 1))]
    return found + [(f"{part} {name}", value) for part, spec in parts for name, value in vars(spec).items()]


def _matrix(schedules: Sequence[Schedule]) -> tuple[list[str], Floats]:
    """Names of the features (F) and their values (N, F)."""
    rows = [features_of(schedule) for schedule in schedules]
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] for row in rows])


def _solved(matrix: Floats, target: Floats, penalty: float) -> Floats:
    """Ridge weights (F,), by the smaller system of N equations."""
    gram = matrix @ matrix.T + penalty * np.eye(len(matrix))
    weights: Floats = matrix.T @ np.linalg.solve(gram, target)
    return weights


def _leave_one_out(matrix: Floats, target: Floats, penalty: float) -> float:
    """Mean squared error of forecasts of each row from all others, in closed form."""
    inverse = np.linalg.inv(matrix @ matrix.T + penalty * np.eye(len(matrix)))
    return float(np.mean((inverse @ target / inverse.diagonal()) ** 2))
