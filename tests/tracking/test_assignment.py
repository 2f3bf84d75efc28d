"""The best assignment is the solver's, whether few are tried one by one or many are solved for."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vipnas_cli.tracking.assignment import best_assignment

SHAPES = [(1, 4), (4, 1), (1, 1), (2, 2), (2, 7), (7, 2), (3, 5), (4, 4), (5, 4), (5, 5), (6, 6), (9, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_solvers(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        similarity = generator.random(shape)
        near = generator.random(shape) > 0.5
        rows, columns = linear_sum_assignment(np.where(near, similarity, 0.0), maximize=True)
        kept = near[rows, columns]
        found = best_assignment(similarity, near)
        assert set(zip(*found, strict=True)) == set(zip(rows[kept], columns[kept], strict=True))
        turned = best_assignment(similarity.T, near.T)
        assert set(zip(*turned, strict=True)) == {(column, row) for row, column in zip(*found, strict=True)}


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_is_assigned_to_nobody(shape: tuple[int, int]) -> None:
    rows, columns = best_assignment(np.zeros(shape), np.zeros(shape, np.bool_))
    assert len(rows) == len(columns) == 0


def test_a_few_people_load_no_scipy() -> None:
    program = """
import sys
import numpy as np
from vipnas_cli.tracking.assignment import best_assignment
best_assignment(np.eye(4), np.eye(4) > 0)
sys.exit("scipy" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
