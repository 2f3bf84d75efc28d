"""Measures of steadiness on poses whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.metrics.steadiness import Steadiness, SteadinessMeter
from vipnas_cli.pose import People, Skeleton

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
# 100 pixels high.
POINTS = np.array([[50, 0], [30, 40], [70, 40], [40, 100], [60, 100]], np.float32)
STILL = [POINTS] * 6
LEFT_HAND = 1


def people(points: np.ndarray, score: float = 0.9, identity: int = 0) -> People:
    return People(
        np.array([identity]),
        np.zeros((1, 4), np.float32),
        points[None].astype(np.float32),
        np.full((1, 5), score, "f4"),
    )


def measured(frames: list[np.ndarray], **settings: float) -> Steadiness:
    meter = SteadinessMeter(DOTS)
    for index, points in enumerate(frames):
        meter.add(index, people(points, **settings))
    return meter.result


def moved(joint: int, x: float, y: float = 0.0) -> np.ndarray:
    points = POINTS.copy()
    points[joint] += (x, y)
    return points


def test_who_stands_still_is_steady() -> None:
    assert measured(STILL) == Steadiness(5, 0, 0, 0, 0.0)


@pytest.mark.parametrize(("pixels", "jumps"), [(9, 0), (11, 2)])
def test_there_and_back_by_more_than_a_tenth_of_the_height_is_two_jumps(pixels: float, jumps: int) -> None:
    frames = [POINTS, POINTS, moved(LEFT_HAND, pixels), POINTS, POINTS]
    assert measured(frames).jumps == jumps
    assert measured(frames).spikes == (jumps > 0)
    # Shares of the height do not depend on the size of the picture.
    assert measured([3 * frame for frame in frames]) == measured(frames)
    assert measured(frames, score=0.2).jumps == 0


def test_exchanged_hands_and_feet_are_exchanges_and_one_step_each_way() -> None:
    exchanged = POINTS[list(DOTS.flip_order)]
    found = measured([POINTS, POINTS, exchanged, exchanged, POINTS])
    assert (found.steps, found.exchanges, found.exchanges_per_100) == (4, 2, 50.0)
    # A whole body that moves to one side exchanges nothing.
    assert measured([POINTS, POINTS + np.float32([40, 0])]) == Steadiness(
        1, 1, 0, 0, pytest.approx(np.nan, nan_ok=True)
    )


def test_keypoints_without_sides_are_measured_and_exchange_nothing() -> None:
    meter = SteadinessMeter(Skeleton("tail", ("head", "back", "tail"), (), (0.05,) * 3))
    points = POINTS[:3]
    for index, x in enumerate([0, 0, 40]):
        found = People(np.array([0]), np.zeros((1, 4), "f4"), points[None] + np.float32([x, 0]), np.ones((1, 3), "f4"))
        meter.add(index, found)
    assert (meter.result.steps, meter.result.jumps, meter.result.exchanges) == (2, 1, 0)


def test_the_acceleration_is_that_of_a_parabola_and_steady_motion_has_none() -> None:
    assert measured([POINTS + np.float32([4 * i, 0]) for i in range(6)]).acceleration == pytest.approx(0, abs=1e-4)
    # Quick motion jumps, but has no spikes.
    quick = measured([POINTS + np.float32([20 * i, 0]) for i in range(6)])
    assert (quick.jumps, quick.spikes) == (5, 0)
    assert measured([POINTS + np.float32([0, i * i]) for i in range(6)]).acceleration == pytest.approx(2.0)


def test_steps_end_where_somebody_is_away_and_belong_to_one_person() -> None:
    meter = SteadinessMeter(DOTS)
    for index, identity, x in [(0, 0, 0), (1, 0, 0), (3, 0, 50), (4, 1, 90), (5, 0, 50), (6, 0, 50)]:
        meter.add(index, people(POINTS + np.float32([x, 0]), identity=identity))
    assert meter.result == Steadiness(2, 0, 0, 0, pytest.approx(np.nan, nan_ok=True))
    assert np.isnan(SteadinessMeter(DOTS).result.jumps_per_100)
