"""A box around a part of someone is doubted; people who are close to each other are not."""

import numpy as np

from vipnas_cli.inference.crops import FramePoses
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import DetectorSource, DistinctPeople, Newcomers, shared_bodies
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.pose import Skeleton
from vipnas_cli.spec import FAST_BASE, Plan
from vipnas_cli.tracking.ids import IdentityTracker

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
POINTS = np.array([[50, 30], [30, 60], [70, 60], [40, 110], [60, 110]], np.float32)
WHOLE, UPPER = [20, 20, 80, 120], [24, 22, 76, 70]


class Told(DetectorSource):
    """Finds what it is told."""

    def __init__(self, boxes: list[list[int]], scores: list[float], threshold: float = 0.4) -> None:
        self.told = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
        self.threshold = threshold

    def boxes(
        self, image: np.ndarray, frame_index: int, followed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.told


def painted(*offsets: tuple[float, float], size: float = 1.0) -> np.ndarray:
    image = np.zeros((160, 320, 3), np.uint8)
    for offset in offsets:
        for keypoint, (x, y) in enumerate((size * POINTS + np.array(offset)).round().astype(int)):
            image[y - 2 : y + 3, x - 2 : x + 3] = (10 * (keypoint + 1), 255, 0)
    return image


def distinct(source: Told) -> DistinctPeople:
    return DistinctPeople(source, PaintedEstimator((Plan(FAST_BASE),), DOTS))


def test_a_part_of_someone_is_nobody_else() -> None:
    found = distinct(Told([WHOLE, UPPER], [0.9, 0.8]))
    boxes, scores = found.boxes(painted((0, 0)), 0)
    np.testing.assert_array_equal(boxes, [WHOLE])
    np.testing.assert_array_equal(scores, np.float32([0.9]))
    assert found.compared == 2


def test_the_evidence_is_what_is_believed_of_the_box_times_the_root_of_what_is_of_the_pose() -> None:
    found = distinct(Told([[120, 20, 180, 120], WHOLE, [220, 20, 280, 120]], [0.9, 0.8, 0.7]))
    picture = painted((0, 0), (200, 0))
    boxes, evidence = Newcomers(found).boxes(picture, 0)
    seen = FramePoses(found.estimator, picture)
    # Nobody is in the surest box, which comes last, but is told.
    np.testing.assert_array_equal(boxes, [WHOLE, [220, 20, 280, 120], [120, 20, 180, 120]])
    expected = np.float32([0.8, 0.7, 0.9]) * np.sqrt(seen.at(boxes).scores.mean(1))
    np.testing.assert_allclose(evidence, expected, atol=1e-6)
    assert evidence[2] < 0.2 < evidence[1]


def test_poses_that_were_compared_are_not_computed_again_to_be_shown() -> None:
    source = distinct(Told([WHOLE, UPPER, [120, 20, 180, 120]], [0.9, 0.8, 0.7]))
    step = Propagator(source.estimator, source, IdentityTracker(DOTS)).step(painted((0, 0), (100, 0)), 0, 0.0)
    assert len(step.people) == 2
    assert source.estimator.calls == [(0, 2), (0, 1)]
    assert step.crops == 3


def test_with_a_low_threshold_the_part_is_there_with_a_low_score() -> None:
    boxes, scores = distinct(Told([WHOLE, UPPER], [0.9, 0.8], threshold=0.0)).boxes(painted((0, 0)), 0)
    np.testing.assert_array_equal(boxes, [WHOLE, UPPER])
    assert scores[0] == np.float32(0.9)
    assert scores[1] < 0.4


def test_the_surer_one_is_never_doubted() -> None:
    boxes, scores = distinct(Told([UPPER, WHOLE], [0.9, 0.8])).boxes(painted((0, 0)), 0)
    # Most of the whole person lies outside the part, so that nothing speaks against either.
    np.testing.assert_array_equal(boxes, [UPPER, WHOLE])
    np.testing.assert_array_equal(scores, np.float32([0.9, 0.8]))


def test_someone_with_a_pose_of_their_own_stays_in_front_of_another() -> None:
    child = painted((130, 60), size=0.5)
    picture = np.maximum(painted((80, 0)), child)
    boxes, _ = distinct(Told([[100, 20, 180, 125], [140, 68, 172, 118]], [0.9, 0.8])).boxes(picture, 0)
    assert len(boxes) == 2


def test_people_apart_cost_nothing() -> None:
    found = distinct(Told([WHOLE, [120, 20, 180, 120]], [0.9, 0.8]))
    boxes, _ = found.boxes(painted((0, 0), (100, 0)), 0)
    assert len(boxes) == 2
    assert found.compared == 0
    assert len(distinct(Told([], [])).boxes(painted(), 0)[0]) == 0


def test_a_pose_is_its_own_also_with_sides_mixed_up() -> None:
    boxes = np.array([WHOLE, WHOLE], np.float32)
    points = np.stack([POINTS, POINTS[list(DOTS.flip_order)]])
    np.testing.assert_allclose(shared_bodies(boxes, points, np.ones((2, 5)), DOTS), np.ones((2, 2)))
    # Only sure keypoints are asked, and those who have none are like nobody.
    scores = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    points[1, 1:] += 1000
    np.testing.assert_allclose(shared_bodies(boxes, points, scores, DOTS), [[1, 1], [0, 0]], atol=1e-6)
