"""The predictor ranks candidates that it has not seen."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np

from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.predictor import cross_validated_correlation, fit_predictor, rank_correlation
from vipnas_cli.spec import CycleSpace, Schedule


def evaluations(space: CycleSpace, count: int, noise: float) -> list[Evaluation]:
    """Schedules whose score at each position adds up from choices and from half the score before, with noise."""
    rng = Random(0)
    return [
        Evaluation(order, "x", s, 1.0, None, known_score(s, rng, noise))
        for order in range(count)
        for s in [space.sample(rng)]
    ]


def known_score(schedule: Schedule, rng: Random, noise: float) -> Score:
    """See evaluations."""
    positions: list[float] = []
    for plan in schedule.plans:
        value = plan.arch.stages[2].depth + (plan.fusion.operation == "cat") + plan.arch.height / 50
        positions.append(value + (positions[-1] / 2 if positions else 0) + rng.gauss(0, noise))
    return Score(sum(positions) / len(positions), tuple(positions))


def test_scores_that_add_up_are_ranked_from_few_candidates(small_cycles: CycleSpace) -> None:
    rows = evaluations(replace(small_cycles, lengths=(4,)), 80, noise=0.2)
    assert cross_validated_correlation(rows) > 0.8


def test_what_followers_teach_at_one_position_is_known_at_others(small_cycles: CycleSpace) -> None:
    known = evaluations(replace(small_cycles, lengths=(2,)), 60, noise=0)
    longer = evaluations(replace(small_cycles, lengths=(3,)), 60, noise=0)
    forecast = fit_predictor(known)
    guesses = np.array([forecast(row.schedule) for row in longer])
    assert rank_correlation(guesses, np.array([row.score.mean for row in longer])) > 0.8


def test_networks_without_followers_are_forecast_as_well(small_cycles: CycleSpace) -> None:
    space = replace(small_cycles, lengths=(1,), key_space=small_cycles.follower_space)
    assert cross_validated_correlation(evaluations(space, 60, noise=0)) > 0.8


def test_noise_alone_cannot_be_forecast(small_cycles: CycleSpace) -> None:
    rng = Random(1)
    rows = [
        replace(row, score=Score(sum(values) / 4, values))
        for row in evaluations(replace(small_cycles, lengths=(4,)), 80, noise=0)
        for values in [tuple(rng.random() for _ in range(4))]
    ]
    assert abs(cross_validated_correlation(rows)) < 0.35


def test_few_candidates_have_no_correlation(small_cycles: CycleSpace) -> None:
    assert math.isnan(cross_validated_correlation(evaluations(small_cycles, 5, noise=0)))


def test_rank_correlation_sees_order_only() -> None:
    values = np.array([3.0, 1.0, 2.0, 8.0])
    assert rank_correlation(values, np.exp(values)) == 1
    assert rank_correlation(values, -values) == -1
    assert math.isnan(rank_correlation(values, np.ones(4)))
    # With ties: ranks 1.5, 1.5, 3 against 1, 2, 3.
    assert math.isclose(rank_correlation(np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 3.0])), math.sqrt(3) / 2)
