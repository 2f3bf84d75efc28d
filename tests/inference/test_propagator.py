"""Laws of pose propagation, on pictures whose keypoints are painted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vipnas_cli.inference.changes import ChangeOptions
from vipnas_cli.inference.crops import moved_box
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.flow import Moves
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.pose import Skeleton
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan
from vipnas_cli.tracking.ids import IdentityTracker

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
POINTS = np.array([[50, 30], [30, 60], [70, 60], [40, 110], [60, 110]], np.float32)


def painted(offset: tuple[float, float], size: tuple[int, int] = (160, 240)) -> np.ndarray:
    """A black picture with one person's five dots, 5 × 5 pixels each so that crops keep them."""
    image = np.zeros((*size, 3), np.uint8)
    for keypoint, (x, y) in enumerate(POINTS + np.array(offset)):
        column, row = round(float(x)), round(float(y))
        image[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = (10 * (keypoint + 1), 255, 0)
    return image


def box(offset: tuple[float, float]) -> np.ndarray:
    x, y = offset
    return np.array([[20 + x, 20 + y, 80 + x, 120 + y, 1]], np.float32)


def propagator(cycle: int, boxes: dict[int, np.ndarray], early: bool = False) -> Propagator:
    plans = (Plan(FAST_BASE), *[Plan(FAST_BASE, FusionSpec("add", 1))] * (cycle - 1))
    estimator = PaintedEstimator(plans, DOTS)
    options = PropagationOptions(early_keys=early)
    return Propagator(estimator, GivenBoxesSource(boxes), IdentityTracker(DOTS), options)


def run(found: Propagator, offsets: list[tuple[float, float]]) -> list:
    return [found.step(painted(offset), index, index / 30) for index, offset in enumerate(offsets)]


WALK = [(4.0 * index, 0.0) for index in range(12)]


def test_calls_follow_the_schedule() -> None:
    found = propagator(4, {0: box((0, 0)), 4: box(WALK[4]), 8: box(WALK[8])})
    run(found, WALK)
    assert [position for position, _ in found.estimator.calls] == [0, 1, 2, 3] * 3


def test_followers_keep_the_person_without_a_detector() -> None:
    steps = run(propagator(4, {0: box((0, 0)), 4: box(WALK[4]), 8: box(WALK[8])}), WALK)
    for step, offset in zip(steps, WALK, strict=True):
        assert step.people.ids.tolist() == [0]
        np.testing.assert_allclose(step.people.points_frame[0], POINTS + np.array(offset), atol=1.0)


def test_a_cycle_of_one_that_remembers_nothing_equals_independent_frames() -> None:
    boxes = {index: box(offset) for index, offset in enumerate(WALK)}
    found = propagator(1, boxes)
    found.options = replace(found.options, key_memory=0)
    together = run(found, WALK)
    for index, offset in enumerate(WALK):
        alone = propagator(1, {0: box(offset)}).step(painted(offset), 0, 0.0)
        np.testing.assert_array_equal(alone.people.points_frame, together[index].people.points_frame)


def test_a_second_run_after_reset_equals_the_first() -> None:
    found = propagator(3, {0: box((0, 0)), 3: box(WALK[3]), 6: box(WALK[6]), 9: box(WALK[9])})
    first = run(found, WALK)
    found.reset()
    second = run(found, WALK)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.people.points_frame, b.people.points_frame)
        np.testing.assert_array_equal(a.people.ids, b.people.ids)


def test_nobody_is_normal() -> None:
    steps = [propagator(4, {}).step(np.zeros((90, 160, 3), np.uint8), 0, 0.0)]
    assert len(steps[0].people) == 0
    found = propagator(4, {})
    assert all(len(step.people) == 0 for step in run(found, WALK))
    assert found.estimator.calls == []


def test_a_person_whom_the_detector_misses_stays_and_moves_on() -> None:
    found = propagator(1, {0: box((0, 0))})
    for step, offset in zip(run(found, WALK), WALK, strict=True):
        assert step.people.ids.tolist() == [0]
        np.testing.assert_allclose(step.people.points_frame[0], POINTS + np.array(offset), atol=1.0)


