"""Similarities of boxes and poses on cases small enough to compute by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vipnas_cli.pose import COCO17
from vipnas_cli.pose.boxes import iou
from vipnas_cli.pose.oks import oks, oks_nms

SIGMAS = (0.05, 0.1)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_by_hand() -> None:
    overlap = iou(boxes([0, 0, 10, 10], [20, 20, 30, 30]), boxes([0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 0, 0]))
    np.testing.assert_allclose(overlap, [[1, 1 / 3, 0], [0, 0, 0]])


def test_iou_of_nothing_is_empty_and_of_empty_boxes_zero() -> None:
    assert iou(boxes(), boxes([0, 0, 1, 1])).shape == (0, 1)
    assert iou(boxes([3, 3, 3, 3]), boxes([3, 3, 3, 3])).tolist() == [[0.0]]


def test_oks_by_hand() -> None:
    # Area 100: one standard deviation is 2 * sigma * 10 pixels, so 1 pixel for the first keypoint and 2 for the second.
    truth, found = np.array([[[0.0, 0.0], [5.0, 5.0]]]), np.array([[[1.0, 0.0], [5.0, 5.0]], [[0.0, 0.0], [5.0, 9.0]]])
    seen = np.array([[True, True]])
    one, two = math.exp(-1 / 2), math.exp(-4 / 2)
    np.testing.assert_allclose(oks(truth, found, np.array([100.0]), SIGMAS, seen), [[(one + 1) / 2, (1 + two) / 2]])


def test_oks_counts_labelled_keypoints_only() -> None:
    truth, found = np.zeros((3, 2, 2)), np.array([[[0.0, 0.0], [np.nan, 9.0]]])
    seen = np.array([[True, False], [True, True], [False, False]])
    np.testing.assert_allclose(oks(truth, found, np.full(3, 100.0), SIGMAS, seen), [[1], [0.5], [0]])


def test_oks_takes_an_area_per_pair() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 9, (2, 3, 17, 2))
    areas, seen = generator.uniform(50, 900, 3), np.ones((3, 17), bool)
    per_pair = oks(a, b, np.repeat(areas[:, None], 3, axis=1), COCO17.sigmas, seen)
    np.testing.assert_array_equal(per_pair, oks(a, b, areas, COCO17.sigmas, seen))


@pytest.mark.parametrize("empty", [0, 1])
def test_oks_of_nobody_is_empty(empty: int) -> None:
    people = [np.zeros((2, 17, 2)), np.zeros((2, 17, 2))]
    people[empty] = people[empty][:0]
    rows = len(people[0])
    similarity = oks(people[0], people[1], np.ones(rows), COCO17.sigmas, np.ones((rows, 17), bool))
    assert similarity.shape == (rows, len(people[1]))


def test_nms_keeps_the_best_of_each_body_in_order_of_score() -> None:
    here, there = np.zeros((17, 2)), np.full((17, 2), 500.0)
    poses = np.stack([here, here + 0.1, there, there + 0.1, there + 80])
    scores = np.array([0.3, 0.5, 0.9, 0.8, 0.1])
    assert oks_nms(poses, scores, np.full(5, 1e4), COCO17.sigmas).tolist() == [2, 1, 4]
    assert oks_nms(poses, scores, np.full(5, 1e4), COCO17.sigmas, threshold=1.0).tolist() == [2, 3, 1, 0, 4]


def test_nms_of_nobody() -> None:
    assert oks_nms(np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0), COCO17.sigmas).tolist() == []


def test_a_pose_and_its_mirror_are_one_person_if_sides_may_be_confused() -> None:
    pose = np.random.default_rng(0).uniform(0, 300, (17, 2))
    confused = pose.copy()
    arms = [COCO17.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("elbow", "wrist", "ankle")]
    confused[arms] = pose[list(COCO17.flip_order)][arms]
    poses, scores, areas = np.stack([pose, confused]), np.array([0.9, 0.8]), np.full(2, 1e4)
    assert oks_nms(poses, scores, areas, COCO17.sigmas).tolist() == [0, 1]
    assert oks_nms(poses, scores, areas, COCO17.sigmas, flip_order=COCO17.flip_order).tolist() == [0]
    elsewhere = np.stack([pose, confused + 200])
    assert oks_nms(elsewhere, scores, areas, COCO17.sigmas, flip_order=COCO17.flip_order).tolist() == [0, 1]
