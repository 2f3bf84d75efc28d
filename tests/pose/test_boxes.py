"""Overlap, suppression and voting of boxes on cases small enough to compute by hand."""

from __future__ import annotations

import numpy as np

from vipnas_cli.pose.boxes import areas_of, covered_shares, decode_deltas, iou, nms, vote_boxes


def rows(*boxes: list[float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_iou_by_hand() -> None:
    overlap = iou(rows([0, 0, 10, 10], [20, 20, 30, 30]), rows([0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 0, 0]))
    np.testing.assert_allclose(overlap, [[1, 1 / 3, 0], [0, 0, 0]])


def test_iou_of_nothing_is_empty_and_of_empty_boxes_zero() -> None:
    assert iou(rows(), rows([0, 0, 1, 1])).shape == (0, 1)
    assert iou(rows([3, 3, 3, 3]), rows([3, 3, 3, 3])).tolist() == [[0.0]]


def test_shares_are_of_the_first_boxes() -> None:
    small, large = rows([2, 2, 4, 4]), rows([0, 0, 8, 4])
    assert covered_shares(small, large).tolist() == [[1.0]]
    assert covered_shares(large, small).tolist() == [[0.125]]
    assert covered_shares(rows([1, 1, 1, 5]), large).tolist() == [[0.0]]
    assert areas_of(rows([0, 0, 8, 4])).tolist() == [32]


def test_suppression_keeps_the_better_of_two_overlapping_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.5, 0.9, 0.4], np.float32)
    assert nms(boxes, scores, 0.6).tolist() == [1, 2]
    assert nms(boxes, scores, 0.95).tolist() == [1, 0, 2]
    assert nms(boxes[:0], scores[:0], 0.6).tolist() == []


def test_boxes_are_means_by_score_of_those_that_agree() -> None:
    boxes = np.array([[0, 0, 100, 100], [3, 0, 103, 100], [0, 50, 100, 150], [0, 0, 103, 103]], np.float32)
    scores = np.array([0.8, 0.6, 0.8, 0.1], np.float32)
    merged = vote_boxes(boxes, scores, np.array([0, 2]))
    # The third box is of somebody else, the fourth too unsure of itself.
    np.testing.assert_allclose(merged[0], [3 * 0.6 / 1.4, 0, 100 + 3 * 0.6 / 1.4, 100], rtol=1e-5)
    np.testing.assert_allclose(merged[1], boxes[2])


def test_a_box_alone_or_many_equal_ones_stay_as_they_are() -> None:
    boxes = np.tile(np.array([[10, 20, 30, 60]], np.float32), (4, 1))
    scores = np.array([0.9, 0.8, 0.7, 0.0], np.float32)
    for kept in range(4):
        np.testing.assert_allclose(vote_boxes(boxes, scores, np.array([kept])), boxes[:1], rtol=1e-6)
    assert vote_boxes(boxes, scores, np.zeros(0, np.int64)).shape == (0, 4)
    flat = np.array([[5, 5, 5, 9]], np.float32)
    np.testing.assert_array_equal(vote_boxes(flat, scores[:1], np.array([0])), flat)


def test_edges_are_in_units_of_the_box_and_end_with_the_picture() -> None:
    boxes = rows([10, 20, 30, 60])
    assert decode_deltas(boxes, rows([0, 0, 1, 1]), 100, 100).tolist() == boxes.tolist()
    assert decode_deltas(boxes, rows([-1, 0.5, 1.5, 3]), 100, 100).tolist() == [[0, 40, 40, 100]]
