"""Heatmaps that remember: what a network sees now, joined with what the one before saw, carried on as keypoints moved.

In the paper heatmaps pass on through the fusion in followers only, and the key network sees its frame alone. Here the
heatmaps that come out are joined, too: of two peaks that one is likelier where the joint was just now, and what is seen
twice is placed better.
Shapes: P people, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vipnas_cli.arrays import Heatmaps, Ids, Numbers
from vipnas_cli.inference.crops import CropPoses, points_of
from vipnas_cli.inference.flow import Moves, View, keypoint_moves
from vipnas_cli.pose import CropTransform, HeatmapCodec, People
from vipnas_cli.pose.people import chooses_all
from vipnas_cli.pose.realign import realign

# A follower's peak is widened by so many σ of a target, as joints move from frame to frame.
REACH = 1.0
# Where a widened peak has less than this share of its height, the joint was not.
NEAR = 0.1


@dataclass(frozen=True)
class Recalled:
    """Heatmaps (R, K, h, w) of the frame before as the crops of now see them, each keypoint carried on by its move, of
    the people at `rows` (R,)."""

    rows: Ids
    heatmaps: Heatmaps
    moves: Moves

    @staticmethod
    def of(
        rows: Ids, before: CropPoses, people: People, transforms: Sequence[CropTransform], views: Sequence[View]
    ) -> Recalled:
        """What was seen `before` of people (R,), whose poses those became, in their crops of now with these views."""
        pairs = zip(before.views, views, people.points_frame, people.scores, strict=True)
        moves = Moves.of([keypoint_moves(*pair) for pair in pairs])
        return Recalled(rows, realign(before.heatmaps, before.transforms, transforms, moves.frame), moves)


def joined(poses: CropPoses, previous: Heatmaps, rows: Ids, trust: float) -> CropPoses:
    """The poses of a key frame, those at `rows` weighted by `previous` (len(rows), K, h, w), re-aligned to their crops.

    A peak far from where its joint was counts as 1 − `trust` of one there, as far as the joint was surely there. The
    peak that is chosen keeps its height; one that stands out nevertheless, far from there, stays as it is. Scores stay
    those of the key network alone.
    """
    seen = poses.heatmaps if chooses_all(rows, len(poses.heatmaps)) else poses.heatmaps[rows]
    near, sure = _nearness(previous, REACH * HeatmapCodec.sigma_per_row * seen.shape[2])
    # In place, as memory is what takes the time: 1 − trust · sure · (1 − near).
    weights = near - 1
    weights *= np.float32(trust) * sure
    weights += 1
    weighted = seen * weights
    chosen = weighted.reshape(*weighted.shape[:2], -1).argmax(-1)[..., None]
    at_peaks, nearness = (
        np.take_along_axis(maps.reshape(*maps.shape[:2], -1), chosen, -1)[..., None] for maps in (weights, near)
    )
    weighted /= at_peaks
    np.copyto(weighted, seen, where=nearness < NEAR)
    found = HeatmapCodec.of(weighted).points(weighted)
    found = points_of([poses.transforms[row] for row in rows.tolist()], found)
    if seen is poses.heatmaps:
        return replace(poses, heatmaps=weighted, points_frame=found)
    heatmaps, points = poses.heatmaps.copy(), poses.points_frame.copy()
    heatmaps[rows], points[rows] = weighted, found
    return replace(poses, heatmaps=heatmaps, points_frame=points)


def mixed(poses: CropPoses, previous: Heatmaps, rows: Ids, shares: Numbers) -> CropPoses:
    """The poses of a follower, those at `rows` with heatmaps of which `previous` (len(rows), K, h, w), re-aligned to
    their crops, are the shares (len(rows), K). Scores stay those of the follower alone."""
    codec = HeatmapCodec.of(poses.heatmaps)
    share = shares.astype(np.float32)[..., None, None]
    together = (1 - share) * poses.heatmaps[rows] + share * previous
    points = points_of([poses.transforms[row] for row in rows.tolist()], codec.points(together))
    if len(rows) == len(poses.heatmaps):
        return replace(poses, heatmaps=together, points_frame=points)
    heatmaps, points_frame = poses.heatmaps.copy(), poses.points_frame.copy()
    heatmaps[rows], points_frame[rows] = together, points
    return replace(poses, heatmaps=heatmaps, points_frame=points_frame)


def _nearness(heatmaps: Heatmaps, sigma: float) -> tuple[Heatmaps, Heatmaps]:
    """How near each cell (P, K, h, w) is to the peaks, 0 to 1, and how high these are (P, K, 1, 1)."""
    rows, columns = heatmaps.shape[2:]
    # All maps are blurred as one picture, each with its mirrored edge, so that none reaches into the next.
    edge = math.ceil(4 * sigma)
    above, below = heatmaps[:, :, edge:0:-1], heatmaps[:, :, -2 : -2 - edge : -1]
    picture = np.concatenate([above, heatmaps, below], 2).reshape(-1, columns)
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma).reshape(*heatmaps.shape[:2], -1, columns)
    near = blurred[:, :, edge : edge + rows]
    near = near / np.maximum(near.max((2, 3), keepdims=True), 1e-6)
    return np.asarray(near, np.float32), np.clip(heatmaps.max((2, 3), keepdims=True), 0, 1)
