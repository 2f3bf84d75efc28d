"""Boxes that mean different people: a box around a part of someone shows the pose of one who is found more surely.

Shapes: N boxes, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.inference.estimator import PoseEstimator, key_poses
from vipnas_cli.inference.people import Boxes, DetectorSource, Image
from vipnas_cli.pose import Skeleton
from vipnas_cli.pose.oks import covered_shares, oks

Floats = NDArray[np.floating]
# Boxes of which less than this share lies in another one's cannot be parts of the same person.
LEAST_INSIDE = 0.5
# Keypoints below this score may be anywhere.
LEAST_SURE = 0.2


@dataclass
class DistinctPeople:
    """The people of a detector, doubted as far as somebody surer has the same pose.

    Only boxes of which much lies in another's cost anything: one crop of the key network each, counted in `compared`.
    """

    source: DetectorSource
    estimator: PoseEstimator
    compared: int = 0

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """Boxes of those who are still believed, best first; see PeopleSource."""
        boxes, scores = self.source.boxes(image, frame_index)
        inside = _inside_surer(boxes, scores)
        asked = np.flatnonzero(inside.any(1) | inside.any(0))
        if not len(asked):
            return boxes, scores
        self.compared += len(asked)
        poses = key_poses(self.estimator, image, boxes[asked])
        shared = shared_bodies(boxes[asked], poses.points_frame, poses.scores, self.estimator.skeleton)
        scores = scores.copy()
        scores[asked] *= np.sqrt(1 - (shared * inside[np.ix_(asked, asked)]).max(1))
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self.source.threshold]
        return boxes[order], scores[order]


def shared_bodies(boxes: Floats, points: Floats, scores: Floats, skeleton: Skeleton) -> NDArray[np.float32]:
    """How much (N, N) the pose in each box (N, 4) is that in another: OKS over its own sure keypoints.

    points (N, K, 2) and their scores (N, K); left and right may be mixed up. The area is the mean of both boxes'.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    pairs, sure = np.add.outer(areas, areas) / 2, scores >= LEAST_SURE
    mirrored = points[:, list(skeleton.flip_order)]
    alike = [oks(points, other, pairs, skeleton.sigmas, sure) for other in (points, mirrored)]
    return np.maximum(*alike).astype(np.float32)


def _inside_surer(boxes: Floats, scores: Floats) -> NDArray[np.bool_]:
    """Whether (N, N) each box lies to a good part in another one that is surer."""
    surer: NDArray[np.bool_] = scores[None] > scores[:, None]
    return surer & (covered_shares(boxes, boxes) >= LEAST_INSIDE)
