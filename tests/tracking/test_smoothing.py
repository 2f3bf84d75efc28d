"""The filter removes jitter, keeps up with motion, and knows neither frame rate nor resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import People
from vipnas_cli.tracking import HIGH, LOW, OFF, SMOOTHING_PRESETS, Smoother, SmoothingOptions

SIZE = 100.0


def people_of(points: np.ndarray, ids: list[int] | None = None, score: float = 1.0, scale: float = 1.0) -> People:
    """People with points (P, K, 2), each in a box of 100 by 100 pixels times `scale`."""
    points = np.asarray(points, np.float32)
    boxes = np.tile(np.array([0, 0, SIZE, SIZE], np.float32) * np.float32(scale), (len(points), 1))
    return People(np.array(ids or range(len(points)), np.int64), boxes, points, np.full(points.shape[:2], score, "f4"))


def track(smoother: Smoother, xs: list[float], rate: float = 30.0, score: float = 1.0) -> list[float]:
    """The smoothed x of one keypoint that is seen at `xs`."""
    steps = (people_of(np.array([[[x, 0.0]]]), score=score) for x in xs)
    return [float(smoother.smooth(people, i / rate).points_frame[0, 0, 0]) for i, people in enumerate(steps)]


def test_first_sighting_and_rest_pass_unchanged() -> None:
    assert track(Smoother(HIGH), [40.0] * 5) == [40.0] * 5


def test_off_changes_nothing() -> None:
    people = people_of(np.random.default_rng(0).normal(size=(2, 3, 2)))
    smoother = Smoother(OFF)
    assert all(smoother.smooth(people, time_s) is people for time_s in (0.0, 0.1))


def test_presets_are_ordered_by_the_jitter_they_remove() -> None:
    noise = (50 + np.random.default_rng(1).normal(0, 0.8, 300)).tolist()
    spread = {name: float(np.std(track(Smoother(options), noise))) for name, options in SMOOTHING_PRESETS.items()}
    assert spread["high"] < 0.5 * spread["off"]
    assert spread["high"] < spread["low"] < 0.75 * spread["off"]


def test_fast_motion_hardly_lags() -> None:
    xs = [300.0 * frame / 30 for frame in range(60)]
    assert xs[-1] - track(Smoother(LOW), xs)[-1] < 0.02 * SIZE
    assert xs[-1] - track(Smoother(HIGH), xs)[-1] < 0.07 * SIZE


@pytest.mark.parametrize("rate", [5.0, 24.0, 120.0])
def test_step_answer_of_a_plain_low_pass_depends_on_seconds_only(rate: float) -> None:
    smoother = Smoother(SmoothingOptions(rest_cutoff_hz=1.0))
    frames = round(0.2 * rate)
    xs = track(smoother, [0.0] + [10.0] * frames, rate)
    assert xs[-1] == pytest.approx(10 * (1 - math.exp(-2 * math.pi * frames / rate)), rel=1e-5)


def test_result_scales_with_the_resolution() -> None:
    moves = np.random.default_rng(2).normal(0, 3, (20, 2, 4, 2)).cumsum(0)
    small, large = Smoother(LOW), Smoother(LOW)
    for frame, points in enumerate(moves):
        a = small.smooth(people_of(points), frame / 25).points_frame
        b = large.smooth(people_of(4 * points, scale=4), frame / 25).points_frame
        np.testing.assert_allclose(4 * a, b, rtol=1e-5, atol=1e-4)


def test_people_are_filtered_each_alone_whatever_their_order() -> None:
    moves = np.random.default_rng(3).normal(0, 3, (12, 3, 5, 2)).cumsum(0)
    together, alone = Smoother(LOW), [Smoother(LOW) for _ in range(3)]
    for frame, points in enumerate(moves):
        order = np.roll(np.arange(3), frame)
        joint = together.smooth(people_of(points)[order], frame / 25)
        for row, person in enumerate(order):
            single = alone[person].smooth(people_of(points)[[person]], frame / 25)
            np.testing.assert_array_equal(joint.points_frame[row], single.points_frame[0])
        assert joint.ids.tolist() == order.tolist()


def test_doubtful_keypoints_move_less() -> None:
    sure, unsure, nothing = (track(Smoother(LOW), [0.0, 10.0], score=score)[1] for score in (0.9, 0.1, 0.0))
    assert 0 == nothing < unsure < 0.5 * sure


def test_unknown_keypoints_stay_unknown_and_poison_nothing() -> None:
    smoother = Smoother(LOW)
    shown = track(smoother, [10.0, math.nan, 10.0, math.nan, 12.0])
    assert np.isnan(shown).tolist() == [False, True, False, True, False]
    assert shown[2] == 10.0
    assert 10.0 < shown[4] < 12.0
    scores = people_of(np.array([[[12.0, 0.0]]]), score=math.nan)
    assert np.isfinite(smoother.smooth(scores, 0.2).points_frame).all()


def test_long_absence_starts_anew() -> None:
    for absent_s, held in ((0.2, True), (LOW.forget_s + 0.3, False)):
        smoother = Smoother(LOW)
        track(smoother, [0.0] * 10)
        for time_s in np.arange(0.31, 0.3 + absent_s, 0.05):
            smoother.smooth(People.nobody(1), float(time_s))
        x = smoother.smooth(people_of(np.array([[[5.0, 0.0]]])), 0.3 + absent_s).points_frame[0, 0, 0]
        assert (x < 5.0) == held


def test_state_of_the_vanished_is_dropped() -> None:
    smoother = Smoother(LOW)
    for frame in range(200):
        smoother.smooth(people_of(np.zeros((1, 2, 2)), ids=[frame + 1]), frame / 10)
    assert smoother._trace is not None
    assert len(smoother._trace.ids) <= 10 * LOW.forget_s + 1


def test_same_or_earlier_time_keeps_the_estimate() -> None:
    smoother = Smoother(LOW)
    first = track(smoother, [0.0, 4.0])[1]
    for time_s in (1 / 30, 0.0):
        assert smoother.smooth(people_of(np.array([[[9.0, 0.0]]])), time_s).points_frame[0, 0, 0] == np.float32(first)


def test_only_points_change() -> None:
    smoother = Smoother(LOW)
    track(smoother, [0.0])
    people = people_of(np.array([[[9.0, 1.0]]]), score=0.4)
    after = smoother.smooth(people, 0.1)
    assert after.points_frame.dtype == np.float32
    assert after.boxes_frame is people.boxes_frame
    assert after.scores is people.scores


def test_reset_makes_the_second_run_equal_the_first() -> None:
    xs = np.random.default_rng(4).normal(0, 5, 30).tolist()
    smoother = Smoother(HIGH)
    first = track(smoother, xs)
    smoother.reset()
    assert track(smoother, xs) == first


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(UsageError, match="rest_cutoff_hz"):
        SmoothingOptions(rest_cutoff_hz=0)
    with pytest.raises(UsageError, match="forget_s"):
        SmoothingOptions(rest_cutoff_hz=1, forget_s=-1)


def test_a_keypoint_that_nobody_believes_in_for_long_is_where_it_is_seen() -> None:
    smoother = Smoother(LOW)
    xs = track(smoother, [0.0] * 3)
    later = [smoother.smooth(people_of(np.array([[[80.0, 0.0]]]), score=0.0), 0.1 + i / 30) for i in range(60)]
    xs += [float(people.points_frame[0, 0, 0]) for people in later]
    assert xs[:4] == [0.0] * 4
    assert xs[-1] == 80.0