@pytest.mark.parametrize("cycle", [1, 2])
def test_of_two_peaks_a_key_frame_takes_the_one_where_the_joint_was(cycle: int) -> None:
    found = propagator(cycle, {index: box((0, 0)) for index in range(3)})
    found.options = replace(found.options, steady_joints=False, steady_sides=False)
    picture = painted((0, 0))
    before = [found.step(picture, index, index / 30) for index in range(2 * cycle - 1)][-1]
    heatmaps = found.estimator.estimate
    left, right = 1, 2

    def either(*given: Any) -> np.ndarray:
        """Either hand for both, a little rather the other one."""
        maps = heatmaps(*given)
        return 0.5 * maps + 0.55 * maps[:, [0, right, left, 3, 4]]

    found.estimator.estimate = either  # type: ignore[method-assign]
    after = found.step(picture, 2 * cycle - 1, (2 * cycle - 1) / 30)
    np.testing.assert_allclose(after.people.points_frame, before.people.points_frame, atol=0.5)


@pytest.mark.parametrize("cycle", [1, 2, 8])
def test_what_is_remembered_moves_as_the_person_does_now_not_as_before(cycle: int) -> None:
    starts = [(0.0, 0.0)] * 5 + [(12.0, -6.0)] * 2 + [(24.0, -12.0)]
    found = propagator(cycle, {index: box(offset) for index, offset in enumerate(starts)})
    found.options = replace(found.options, steady_joints=False)
    for step, offset in zip(run(found, starts), starts, strict=True):
        np.testing.assert_allclose(step.people.points_frame[0], POINTS + np.array(offset), atol=1.0)


def moves(ways: Sequence[float], seen: bool) -> Moves:
    ways = np.array(ways)
    return Moves(np.zeros((*ways.shape, 2)), ways, np.full(ways.shape, seen))


def test_what_is_seen_to_stay_is_remembered_however_long_ago_and_less_of_what_moved_far() -> None:
    options = PropagationOptions()
    near, way, twice = options.memory_shares(moves([0, 0.1, 0.2], seen=True), 5.0)
    assert near == options.memory
    assert twice / near == pytest.approx((way / near) ** 2)
    assert not PropagationOptions(memory=0).memory_shares(moves([0, 0.1], seen=True), 0.1).any()


def test_where_flow_tells_nothing_memory_fades_with_time_however_many_frames_there_are() -> None:
    options = PropagationOptions()
    now, one, two = (float(options.memory_shares(moves([0.1], seen=False), gap_s)[0]) for gap_s in (0, 1 / 30, 2 / 30))
    assert now == options.blind_memory == options.memory_shares(moves([0.0], seen=False), -1.0)[0]
    assert two / now == pytest.approx((one / now) ** 2)


@pytest.mark.parametrize("memory", [0.8, 0.3, 0.0])
def test_a_follower_is_believed_as_far_as_memory_of_who_stands_still_leaves_room(memory: float) -> None:
    found = propagator(8, {0: box((0, 0))})
    found.options = replace(found.options, steady_joints=False, memory=memory)
    picture = painted((0, 0))
    found.step(picture, 0, 0.0)
    heatmaps = found.estimator.estimate
    # The follower sees everything a little farther to the right, and nothing in the picture moves.
    found.estimator.estimate = lambda *given: np.roll(heatmaps(*given), 1, -1)  # type: ignore[method-assign]
    step = found.step(picture, 1, 0.2)
    cell, moved = 4 * 1.25 * 100 / FAST_BASE.height, float((step.people.points_frame[0] - POINTS)[:, 0].mean())
    assert moved == pytest.approx((1 - found.options.memory) * cell, abs=0.1)


