"""Who is better when cost and score both count: non-dominated sorting and crowding of NSGA-II, for two objectives.

Written here because the libraries that offer it do not fit: current pymoo needs a library under the LGPL, older pymoo
breaks with current NumPy, and optuna's sorting is private.
Shapes: N candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.search.candidate import Evaluation

Floats = NDArray[np.float64]


def dominated_by(costs: Floats, scores: Floats) -> NDArray[np.bool_]:
    """Entry (i, j) of (N, N): candidate j costs no more and scores no less than i, and is better in one of the two."""
    no_worse = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    return no_worse & better


def pareto_ranks(costs: Floats, scores: Floats) -> NDArray[np.int64]:
    """The front (N,) that each candidate belongs to: 0 for those that nobody dominates, 1 for the next ones, …"""
    dominated, found = dominated_by(costs, scores), np.full(len(costs), -1)
    rank = 0
    while (found < 0).any():
        left = found < 0
        front = left & ~(dominated & left[None]).any(1)
        found[front] = rank
        rank += 1
    return found


def crowding_distance(costs: Floats, scores: Floats, rank: NDArray[np.int64]) -> Floats:
    """How far (N,) each candidate is from its neighbours on its front; infinite at the two ends."""
    distance = np.zeros(len(costs))
    for front in np.unique(rank):
        rows = np.flatnonzero(rank == front)
        for values in (costs[rows], scores[rows]):
            order = np.argsort(values, kind="stable")
            span = values[order[-1]] - values[order[0]]
            distance[rows[order[[0, -1]]]] = np.inf
            if span > 0 and len(rows) > 2:
                distance[rows[order[1:-1]]] += (values[order[2:]] - values[order[:-2]]) / span
    return distance


def ranking(costs: Floats, scores: Floats) -> NDArray[np.int64]:
    """Rows (N,) from the best to the worst: by front, on a front those in thinly settled places first."""
    rank = pareto_ranks(costs, scores)
    return np.lexsort((np.arange(len(costs)), -crowding_distance(costs, scores, rank), rank))


def front_of(evaluations: Sequence[Evaluation], unit: str) -> list[Evaluation]:
    """The evaluations that no other one dominates, from cheap to dear; of equals the first."""
    costs = np.array([evaluation.cost(unit) for evaluation in evaluations])
    scores = np.array([evaluation.score.mean for evaluation in evaluations])
    distinct: dict[tuple[float, float], Evaluation] = {}
    for row in np.flatnonzero(~dominated_by(costs, scores).any(1)).tolist():
        distinct.setdefault((float(costs[row]), float(scores[row])), evaluations[row])
    return [distinct[place] for place in sorted(distinct)]
