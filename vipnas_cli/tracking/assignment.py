"""Who is assigned to whom, so that the sum of similarities is highest.

Shapes: N and M are the people of two sets.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations
from math import perm

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Flags, Ids

# So many assignments are tried one by one: loading scipy.optimize takes as long as thirty frames.
FEW = 120


def best_assignment(similarity: NDArray[np.float64], near: Flags) -> tuple[Ids, Ids]:
    """Rows and columns of the best one-to-one assignment by similarity (N, M), of which the pairs that are `near`
    (N, M) are kept."""
    if not similarity.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    values = np.where(near, similarity, 0.0)
    if perm(max(values.shape), min(values.shape)) <= FEW:
        rows, columns = _best_of_all(values)
    else:
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(values, maximize=True)
    kept = near[rows, columns]
    return rows[kept], columns[kept]


def _best_of_all(values: NDArray[np.float64]) -> tuple[Ids, Ids]:
    """The same as the solver's, by trying each assignment."""
    if values.shape[0] > values.shape[1]:
        columns, rows = _best_of_all(values.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    rows, orders = np.arange(values.shape[0]), _orders(*values.shape)
    return rows, orders[values[rows, orders].sum(1).argmax()]


@cache
def _orders(few: int, many: int) -> Ids:
    """All ways (W, few) to choose `few` of `many` in order."""
    return np.array(list(permutations(range(many), few)), np.int64)