@pytest.mark.parametrize(
    ("rate", "shortest", "keys"),
    [
        (30, 1, [0, 4, 8]),
        (24, 1, [0, 4, 8]),
        (20, 1, [0, 3, 6]),
        (15, 1, [0, 2, 4, 6, 8]),
        (10, 3, [0, 3, 6]),
        (10, 4, [0, 4, 8]),
        (10, 0, [0, 4, 8]),
        (5, 1, list(range(9))),
    ],
)
def test_cycles_of_slow_video_are_shorter_but_not_than_the_budget_allows(
    rate: int, shortest: int, keys: list[int]
) -> None:
    found = propagator(4, {index: box((0, 0)) for index in range(9)}, early=True)
    found.options = replace(found.options, shortest_cycle=shortest)
    # Times as a container in milliseconds has them.
    steps = [found.step(painted((0, 0)), index, round(index / rate, 3)) for index in range(9)]
    assert [index for index, step in enumerate(steps) if step.reason == "cycle"] == keys


def test_a_person_who_leaves_is_dropped_and_asks_for_a_key_frame() -> None:
    found = propagator(8, {0: box((0, 0))}, early=True)
    found.step(painted((0, 0)), 0, 0.0)
    gone = found.step(np.zeros((160, 240, 3), np.uint8), 1, 1 / 30)
    assert len(gone.people) == 0
    assert found.step(np.zeros((160, 240, 3), np.uint8), 2, 2 / 30).reason == "lost"


@pytest.mark.parametrize("cycle", [1, 3, 8])
def test_a_cut_brings_a_key_frame_that_knows_nobody_also_where_one_is_due(cycle: int) -> None:
    generator = np.random.default_rng(0)
    scenes = [np.kron(generator.integers(0, 2, (9, 16)), np.ones((20, 20))).astype(np.uint8) * 255 for _ in range(2)]
    found = propagator(cycle, {}, early=True)
    first = [found.step(np.repeat(scenes[0][:, :, None], 3, 2), index, index / 30) for index in range(3)]
    cut = found.step(np.repeat(scenes[1][:, :, None], 3, 2), 3, 0.1)
    assert [step.reason for step in first] == ["cycle", *(["cycle"] * 2 if cycle == 1 else [None] * 2)]
    assert cut.reason == "cut"


def test_who_is_followed_into_a_cut_is_somebody_else_behind_it() -> None:
    found = propagator(3, {index: box(WALK[index]) for index in (0, 3)}, early=True)
    before = run(found, WALK[:3])
    scene = np.kron(np.random.default_rng(0).integers(0, 2, (8, 12, 1)), np.ones((20, 20, 1))).astype(np.uint8) * 255
    after = found.step(np.maximum(painted(WALK[3]), scene * np.array([1, 0, 0], np.uint8)), 3, 0.1)
    assert after.reason == "cut"
    assert len(after.people) == 1
    assert after.people.ids[0] != before[-1].people.ids[0]


def test_the_one_who_is_told_of_is_another_one_behind_a_cut() -> None:
    found = propagator(3, {index: box(WALK[index]) for index in (0, 3)}, early=True)
    found.options = replace(found.options, one=True)
    assert all(len(step.people) == 1 for step in run(found, WALK[:3]))
    scene = np.kron(np.random.default_rng(0).integers(0, 2, (8, 12, 1)), np.ones((20, 20, 1))).astype(np.uint8) * 255
    after = found.step(np.maximum(painted(WALK[3]), scene * np.array([1, 0, 0], np.uint8)), 3, 0.1)
    assert after.reason == "cut"
    assert len(after.people) == 1


def test_a_newcomer_at_the_border_brings_a_key_frame() -> None:
    found = propagator(8, {}, early=True)
    empty = np.full((180, 320, 3), 90, np.uint8)
    arriving = empty.copy()
    arriving[60:170, :30] = 230
    assert found.step(empty, 0, 0.0).reason == "cycle"
    assert found.step(empty, 1, 0.03).reason is None
    assert found.step(arriving, 2, 0.06).reason == "border"


def test_the_budget_limits_people() -> None:
    boxes = np.concatenate([box((40.0 * index, 0)) for index in range(4)])
    found = propagator(1, {0: boxes})
    found.options = PropagationOptions(max_people=2)
    found.step(painted((0, 0)), 0, 0.0)
    assert found.estimator.calls == [(0, 2)]


