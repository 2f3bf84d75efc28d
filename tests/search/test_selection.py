"""Non-dominated sorting and crowding on cases that are clear."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.selection import crowding_distance, dominated_by, front_of, pareto_ranks, ranking
from vipnas_cli.spec import CycleSpace


def test_cheaper_and_better_dominates() -> None:
    costs, scores = np.array([1.0, 2.0, 2.0, 3.0]), np.array([5.0, 5.0, 6.0, 4.0])
    expected = np.zeros((4, 4), bool)
    expected[1, 0] = expected[1, 2] = expected[3, 0] = expected[3, 1] = expected[3, 2] = True
    np.testing.assert_array_equal(dominated_by(costs, scores), expected)
    np.testing.assert_array_equal(pareto_ranks(costs, scores), [0, 1, 0, 2])


def test_equals_do_not_dominate_each_other() -> None:
    np.testing.assert_array_equal(pareto_ranks(np.ones(3), np.ones(3)), [0, 0, 0])


def test_every_front_is_dominated_by_the_one_before() -> None:
    generator = np.random.default_rng(0)
    costs, scores = generator.random(60), generator.random(60)
    rank, dominated = pareto_ranks(costs, scores), dominated_by(costs, scores)
    for row in range(60):
        assert not dominated[row][rank >= rank[row]].any()
        assert rank[row] == 0 or dominated[row][rank == rank[row] - 1].any()


def test_the_ends_of_a_front_and_thin_places_come_first() -> None:
    costs, scores = np.array([0.0, 1.0, 1.2, 5.0, 10.0]), np.array([0.0, 1.0, 1.2, 5.0, 10.0])
    rank = pareto_ranks(costs, scores)
    distance = crowding_distance(costs, scores, rank)
    assert np.isinf(distance[[0, 4]]).all()
    assert distance[3] > distance[2] > distance[1] * 0.9
    assert ranking(costs, scores).tolist()[:3] == [0, 4, 3]


def test_the_front_is_sorted_and_free_of_doubles(small_cycles: CycleSpace) -> None:
    schedule = small_cycles.smallest(2)
    places = [(3.0, 9.0), (1.0, 4.0), (2.0, 4.0), (1.0, 4.0), (2.0, 7.0), (4.0, 9.0)]
    rows = [Evaluation(n, "x", schedule, macs, None, Score(score, (score,))) for n, (macs, score) in enumerate(places)]
    assert [row.order for row in front_of(rows, "macs")] == [1, 4, 0]
    assert front_of([], "macs") == []


def test_milliseconds_that_nobody_told_cannot_be_compared(small_cycles: CycleSpace) -> None:
    row = Evaluation(0, "x", small_cycles.smallest(2), 1.0, None, Score(1.0, (1.0,)))
    with pytest.raises(AssertionError):
        row.cost("ms")
