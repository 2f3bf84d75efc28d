"""How alike remembered and newly found people are.

Shapes: N remembered people, M found people, K keypoints.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", bound=np.floating)


def body_sizes(boxes_frame: NDArray[np.floating]) -> Floats:
    """Side in pixels of the square with the same area as each box (N, 4); at least one pixel."""
    sides = np.maximum(boxes_frame[:, 2:] - boxes_frame[:, :2], 0).astype(np.float64)
    return np.maximum(np.sqrt(sides[:, 0] * sides[:, 1]), 1.0)


def box_overlap(boxes_a: NDArray[np.floating], boxes_b: NDArray[np.floating], margins: Floats) -> Floats:
    """IoU (N, M) of boxes (N, 4) with boxes (M, 4), both grown on all sides by `margins` (N,) pixels."""
    grow = np.multiply.outer(margins, np.array([-1.0, -1.0, 1.0, 1.0]))[:, None]
    a, b = boxes_a[:, None] + grow, boxes_b[None] + grow
    common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - common
    overlap: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return overlap


def covered_share(boxes_a: NDArray[np.floating], boxes_b: NDArray[np.floating]) -> Floats:
    """Common area (N, M) of boxes (N, 4) with boxes (M, 4), as a share of the smaller of each two."""
    a, b = boxes_a[:, None].astype(np.float64), boxes_b[None].astype(np.float64)
    common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(-1)
    areas_a, areas_b = (np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(-1) for boxes in (a, b))
    smaller = np.minimum(areas_a, areas_b)
    share: Floats = np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)
    return share


def keypoint_weights(points_frame: NDArray[np.floating], scores: NDArray[np.floating]) -> Floats:
    """Scores (N, K) as weights from 0 to 1; points or scores that are not finite weigh nothing."""
    known = np.isfinite(points_frame).all(-1) & np.isfinite(scores)
    return np.where(known, np.minimum(np.maximum(scores, 0), 1), 0.0)


def finite(points_frame: NDArray[np.floating]) -> Floats:
    """The points with 0 in place of what is not finite; `keypoint_weights` gives those no weight."""
    return np.where(np.isfinite(points_frame), points_frame, 0.0).astype(np.float64)


def pose_agreement(distances: Floats, weights: Floats, spreads: Floats) -> Floats:
    """OKS (N, M) from keypoint distances in body sizes, weights and standard deviations, each (N, M, K).

    Pairs without a common keypoint agree with 0.
    """
    alike = np.exp(-0.5 * (distances / spreads) ** 2)
    total = weights.sum(-1)
    agreement: Floats = np.divide((weights * alike).sum(-1), total, out=np.zeros_like(total), where=total > 0)
    return agreement


def median(values: NDArray[Number]) -> NDArray[Number]:
    """The median (…) of values (N, …) along the first axis; numpy's own takes ten times as long for so few."""
    ordered, middle = np.sort(values, axis=0), len(values) // 2
    return np.asarray((ordered[len(values) - 1 - middle] + ordered[middle]) / 2, values.dtype)