SURE = np.ones(5, np.float32)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.5])
def test_a_box_moves_and_scales_with_its_keypoints(scale: float) -> None:
    last, shift = np.array([10, 10, 90, 130], np.float32), np.array([30, -5], np.float32)
    now = POINTS * np.float32(scale) + shift
    expected = (last.reshape(2, 2) * scale + shift).reshape(-1)
    np.testing.assert_allclose(moved_box(last, (POINTS, SURE), (now, SURE)), expected, rtol=1e-4, atol=1e-3)


def test_a_joint_that_is_no_longer_seen_does_not_move_the_box() -> None:
    last = np.array([10, 10, 90, 130], np.float32)
    lost = SURE.copy()
    lost[3:] = 0
    np.testing.assert_allclose(moved_box(last, (POINTS, SURE), (POINTS, lost)), last, atol=1e-3)


def test_a_box_grows_to_hold_an_outstretched_hand() -> None:
    last = np.array([10, 10, 90, 130], np.float32)
    reaching = POINTS.copy()
    reaching[1] = (-60, 60)
    assert moved_box(last, (POINTS, SURE), (reaching, SURE))[0] < -60


def test_exchanged_sides_are_undone_in_points_and_heatmaps() -> None:
    def steps(wrong: bool, steady: bool) -> tuple[list, Propagator]:
        found = propagator(3, {0: box((0, 0)), 3: box((0, 0)), 6: box((0, 0))})
        # Alone: a key frame that remembers moves peaks by thousandths of a pixel.
        found.options = PropagationOptions(
            early_keys=False, steady_sides=steady, key_memory=0, memory=0, blind_memory=0
        )
        images = [painted((0, 0)) for _ in range(8)]
        if wrong:
            # The dots' colours are their keypoints: the seventh frame, a key frame, shows hands and feet exchanged.
            images[6] = np.select(
                [images[6][..., :1] == 10 * k for k in (2, 3, 4, 5)],
                [np.where(np.arange(3) == 0, v, images[6]) for v in (30, 20, 50, 40)],
                images[6],
            )
        return [found.step(image.astype(np.uint8), i, i / 30) for i, image in enumerate(images)], found

    straight, _ = steps(wrong=False, steady=True)
    undone, _ = steps(wrong=True, steady=True)
    left, _ = steps(wrong=True, steady=False)
    np.testing.assert_allclose(undone[6].people.points_frame, straight[6].people.points_frame, atol=1e-3)
    assert np.abs(left[6].people.points_frame - straight[6].people.points_frame).max() > 10


