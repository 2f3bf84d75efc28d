"""Ids hold when people pass each other: looks decide where they differ, motion where they do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vipnas_cli.pose import People
from vipnas_cli.tracking import IdentityTracker, TrackingOptions
from vipnas_cli.tracking.appearance import PARTS

RATE = 25
ACROSS = np.array([0, 2, -2, 4, -4, 20, -20, 30, -30, 35, -35, 14, -14, 15, -15, 16, -16], np.float32)
DOWN = np.array([0, -3, -3, 0, 0, 25, 25, 60, 60, 95, 95, 95, 95, 145, 145, 190, 190], np.float32)
RED, BLUE = np.full((len(PARTS), 3), 20.0), np.full((len(PARTS), 3), 60.0)
UNKNOWN = np.full((len(PARTS), 3), np.nan)


def people_at(xs: list[float]) -> People:
    points = np.stack([np.stack([x + ACROSS, 200 + DOWN], -1) for x in xs]) if xs else np.zeros((0, 17, 2))
    points = points.astype(np.float32)
    boxes = np.concatenate([points.min(1) - 5, points.max(1) + 5], 1) if xs else np.zeros((0, 4), np.float32)
    return People(np.zeros(len(xs), np.int64), boxes, points, np.full(points.shape[:2], 0.9, np.float32))


def match(tracker: IdentityTracker, xs: list[float], time_s: float, looks: list[np.ndarray] | None) -> list[int]:
    found = people_at(xs)
    stacked = None if looks is None else np.array(looks).reshape(len(xs), len(PARTS), 3)
    return tracker.match(found.boxes_frame, found.points_frame, found.scores, time_s, stacked).tolist()


def places(frame: int, turn_back: bool = False) -> list[float]:
    """Where two people are: they walk past each other, or turn back where they meet; the meeting is at frame 25."""
    away = 6.0 * (25 - frame)
    away = abs(away) if turn_back else away
    return [300 - away, 300 + away]


def meet(tracker: IdentityTracker, turn_back: bool, looks: list[np.ndarray] | None, hidden: int = 0) -> list[int]:
    """Ids of the two after they met; for `hidden` frames around the meeting only the first, in front, is found."""
    shown: list[int] = []
    for frame in range(51):
        both = places(frame, turn_back)
        if abs(frame - 25) < hidden:
            match(tracker, both[:1], frame / RATE, None if looks is None else looks[:1])
        else:
            shown = match(tracker, both, frame / RATE, looks)
    return shown


@pytest.mark.parametrize("turn_back", [False, True])
@pytest.mark.parametrize("hidden", [0, 2, 5, 9])
def test_who_looks_different_keeps_the_id_past_a_meeting(turn_back: bool, hidden: int) -> None:
    assert meet(IdentityTracker(), turn_back, [RED, BLUE], hidden) == [0, 1]


@pytest.mark.parametrize("hidden", [0, 2, 5])
def test_motion_decides_between_those_who_look_alike(hidden: int) -> None:
    for looks in ([RED, RED], [UNKNOWN, UNKNOWN], None):
        assert meet(IdentityTracker(), False, looks, hidden) == [0, 1]


def test_unknown_looks_change_nothing() -> None:
    def run(looks: bool) -> list[list[int]]:
        generator, tracker, shown = np.random.default_rng(5), IdentityTracker(), []
        for frame in range(60):
            xs = (np.flatnonzero(generator.random(6) < 0.8) * 70.0 + generator.normal(0, 8)).tolist()
            shown.append(match(tracker, xs, frame / 10, [UNKNOWN] * len(xs) if looks else None))
        return shown

    assert run(True) == run(False)


def test_an_exchange_in_a_crowd_is_undone_when_looks_are_compared_again() -> None:
    tracker = IdentityTracker()
    for frame in range(20):
        match(tracker, places(frame), frame / RATE, [RED, BLUE])
    for frame in range(20, 36):
        # The followers' slots turn back with the wrong bodies.
        wrong = people_at(places(frame, turn_back=True))
        tracker.observe(People(np.array([0, 1]), wrong.boxes_frame, wrong.points_frame, wrong.scores), frame / RATE)
    assert match(tracker, places(36), 36 / RATE, [RED, BLUE]) == [0, 1]


def test_people_apart_are_not_exchanged_by_a_change_of_colours() -> None:
    tracker = IdentityTracker()
    for frame in range(10):
        match(tracker, [100, 250], frame / RATE, [RED, BLUE])
    assert match(tracker, [101, 251], 10 / RATE, [BLUE, RED]) == [0, 1]


def test_looks_of_people_in_a_crowd_are_not_learnt() -> None:
    tracker = IdentityTracker(options=TrackingOptions(look_time_s=0.0))
    for frame in range(10):
        match(tracker, places(frame), frame / RATE, [RED, BLUE])
    for frame in range(20, 31):
        # Both poses are drawn on the body in front.
        match(tracker, places(frame), frame / RATE, [RED, RED])
    assert match(tracker, places(31), 31 / RATE, [RED, BLUE]) == [0, 1]


def test_order_of_the_found_does_not_matter() -> None:
    looks = [RED, BLUE, 0.5 * (RED + BLUE)]
    for order in itertools.permutations(range(3)):
        tracker = IdentityTracker()
        for frame in range(51):
            xs = [*places(frame), 600.0]
            rows = list(order) if frame else [0, 1, 2]
            ids = match(tracker, [xs[row] for row in rows], frame / RATE, [looks[row] for row in rows])
            assert ids == rows, frame


def test_reset_repeats() -> None:
    tracker = IdentityTracker()
    first = meet(tracker, True, [RED, BLUE], hidden=5)
    tracker.reset()
    assert meet(tracker, True, [RED, BLUE], hidden=5) == first


def test_someone_new_in_a_crowd_gets_no_known_id() -> None:
    tracker = IdentityTracker()
    green = np.full((len(PARTS), 3), 120.0)
    for frame in range(20):
        match(tracker, places(frame), frame / RATE, [RED, BLUE])
    xs = [*places(20), 480.0]
    assert match(tracker, xs, 20 / RATE, [RED, BLUE, green]) == [0, 1, 2]


def test_a_double_that_appears_on_someone_does_not_take_the_id() -> None:
    tracker = IdentityTracker()
    for frame in range(10):
        match(tracker, [100.0], frame / RATE, [RED])
    # A second pose is found on the same body, beside the first one.
    assert match(tracker, [98.0, 112.0], 10 / RATE, [RED, RED]) == [0, 1]
    # Then only one is left, where the second was.
    assert match(tracker, [112.0], 11 / RATE, [RED]) == [0]
