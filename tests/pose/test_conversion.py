"""COCO keypoints as PoseTrack joints."""

from __future__ import annotations

import numpy as np

from vipnas_cli.pose import COCO17, POSETRACK15
from vipnas_cli.pose.conversion import posetrack15_from_coco17


def upright() -> np.ndarray:
    """One person (1, 17, 2): keypoint k at (100 + k, 10 k), but shoulders around (100, 100), face at (100, 80)."""
    points = np.stack([100.0 + np.arange(17), 10.0 * np.arange(17)], -1)
    points[5], points[6] = (80, 100), (120, 100)
    points[:5] = (100, 80)
    return points[None]


def test_common_joints_keep_place_and_score() -> None:
    points, scores = upright(), np.linspace(0.1, 0.9, 17)[None]
    joints, sure = posetrack15_from_coco17(points, scores)
    for name in set(COCO17.keypoints) & set(POSETRACK15.keypoints):
        here, there = POSETRACK15.index(name), COCO17.index(name)
        np.testing.assert_array_equal(joints[0, here], points[0, there])
        assert sure[0, here] == scores[0, there]


def test_the_head_lies_on_the_way_from_shoulders_to_face() -> None:
    joints, sure = posetrack15_from_coco17(upright(), np.full((1, 17), 0.5))
    np.testing.assert_allclose(joints[0, POSETRACK15.index("neck")], (100, 100 - 0.33 * 20))
    np.testing.assert_allclose(joints[0, POSETRACK15.index("head_top")], (100, 100 - 1.55 * 20))
    assert sure[0, POSETRACK15.index("head_top")] == 0.5


def test_sure_points_of_the_face_count_more() -> None:
    points, scores = upright(), np.zeros((1, 17))
    points[0, COCO17.index("left_ear")] = (110, 80)
    points[0, COCO17.index("nose")] = (90, 80)
    scores[0, COCO17.index("left_ear")], scores[0, COCO17.index("nose")] = 0.9, 0.3
    joints, _ = posetrack15_from_coco17(points, scores)
    # The middle of the face is at 90 + 20 · 0.9 / 1.2 = 105, 5 pixels right of the shoulders' middle.
    np.testing.assert_allclose(joints[0, POSETRACK15.index("head_top")], (100 + 1.55 * 5, 100 - 1.55 * 20))


def test_nobody_and_no_scores_are_fine() -> None:
    joints, sure = posetrack15_from_coco17(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert joints.shape == (0, 15, 2)
    assert sure.shape == (0, 15)
    joints, _ = posetrack15_from_coco17(upright(), np.zeros((1, 17)))
    assert np.isfinite(joints).all()