class CountedSource:
    """Boxes by frame, and on which frames it was asked."""

    def __init__(self, boxes: dict[int, np.ndarray]) -> None:
        self._boxes = GivenBoxesSource(boxes)
        self.asked: list[int] = []

    def boxes(self, image: np.ndarray, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
        """See PeopleSource."""
        self.asked.append(frame_index)
        return self._boxes.boxes(image, frame_index)


def watched(cycle: int, boxes: dict[int, np.ndarray], every_s: float) -> tuple[Propagator, CountedSource]:
    plans = (Plan(FAST_BASE), *[Plan(FAST_BASE, FusionSpec("add", 1))] * (cycle - 1))
    source = CountedSource(boxes)
    options = PropagationOptions(detect_every_s=every_s)
    return Propagator(PaintedEstimator(plans, DOTS), source, IdentityTracker(DOTS), options), source


@pytest.mark.parametrize(
    ("cycle", "every_s", "asked"),
    [(1, 0.0, list(range(12))), (1, 0.1, [0, 3, 6, 9]), (2, 0.25, [0, 8]), (3, 0.1, [0, 3, 6, 9])],
)
def test_people_are_looked_for_on_key_frames_no_more_often_than_asked(
    cycle: int, every_s: float, asked: list[int]
) -> None:
    found, source = watched(cycle, {index: box(offset) for index, offset in enumerate(WALK)}, every_s)
    steps = run(found, WALK)
    assert source.asked == asked
    assert [index for index, step in enumerate(steps) if step.looked] == asked
    assert [step.position for step in steps] == [index % cycle for index in range(12)]


@pytest.mark.parametrize(
    ("frames", "rest_s", "asked"),
    [
        # Slow video: as many frames pass as are asked for, but no more time than a rest has.
        (4, 10.0, [0, 4, 8]),
        (9, 0.2, [0, 6]),
        # Nobody moves but the one who is followed, so that a look can wait as long as a rest.
        (0, 0.3, [0, 9]),
    ],
)
def test_looks_wait_for_frames_and_while_nothing_is_new(frames: int, rest_s: float, asked: list[int]) -> None:
    every_s = 0.04 if frames else 0.1
    found, source = watched(1, {index: box(offset) for index, offset in enumerate(WALK)}, every_s)
    found.options = replace(found.options, detect_every_frames=frames, rest_s=rest_s)
    if frames:
        found.options = replace(found.options, changes=ChangeOptions(still=-1))
    run(found, WALK)
    assert source.asked == asked


def test_rests_double_while_looks_find_the_same_people() -> None:
    boxes = {index: box((0, 0)) for index in range(60)}
    boxes.update({index: np.concatenate([boxes[index], box((100, 0))]) for index in range(20, 60)})
    found, source = watched(1, boxes, 0.1)
    found.options = replace(found.options, rest_s=0.1, longest_rest_s=0.4, changes=ChangeOptions(still=1))
    for index in range(60):
        found.step(np.maximum(painted((0, 0)), painted((100, 0)) if index >= 20 else 0), index, index / 30)
    assert np.diff(source.asked).tolist() == [3, 6, 12, 3, 6, 12, 12]


@pytest.mark.parametrize(("rest_score", "frames"), [(0.0, 12), (1.1, 3)], ids=["sure", "doubtful"])
def test_there_is_no_rest_while_someone_is_doubtful(rest_score: float, frames: int) -> None:
    found, source = watched(1, {index: box((0, 0)) for index in range(60)}, 0.1)
    rest = {"rest_s": 0.4, "longest_rest_s": 0.4, "rest_score": rest_score}
    found.options = replace(found.options, **rest, changes=ChangeOptions(still=1))
    run(found, [(0, 0)] * 30)
    assert set(np.diff(source.asked)) == {frames}


def test_an_empty_picture_that_stays_as_it_is_is_looked_at_now_and_then() -> None:
    found, source = watched(1, {}, 10.0)
    found.options = replace(found.options, search_every_s=0.1, rest_s=0.2)
    for index in range(50):
        image = painted((500, 0))
        # Something moves that is nobody, and stays where it is at last.
        image[40:80, 5 * min(index, 35) :][:, :40] = 200
        found.step(image, index, index / 30)
    # The first looks follow each other closely.
    assert source.asked[:5] == [0, 1, 2, 3, 4]
    assert set(np.diff(source.asked[12:])) == {3, 6}


def test_what_is_new_beside_the_people_ends_a_rest() -> None:
    found, source = watched(1, {index: box(offset) for index, offset in enumerate(WALK)}, 0.1)
    found.options = replace(found.options, rest_s=10.0)
    for index, offset in enumerate(WALK):
        image = painted(offset)
        if index >= 7:
            image[-30:, -30:] = 200
        found.step(image, index, index / 30)
    assert source.asked == [0, 7]


def test_key_frames_without_a_look_follow_people_as_well() -> None:
    found, source = watched(2, {0: box(WALK[0])}, 10.0)
    for step, offset in zip(run(found, WALK), WALK, strict=True):
        assert step.people.ids.tolist() == [0]
        np.testing.assert_allclose(step.people.points_frame[0], POINTS + np.array(offset), atol=1.0)
    assert source.asked == [0]


def test_an_empty_picture_is_looked_at_on_every_key_frame() -> None:
    found, source = watched(2, {6: box(WALK[6])}, 10.0)
    steps = run(found, WALK)
    assert source.asked == [0, 2, 4, 6]
    assert [len(step.people) for step in steps] == [0] * 6 + [1] * 6


def test_who_is_lost_is_looked_for_at_once() -> None:
    found, source = watched(4, {0: box(WALK[0])}, 10.0)
    run(found, WALK[:6])
    found.step(np.zeros((160, 240, 3), np.uint8), 6, 0.2)
    found.step(np.zeros((160, 240, 3), np.uint8), 7, 7 / 30)
    assert source.asked[0] == 0
    assert source.asked[1] in (6, 7)


def test_who_went_behind_somebody_is_looked_for_on_every_key_frame_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = watched(2, {0: box(WALK[0])}, 10.0)
    lost = iter([False, False, True])
    monkeypatch.setattr("vipnas_cli.inference.propagator.went_behind", lambda *_: next(lost, False))
    for index in range(30):
        found.step(painted(WALK[0]), index, index / 30)
    # Gone at the fourth frame, a tenth of a second after the first.
    assert source.asked == [0, *range(4, 22, 2)]


def test_a_key_frame_that_loses_someone_looks_for_people_itself() -> None:
    far = (130.0, 0.0)
    found, source = watched(1, {0: box(WALK[0]), 6: box(far)}, 10.0)
    run(found, WALK[:6])
    step = found.step(painted(far), 6, 0.2)
    assert source.asked == [0, 6]
    assert step.looked
    np.testing.assert_allclose(step.people.points_frame[0], POINTS + np.array(far), atol=1.0)
    # One crop where the person was followed to, once for both views, and one in the box that was found.
    assert step.crops == 2


@pytest.mark.parametrize("frames", [range(0, 24, 4), range(2, 24, 4), range(0, 24, 10), range(1, 24, 3), range(0, 24)])
@pytest.mark.parametrize("early", [False, True])
def test_key_frames_take_the_boxes_that_came_since_the_one_before(frames: range, early: bool) -> None:
    found = propagator(4, {index: box((index, 0.0)) for index in frames}, early=True)
    found.options = replace(found.options, changes=ChangeOptions(cut=9, border=9))
    taken = []
    given = found.source.since

    def watched_since(asked: int, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = given(asked, frame_index)
        taken.append((asked, frame_index, [round(float(left)) - 20 for left in boxes[:, 0]]))
        return boxes, scores

    found.source.since = watched_since
    for index in range(24):
        if early and index == 1:
            found._last.next_key = "border"
        found.step(painted((index, 0.0)), index, index / 30)
    assert [asked for asked, _, _ in taken[1:]] == [frame for _, frame, _ in taken[:-1]]
    for asked, frame, boxes in taken:
        newest = [index for index in frames if asked < index <= frame][-1:]
        assert boxes == newest
    assert [frame for _, frame, _ in taken] == ([0, *range(1, 24, 4)] if early else list(range(0, 24, 4)))


def test_where_every_frame_was_looked_at_a_frame_without_boxes_has_nobody() -> None:
    every = GivenBoxesSource({index: box((index, 0.0)) for index in (0, 1, 2, 4)})
    assert not len(every.since(0, 3)[0])
    second = GivenBoxesSource({index: box((index, 0.0)) for index in (0, 2, 4, 6)})
    assert second.since(2, 5)[0][:, 0].tolist() == [24]
    assert not len(second.since(4, 5)[0])
    assert not len(second.boxes(np.zeros((10, 10, 3), np.uint8), 5)[0])


class UnsureSource(CountedSource):
    """Boxes of a file, of which the source says how sure it is."""

    confidence = 1.0

    def boxes(self, image: np.ndarray, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
        """See PeopleSource."""
        boxes, scores = super().boxes(image, frame_index)
        return boxes, np.float32(self.confidence) * scores


def test_who_is_new_needs_a_surer_pose_the_less_sure_the_source_is() -> None:
    source = UnsureSource({index: box(offset) for index, offset in enumerate(WALK)})
    options = PropagationOptions(new_evidence=0.5)
    found = Propagator(PaintedEstimator((Plan(FAST_BASE),), DOTS), source, IdentityTracker(DOTS), options)
    seen = []
    for index, confidence in enumerate([0.3, 0.6, 0.3]):
        source.confidence = confidence
        seen.append(len(found.step(painted(WALK[index]), index, index / 30).people))
    # Once known, the pose alone decides.
    assert seen == [0, 1, 1]
