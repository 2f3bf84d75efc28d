"""Frames with two people who come and go."""

from fractions import Fraction

import numpy as np
import pytest

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People


@pytest.fixture(scope="session")
def frames() -> list[FrameResult]:
    return [_frame(0, 4), _frame(1, 4, 7), _frame(2, 7), _frame(3), _frame(4, 7, 4), _frame(5, 7)]


def _frame(index: int, *ids: int) -> FrameResult:
    """A frame with these people, each somewhere else."""
    points = np.random.default_rng(index).uniform(0, 100, (len(ids), 17, 2)).astype(np.float32)
    boxes = np.tile(np.array([0, 0, 100, 100], np.float32), (len(ids), 1))
    people = People(np.array(ids, np.int64), boxes, points, np.full((len(ids), 17), 0.9, np.float32))
    return FrameResult(index, index, float(Fraction(index, 25)), people, index == 0)
