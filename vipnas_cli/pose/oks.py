"""How alike poses are, by the definition of COCO.

Shapes: N and M people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Ids, Numbers, Reals


def oks(
    points_a: Numbers, points_b: Numbers, areas: Numbers, sigmas: Sequence[float], labelled: NDArray[np.bool_]
) -> Reals:
    """Object keypoint similarity (N, M) of poses (N, K, 2) with poses (M, K, 2); 0 where nothing is labelled.

    areas: square pixels, (N,) or one per pair (N, M); sigmas (K,); labelled (N, K): the keypoints of `points_a` that
    count. A point that is not finite is infinitely far away.
    """
    counts = labelled.sum(1, keepdims=True)
    joints = _joint_similarity(points_a, points_b, areas, sigmas)
    similarity: Reals = (joints * labelled[:, None]).sum(-1) / np.maximum(counts, 1)
    return similarity


def _joint_similarity(points_a: Numbers, points_b: Numbers, areas: Numbers, sigmas: Sequence[float]) -> Reals:
    """What each keypoint (N, M, K) adds to the similarity."""
    pair_areas = areas[:, None] if areas.ndim == 1 else areas
    offsets = points_a.astype(np.float64)[:, None] - points_b.astype(np.float64)[None]
    squares = np.where(np.isfinite(offsets).all(-1), (offsets**2).sum(-1), np.inf)
    # The smallest float keeps an empty area from dividing by zero, as in COCO's own code.
    spreads = 2 * (2 * np.array(sigmas)) ** 2 * (pair_areas.astype(np.float64) + np.spacing(1.0))[..., None]
    similarity: Reals = np.exp(-squares / spreads)
    return similarity


def oks_nms(
    points: Numbers,
    scores: Numbers,
    areas: Numbers,
    sigmas: Sequence[float],
    threshold: float = 0.9,
    flip_order: Sequence[int] = (),
) -> Ids:
    """Indices of the poses (N, K, 2) left, best score (N,) first, when each removes those with OKS above `threshold`.

    The area of a pair is the mean of the two areas (N,). With `flip_order` (K,), the partner of each keypoint on the
    other side of the body, poses that differ only in which side is which are alike too.
    """
    pair_areas = np.add.outer(areas, areas) / 2
    joints = _joint_similarity(points, points, pair_areas, sigmas)
    if len(flip_order):
        mirrored = _joint_similarity(points, points[:, list(flip_order)], pair_areas, sigmas)
        joints = np.maximum(joints, mirrored)
    alike = joints.mean(-1) > threshold
    left: list[int] = []
    for candidate in np.argsort(-scores, kind="stable"):
        if not alike[candidate, left].any():
            left.append(int(candidate))
    return np.array(left, np.int64)
