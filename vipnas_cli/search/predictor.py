"""A small model that forecasts scores from specifications: kernel ridge regression on choices, position by position.

What a follower scores depends on its own network and on the heatmaps that it gets, for whose quality the score of the
position before stands. So every position of every candidate teaches what a choice is worth, wherever it is made, and a
schedule's forecast goes along its cycle.

Shapes: N rows, one for each position of each candidate, F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.spec import ImportedSpec, Plan, Schedule
from vipnas_cli.spec.cost import plan_cost

Floats = NDArray[np.float64]
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# Widths of the kernel for features of variance 1, as a share of the root of their number.
WIDTHS = (0.5, 1.0, 2.0)
# Besides what is alike nearby there are trends, which reach further.
TREND = 0.02
FOLDS = 5


@dataclass(frozen=True)
class Predictor:
    """Kernel ridge regression: features of the rows (N, F) with means and deviations (F,), and their weights (N,).

    `inverse` (N, N) and `variance` tell how uncertain a forecast is, as those of a Gaussian process do.
    """

    names: tuple[str, ...]
    rows: Floats
    means: Floats
    deviations: Floats
    width: float
    weights: Floats
    base: float
    inverse: Floats
    variance: float

    def __call__(self, schedule: Schedule) -> float:
        """The forecast score: the mean of the forecasts of all positions."""
        return self.upper_bound(schedule, 0.0)

    def upper_bound(self, schedule: Schedule, optimism: float) -> float:
        """The upper confidence bound of the score: the forecast plus so many standard deviations."""
        scores: list[float] = []
        deviation = 0.0
        for position, plan in enumerate(schedule.plans):
            features = features_of(plan, position, scores[-1] if scores else math.nan)
            row = _standard(_values(features, self.names)[None], self.means, self.deviations)
            near = _kernel(row, self.rows, self.width)[0]
            scores.append(self.base + float(near @ self.weights))
            if optimism:
                known = float(near @ self.inverse @ near)
                deviation += math.sqrt(self.variance * max(1 + TREND * float((row**2).sum()) - known, 0.0))
        return (sum(scores) + optimism * deviation) / len(scores)


def features_of(plan: Plan, position: int, before: float) -> dict[str, float]:
    """What describes a network at its position, by name; `before` is the score of the position before, else NaN."""
    arch, fusion = plan.arch, plan.fusion
    found = {
        "position": float(position),
        "key": float(position == 0),
        "before": before,
        "cost": math.log(plan_cost(plan).macs),
        "pixels": math.log(arch.height * arch.width),
        f"fusion {fusion.operation}": 1.0,
        f"fusion {fusion.operation} {fusion.stage}": 1.0,
    }
    if isinstance(arch, ImportedSpec):
        return found  # it is the same in all candidates
    parts = [("stem", arch.stem), ("head", arch.head), *((f"stage {i}", s) for i, s in enumerate(arch.stages, 1))]
    for part, spec in parts:
        for name, value in vars(spec).items():
            number = isinstance(value, int | float)
            found[f"{part} {name}" if number else f"{part} {name}={value}"] = float(value) if number else 1.0
    return found


def fit_predictor(evaluations: Sequence[Evaluation]) -> Predictor:
    """The predictor of scores that fits evaluations, with width and penalty of the least error on rows left out."""
    rows = _rows(evaluations)
    names = tuple(sorted({name for _, features in rows for name in features}))
    matrix = np.array([_values(features, names) for _, features in rows])
    means, deviations = _moments(matrix)
    scores = np.array([score for score, _ in rows])
    base = float(scores.mean())
    standard = _standard(matrix, means, deviations)
    _, width, penalty = min(
        (error, width, penalty)
        for width in WIDTHS
        for error, penalty in _errors(_kernel(standard, standard, width), scores - base)
    )
    kernel = _kernel(standard, standard, width)
    inverse = np.asarray(np.linalg.inv(kernel + penalty * np.eye(len(kernel))), np.float64)
    weights = inverse @ (scores - base)
    # The likeliest scale of a Gaussian process with this kernel.
    variance = float((scores - base) @ weights) / len(scores)
    return Predictor(names, standard, means, deviations, width, weights, base, inverse, variance)


def upper_bound(optimism: float) -> Callable[[Sequence[Evaluation]], Callable[[Schedule], float]]:
    """Like `fit_predictor`, but forecasts are upper confidence bounds: `optimism` standard deviations are added.

    Without it a choice that was unlucky a few times is never tried again.
    """

    def fit(evaluations: Sequence[Evaluation]) -> Callable[[Schedule], float]:
        predictor = fit_predictor(evaluations)
        return lambda schedule: predictor.upper_bound(schedule, optimism)

    return fit


def cross_validated_correlation(evaluations: Sequence[Evaluation]) -> float:
    """Spearman's rank correlation of scores with forecasts that did not know them; NaN for fewer than ten candidates.

    Five folds: each fifth is forecast from the other four.
    """
    if len(evaluations) < 2 * FOLDS:
        return float("nan")
    rows, guesses = np.arange(len(evaluations)), np.zeros(len(evaluations))
    for fold in range(FOLDS):
        predictor = fit_predictor([evaluations[row] for row in rows[rows % FOLDS != fold]])
        for row in rows[rows % FOLDS == fold]:
            guesses[row] = predictor(evaluations[row].schedule)
    return rank_correlation(guesses, np.array([evaluation.score.mean for evaluation in evaluations]))


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation of two rows of numbers; NaN where one is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def _rows(evaluations: Sequence[Evaluation]) -> list[tuple[float, dict[str, float]]]:
    """Score and features of every position; what candidates have in common, as a fixed key network, is there once."""
    found: dict[tuple[Plan, int, float, float], dict[str, float]] = {}
    for evaluation in evaluations:
        before = math.nan
        for position, (plan, score) in enumerate(
            zip(evaluation.schedule.plans, evaluation.score.positions, strict=True)
        ):
            row = (plan, position, before, score)
            if row not in found:
                found[row] = features_of(plan, position, before)
            before = score
    return [(score, features) for (_, _, _, score), features in found.items()]


def _values(features: dict[str, float], names: Sequence[str]) -> Floats:
    return np.array([features.get(name, 0.0) for name in names])


def _moments(matrix: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the known values of each feature, (F,) each; zeros where none is known."""
    count = np.maximum(np.isfinite(matrix).sum(0), 1)
    means: Floats = np.nansum(matrix, 0) / count
    deviations: Floats = np.sqrt(np.nansum((matrix - means) ** 2, 0) / count)
    return means, deviations


def _standard(matrix: Floats, means: Floats, deviations: Floats) -> Floats:
    """Features (N, F) of mean 0 and variance 1; what is unknown or always the same becomes 0."""
    varied = deviations > 1e-9
    return np.nan_to_num((matrix - means) * varied / np.where(varied, deviations, 1.0))


def _kernel(a: Floats, b: Floats, width: float) -> Floats:
    """How alike the rows of a (N, F) and b (M, F) are, (N, M)."""
    products = a @ b.T
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * products
    kernel: Floats = np.exp(-squares / (2 * width**2 * a.shape[1])) + TREND * products
    return kernel


def _errors(kernel: Floats, target: Floats) -> list[tuple[float, float]]:
    """For every penalty the mean squared error of forecasts of each row from all others, in closed form."""
    values, vectors = np.linalg.eigh(kernel)
    found = []
    for penalty in PENALTIES:
        scaled = vectors / (values + penalty)
        left_out = (scaled @ (vectors.T @ target)) / (scaled * vectors).sum(1)
        found.append((float(np.mean(left_out**2)), penalty))
    return found
