"""The predictor ranks candidates that it has not seen."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np

from vipnas_cli.search.candidate import Evaluation, Score
from vipnas_cli.search.cycles import CycleSpace
from vipnas_cli.search.predictor import held_out_correlation, rank_correlation


def evaluations(space: CycleSpace, count: int, noise: float) -> list[Evaluation]:
    """Schedules whose score adds up from their choices, with noise."""
    rng = Random(0)
    found = []
    for order in range(count):
        schedule = space.sample(rng)
        score = sum(
            plan.arch.stages[2].depth * (1 + 0.3 * position) + (plan.fusion.operation == "cat") + plan.arch.height / 50
            for position, plan in enumerate(schedule.plans)
        )
        value = score + rng.gauss(0, noise)
        found.append(Evaluation(order, "x", schedule, 1.0, None, Score(value, (value,))))
    return found


def test_scores_that_add_up_are_ranked_from_few_candidates(small_cycles: CycleSpace) -> None:
    rows = evaluations(replace(small_cycles, lengths=(4,)), 80, noise=0.2)
    assert held_out_correlation(rows) > 0.8


def test_noise_alone_cannot_be_forecast(small_cycles: CycleSpace) -> None:
    rng = Random(1)
    rows = [
        replace(row, score=Score(rng.random(), (0.0,)))
        for row in evaluations(replace(small_cycles, lengths=(4,)), 80, noise=0)
    ]
    assert abs(held_out_correlation(rows)) < 0.35


def test_few_candidates_have_no_correlation(small_cycles: CycleSpace) -> None:
    assert math.isnan(held_out_correlation(evaluations(small_cycles, 5, noise=0)))


def test_rank_correlation_sees_order_only() -> None:
    values = np.array([3.0, 1.0, 2.0, 8.0])
    assert rank_correlation(values, np.exp(values)) == 1
    assert rank_correlation(values, -values) == -1
    assert math.isnan(rank_correlation(values, np.ones(4)))
    # With ties: ranks 1.5, 1.5, 3 against 1, 2, 3.
    assert math.isclose(rank_correlation(np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])), math.sqrt(3) / 2)
