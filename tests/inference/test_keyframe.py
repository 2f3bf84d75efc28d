"""Who is who between found boxes and carried ones at a key frame."""

from dataclasses import replace

import numpy as np

from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.keyframe import NOBODY, KeyView, candidates, found_again, owners_of, went_behind
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.pose import People, Skeleton
from vipnas_cli.spec import FAST_BASE, Plan
from vipnas_cli.tracking.ids import IdentityTracker

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
POINTS = np.array([[50, 30], [30, 60], [70, 60], [40, 110], [60, 110]], np.float32)
BOX = np.array([20, 20, 80, 120], np.float32)
# Two carried boxes that are nearly one, and none at all.
TWO = np.array([[0, 0, 50, 100], [10, 0, 60, 100]], np.float32)
NONE = np.zeros((0, 4), np.float32)


def boxes_at(*columns: float) -> np.ndarray:
    return np.stack([BOX + np.array([x, 0, x, 0], np.float32) for x in columns])


def found(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes, np.full(len(boxes), 0.5, np.float32)


def poses_at(boxes: np.ndarray, *columns: float) -> People:
    points = np.stack([POINTS + np.array([x, 0], np.float32) for x in columns])
    return People(np.full(len(boxes), NOBODY), boxes, points, np.ones(points.shape[:2], np.float32))


def test_one_found_box_is_one_persons() -> None:
    assert owners_of(TWO[:1], TWO).tolist() == [0]
    assert owners_of(TWO, TWO).tolist() == [0, 1]
    assert owners_of(TWO[[1, 1, 1]], TWO).tolist() == [1, 0, NOBODY]
    assert owners_of(NONE, TWO).tolist() == []
    assert owners_of(TWO, NONE).tolist() == [NOBODY, NOBODY]


def test_whoever_is_not_found_is_asked_for_where_the_last_poses_lead() -> None:
    asked = candidates(found(boxes_at(5)), boxes_at(0, 300), np.array([4, 7]), 20)
    np.testing.assert_array_equal(asked.boxes_frame, boxes_at(5, 300))
    assert asked.followed.tolist() == [NOBODY, 7]
    assert asked.newcomers.tolist() == [False, False]
    assert asked.known.tolist() == [True, True]
    assert asked.owners.tolist() == [4, 7]
    assert asked.confidence.tolist() == [0.5, 1.0]


def test_no_more_boxes_than_allowed_and_found_ones_first() -> None:
    asked = candidates(found(boxes_at(0, 200)), boxes_at(500), np.array([3]), 2)
    assert asked.followed.tolist() == [NOBODY, NOBODY]
    assert asked.newcomers.tolist() == [True, True]
    assert asked.left_out == 1


def test_who_is_gone_is_behind_whoever_covered_them_and_is_still_there() -> None:
    boxes = boxes_at(0, 20, 300)
    before = replace(poses_at(boxes, 0, 20, 300), ids=np.array([3, 5, 7]))
    for left, hidden in [
        ([0, 1, 2], False),
        ([0, 1], False),
        ([1, 2], True),
        ([0, 2], True),
        ([2], False),
        ([], False),
    ]:
        assert went_behind(before, before[np.array(left, np.int64)]) is hidden, left
    nobody = before[np.array([], np.int64)]
    assert not went_behind(nobody, before)


def test_the_same_body_in_another_box_is_the_same_person() -> None:
    # The carried box stayed behind by most of its width, but the pose in it is on the body that was found.
    asked = candidates(found(boxes_at(0, 200)), boxes_at(50, 400), np.array([5, 6]), 20)
    poses = poses_at(asked.boxes_frame, 0, 200, 2, 400)
    assert found_again(asked, poses, DOTS).tolist() == [5, NOBODY, NOBODY, NOBODY]


def test_left_and_right_may_be_mixed_up() -> None:
    asked = candidates(found(boxes_at(0)), boxes_at(50), np.array([5]), 20)
    poses = poses_at(asked.boxes_frame, 0, 0)
    turned = People(poses.ids, poses.boxes_frame, poses.points_frame.copy(), poses.scores)
    turned.points_frame[1] = turned.points_frame[1][list(DOTS.flip_order)]
    assert found_again(asked, turned, DOTS).tolist() == [5, NOBODY]


def test_one_body_is_found_again_once() -> None:
    asked = candidates(found(boxes_at(0, 4)), boxes_at(60), np.array([5]), 20)
    assert found_again(asked, poses_at(asked.boxes_frame, 0, 1, 0), DOTS).tolist() == [5, NOBODY, NOBODY]


def test_whoever_was_found_is_nobody_elses_new_box() -> None:
    asked = candidates(found(boxes_at(0)), boxes_at(0, 60), np.array([5, 6]), 20)
    assert found_again(asked, poses_at(asked.boxes_frame, 0, 0), DOTS).tolist() == [NOBODY, NOBODY]


def test_a_carried_box_that_shows_the_pose_of_another_box_is_an_echo() -> None:
    asked = candidates(found(boxes_at(0, 200)), boxes_at(50, 400), np.array([5, 6]), 20)
    people = poses_at(asked.boxes_frame, 0, 200, 1, 400)

    def echoes(*keep: int) -> list[bool]:
        rows = np.array(keep, np.int64)
        return KeyView(asked, None, people, people.ids, rows).echoes(DOTS, 0.8).tolist()  # type: ignore[arg-type]

    assert echoes(0, 1, 2, 3) == [False, False, True, False]
    assert echoes(1, 2, 3) == [False, False, False]
    assert echoes(0, 2) == [False, True]
    assert echoes(2) == [False]
    assert echoes() == []


def painted(x: int) -> np.ndarray:
    image = np.zeros((160, 320, 3), np.uint8)
    for keypoint, (column, row) in enumerate((POINTS + np.array([x, 0])).astype(int)):
        image[row - 2 : row + 3, column - 2 : column + 3] = (10 * (keypoint + 1), 255, 0)
    return image


def test_a_body_faster_than_its_box_keeps_its_id() -> None:
    """Between two key frames the person jumps by most of a box, and boxes find the new place."""
    found = {index: np.append(boxes_at(x)[0], 1)[None] for index, x in enumerate((0, 45))}
    options = PropagationOptions(early_keys=False)
    estimator = PaintedEstimator((Plan(FAST_BASE),), DOTS)
    propagator = Propagator(estimator, GivenBoxesSource(found), IdentityTracker(DOTS), options)
    steps = [propagator.step(painted(x), index, index / 30) for index, x in enumerate((0, 45))]
    # The carried box still holds the body, so that both boxes are asked and show the same pose.
    assert [step.crops for step in steps] == [1, 2]
    assert [step.people.ids.tolist() for step in steps] == [[0], [0]]
    np.testing.assert_allclose(steps[1].people.boxes_frame, boxes_at(45))


def test_given_boxes_are_believed_whatever_their_score() -> None:
    for score in (-1.0, -0.7, 0.0, 1.0):
        source = GivenBoxesSource({0: np.append(boxes_at(0)[0], np.float32(score))[None]})
        propagator = Propagator(PaintedEstimator((Plan(FAST_BASE),), DOTS), source, IdentityTracker(DOTS))
        assert len(propagator.step(painted(0), 0, 0.0).people) == 1, score
