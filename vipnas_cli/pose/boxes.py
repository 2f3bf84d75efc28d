"""Boxes: how they overlap, which are left of several on one person, and where an edge is by several votes.

Shapes: N and M boxes, xyxy in pixels.
"""

from __future__ import annotations

import numpy as np

from vipnas_cli.arrays import Boxes, Ids, Numbers, Reals, Scores

# A box has a vote on the edges of a person if its score is at least this share of the best one's ...
VOTING_SHARE = 0.7
# ... and it overlaps the best one by this IoU.
VOTING_OVERLAP = 0.7


def iou(boxes_a: Numbers, boxes_b: Numbers) -> Reals:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4), both xyxy; 0 where both are empty."""
    common = common_areas(boxes_a, boxes_b)
    areas_a, areas_b = (
        np.maximum(boxes[:, 2:] - boxes[:, :2], 0).astype(np.float64).prod(1) for boxes in (boxes_a, boxes_b)
    )
    union = areas_a[:, None] + areas_b - common
    overlap: Reals = np.divide(common, union, out=np.zeros_like(union), where=union > 0)
    return overlap


def common_areas(boxes_a: Numbers, boxes_b: Numbers) -> Reals:
    """Areas (N, M) that boxes (N, 4) have in common with boxes (M, 4), both xyxy."""
    a, b = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)[None]
    common: Reals = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(-1)
    return common


def covered_shares(boxes_a: Numbers, boxes_b: Numbers) -> Reals:
    """Which share (N, M) of each box (N, 4) lies in boxes (M, 4), both xyxy; 0 for boxes without area."""
    areas = np.maximum(boxes_a[:, 2:] - boxes_a[:, :2], 0).astype(np.float64).prod(1)[:, None]
    common = common_areas(boxes_a, boxes_b)
    shares: Reals = np.divide(common, areas, out=np.zeros_like(common), where=areas > 0)
    return shares


def areas_of(boxes: Boxes) -> Scores:
    """Areas (N,) of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def nms(boxes: Boxes, scores: Scores, overlap: float) -> Ids:
    """Indices of the boxes (N, 4) left, best score first, when each removes those that overlap it by more IoU."""
    order = np.argsort(-scores, kind="stable")
    shared = iou(boxes[order], boxes[order])
    kept: list[int] = []
    for index in range(len(order)):
        if not kept or shared[index, kept].max() <= overlap:
            kept.append(index)
    return order[np.asarray(kept, np.int64)]


def vote_boxes(boxes: Boxes, scores: Scores, kept: Ids) -> Boxes:
    """The boxes (M, 4) at the indices `kept` (M,), each the mean by score of those that agree with it.

    Neighbouring cells err independently at the edges of a person, so their mean fits better than the best scored one.
    """
    shared = iou(boxes[kept], boxes)
    agree = (shared >= VOTING_OVERLAP) & (scores >= VOTING_SHARE * scores[kept, None])
    agree[np.arange(len(kept)), kept] = True
    weights = agree * np.maximum(scores, 1e-6)
    return np.asarray(weights @ boxes / weights.sum(1, keepdims=True), np.float32)


def decode_deltas(boxes: Boxes, deltas: Boxes, width: int, height: int) -> Boxes:
    """Boxes (N, 4) with edges at `deltas` (N, 4), where 0 and 1 are the edges of `boxes`, clipped to a picture."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    edges = np.clip(np.tile(boxes[:, :2], 2) + deltas * sides, 0, [width, height] * 2)
    return np.asarray(edges, np.float32)
