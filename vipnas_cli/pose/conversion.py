"""Poses of one keypoint set as poses of another.

Shapes: P people.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose.skeletons import COCO17, POSETRACK15

Numbers = NDArray[np.floating]
Floats = NDArray[np.float64]

# Where the ends of the head lie on the way from the middle of the shoulders (0) to the middle of the face (1),
# measured on labels of PoseTrack.
HEAD_BOTTOM, HEAD_TOP = 0.33, 1.55
FACE = [COCO17.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]
SHOULDERS = [COCO17.index(name) for name in ("left_shoulder", "right_shoulder")]


def posetrack15_from_coco17(points: Numbers, scores: Numbers) -> tuple[Floats, Floats]:
    """Points (P, 15, 2) and scores (P, 15) of PoseTrack's joints from COCO keypoints (P, 17, 2) and scores (P, 17).

    Neck (head_bottom) and head_top follow from shoulders and face; their score is the mean of both.
    """
    exact, sure = points.astype(np.float64), scores.astype(np.float64)
    bottom, top = head_ends(exact, sure)
    head_score = (sure[:, SHOULDERS].mean(1) + sure[:, FACE].mean(1)) / 2
    derived = {"neck": (bottom, head_score), "head_top": (top, head_score)}
    columns = [
        derived[name] if name in derived else (exact[:, COCO17.index(name)], sure[:, COCO17.index(name)])
        for name in POSETRACK15.keypoints
    ]
    return np.stack([column for column, _ in columns], 1), np.stack([score for _, score in columns], 1)


def head_ends(points: Numbers, scores: Numbers) -> tuple[Floats, Floats]:
    """Head bottom and head top (P, 2) of COCO keypoints (P, 17, 2); scores (P, 17) weigh the points of the face."""
    shoulders = points[:, SHOULDERS].mean(1)
    weights = scores[:, FACE] + np.finfo(np.float64).tiny  # all zero would have no middle
    face = (weights[..., None] * points[:, FACE]).sum(1) / weights.sum(1, keepdims=True)
    way = face - shoulders
    return shoulders + HEAD_BOTTOM * way, shoulders + HEAD_TOP * way
