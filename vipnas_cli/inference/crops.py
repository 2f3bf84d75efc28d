"""Poses in boxes, and what carries them to the next frame: boxes that move with them, re-aligned heatmaps (paper 3.1).

Shapes: P people, K keypoints, H, W frame pixels, h, w heatmap cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import cv2
import numpy as np

from vipnas_cli.arrays import Boxes, Flags, Heatmaps, Ids, Image, Points, Scores
from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.flow import View
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.pose import CropTransform, HeatmapCodec, People
from vipnas_cli.pose.geometry import PADDING
from vipnas_cli.pose.people import chooses_all
from vipnas_cli.spec import ImportedSpec, Plan

# With fewer trusted joints than this a box stays where it is.
FEWEST_JOINTS = 4
# How far beyond its trusted keypoints a box reaches at least, as a share of its longer side.
MARGIN = 0.04
# In powers of e; no picture holds people whose sizes differ more.
LARGEST_GROWTH = 12.0
# Bytes by which the pixels of a crop that shows something differ at least (standard deviation); what compression
# leaves of a black picture differs by less.
LEAST_CONTRAST = 2.0


@dataclass(frozen=True)
class CropPoses:
    """What a network made of P crops: heatmaps (P, K, h, w), points_frame (P, K, 2) and scores (P, K); `views` of the
    people where pictures were seen."""

    transforms: tuple[CropTransform, ...]
    heatmaps: Heatmaps
    points_frame: Points
    scores: Scores
    views: tuple[View, ...] = ()

    def __getitem__(self, rows: Ids) -> CropPoses:
        """The poses at an array of indices."""
        if chooses_all(rows, len(self.transforms)):
            return self
        transforms = tuple(self.transforms[row] for row in rows)
        views = tuple(self.views[row] for row in rows) if self.views else ()
        return CropPoses(transforms, self.heatmaps[rows], self.points_frame[rows], self.scores[rows], views)


def padding_of(plan: Plan) -> float:
    """How much larger than a person's box the crop of a plan's network is."""
    known = plan.arch.padding if isinstance(plan.arch, ImportedSpec) else None
    return PADDING if known is None else known


def crop_transforms(boxes: Boxes, plan: Plan) -> tuple[CropTransform, ...]:
    """The crops of boxes (P, 4) as the network of a plan sees them."""
    arch, padding = plan.arch, padding_of(plan)
    return tuple(CropTransform.from_box(box, arch.height, arch.width, padding) for box in boxes)


def any_touch(transforms: Sequence[CropTransform]) -> bool:
    """Whether some two of the crops, which are not rotated, share a part of the frame."""
    edges = []
    for crop in transforms:
        (across, _, x), (_, down, y) = crop.inverse.tolist()
        edges.append((x - across / 2, y - down / 2, x + across * (crop.width - 0.5), y + down * (crop.height - 0.5)))
    pairs = combinations(edges, 2)
    return any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a, b in pairs)


def decode_poses(transforms: Sequence[CropTransform], heatmaps: Heatmaps, codec: HeatmapCodec) -> CropPoses:
    """The poses in frame pixels that heatmaps (P, K, h, w) of at least one crop show; WeightsError for NaN."""
    points_crop, scores = codec.decode(heatmaps)
    # The highest cell of a map with a NaN is that one, so that the score tells of any.
    if np.isnan(scores).any():
        raise WeightsError("a pose network gave heatmaps that are no numbers", "export or import it again")
    return CropPoses(tuple(transforms), heatmaps, points_of(transforms, points_crop), scores)


def points_of(transforms: Sequence[CropTransform], points_crop: Points) -> Points:
    """Points (P, K, 2) of at least one crop in frame pixels."""
    return np.stack([t.to_frame(p) for t, p in zip(transforms, points_crop, strict=True)])


@dataclass(frozen=True)
class Crops:
    """P people cut out of a frame: pictures (P, H, W, 3) of one size, and their views."""

    transforms: tuple[CropTransform, ...]
    pictures: Image
    views: tuple[View, ...]

    @staticmethod
    def of(image: Image, transforms: Sequence[CropTransform]) -> Crops:
        """The crops of an RGB frame (H, W, 3) at transforms of at least one person."""
        pictures = [transform.warp(image) for transform in transforms]
        views = tuple(View(*each) for each in zip(transforms, pictures, strict=True))
        return Crops(tuple(transforms), np.stack(pictures) if len(pictures) > 1 else pictures[0][None], views)

    @property
    def show_something(self) -> Flags:
        """Which of the crops (P,) are not of one colour."""
        # A pixel of every 8 by 8 tells.
        deviations = [cv2.meanStdDev(picture[::8, ::8].reshape(-1))[1].item() for picture in self.pictures]
        return np.array([deviation >= LEAST_CONTRAST for deviation in deviations], np.bool_)

    def decoded(self, heatmaps: Heatmaps, codec: HeatmapCodec) -> CropPoses:
        """The poses that heatmaps (P, K, h, w) of these crops show; WeightsError for NaN.

        A crop of one colour, as of a faded picture or outside of it, shows nobody: its scores are 0.
        """
        poses = decode_poses(self.transforms, heatmaps, codec)
        poses.scores[~self.show_something] = 0
        return replace(poses, views=self.views)


def estimate_poses(
    estimator: PoseEstimator, position: int, crops: Crops, previous: Heatmaps | None = None
) -> CropPoses:
    """The poses in crops, all as one batch; `previous` (P, K, h, w) see PoseEstimator."""
    arch = estimator.schedule.plan(position).arch
    heatmaps = estimator.estimate(position, crops.pictures, previous)
    return crops.decoded(heatmaps, HeatmapCodec(arch.height, arch.width))


def empty_heatmaps(estimator: PoseEstimator, position: int, people: int) -> Heatmaps:
    """Heatmaps (P, K, h, w) of a network of the cycle in which nothing is seen."""
    arch = estimator.schedule.plan(position).arch
    codec = HeatmapCodec(arch.height, arch.width)
    return np.zeros((people, len(estimator.skeleton.keypoints), codec.rows, codec.columns), np.float32)


def no_poses(estimator: PoseEstimator, position: int) -> CropPoses:
    """The poses of nobody, as a network of the cycle gives them."""
    nobody = People.nobody(len(estimator.skeleton.keypoints))
    return CropPoses((), empty_heatmaps(estimator, position, 0), nobody.points_frame, nobody.scores)


def key_poses(estimator: PoseEstimator, image: Image, boxes: Boxes) -> CropPoses:
    """The poses that the key network sees in boxes (P, 4) of an RGB picture (H, W, 3)."""
    if not len(boxes):
        return no_poses(estimator, 0)
    crops = Crops.of(image, crop_transforms(boxes, estimator.schedule.plan(0)))
    return estimate_poses(estimator, 0, crops)


@dataclass
class FramePoses:
    """The poses that the key network sees in an RGB picture (H, W, 3), each box computed once, whoever asks first.

    `computed` counts the crops.
    """

    estimator: PoseEstimator
    image: Image
    computed: int = 0
    _known: dict[bytes, tuple[CropPoses, int]] = field(default_factory=dict)

    def at(self, boxes: Boxes) -> CropPoses:
        """The poses in boxes (P, 4)."""
        names = [box.tobytes() for box in boxes.astype(np.float32)]
        new = [index for index, name in enumerate(names) if name not in self._known]
        fresh = key_poses(self.estimator, self.image, boxes[new])
        self.computed += len(new)
        self._known.update({names[index]: (fresh, row) for row, index in enumerate(new)})
        if len(new) == len(names):
            return fresh
        found = [self._known[name] for name in names]
        return CropPoses(
            tuple(poses.transforms[row] for poses, row in found),
            np.stack([poses.heatmaps[row] for poses, row in found]),
            np.stack([poses.points_frame[row] for poses, row in found]),
            np.stack([poses.scores[row] for poses, row in found]),
            tuple(poses.views[row] for poses, row in found),
        )


def carried_boxes(key: People, now: People, point_score: float, fewest: int = FEWEST_JOINTS) -> Boxes:
    """Boxes (P, 4) for the next frame: those of the key frame, moved as the poses were since then.

    The rows of `key` and `now` are the same people; keypoints below `point_score` are not trusted, and
    with fewer than `fewest` that are trusted on both a box stays where it is.
    """
    rows = []
    for index in range(len(now)):
        weights = [np.where(s >= point_score, s, 0) for s in (key.scores[index], now.scores[index])]
        if np.count_nonzero(np.minimum(*weights) > 0) < fewest:
            rows.append(now.boxes_frame[index])
        else:
            poses = (key.points_frame[index], weights[0]), (now.points_frame[index], weights[1])
            rows.append(moved_box(key.boxes_frame[index], *poses))
    return np.stack(rows) if rows else np.zeros((0, 4), np.float32)


def next_boxes(key: People, last: People, options: PropagationOptions, gap_s: float) -> Boxes:
    """Boxes (P, 4) for the frame that follows `last` after `gap_s` seconds; the rows of `key` are the same people on
    the last key frame."""
    if not options.steady_joints:
        return carried_boxes(key, last, options.point_score)
    # Of someone half hidden the rest may be on somebody else's body.
    half = max(FEWEST_JOINTS, key.scores.shape[1] // 2)
    boxes = carried_boxes(key, last, options.point_score, half)
    # After minutes, as between the pictures of a time lapse, any size is possible.
    growth = min(options.box_growth_per_s * max(gap_s, 0.0), LARGEST_GROWTH)
    return bounded_boxes(boxes, last.boxes_frame, math.exp(growth))


def bounded_boxes(boxes: Boxes, before: Boxes, most: float) -> Boxes:
    """The boxes (P, 4), their sides at most `most` times longer or shorter than those of `before` (P, 4)."""
    sides, old = boxes[:, 2:] - boxes[:, :2], before[:, 2:] - before[:, :2]
    centres, half = (boxes[:, 2:] + boxes[:, :2]) / 2, np.minimum(np.maximum(sides, old / most), old * most) / 2
    return np.concatenate([centres - half, centres + half], 1).astype(np.float32)


def moved_box(
    box: Boxes,
    key: tuple[Points, Scores],
    now: tuple[Points, Scores],
) -> Boxes:
    """The box (4,) of a key frame, moved and scaled as the person's keypoints were since then.

    `key` and `now` are points (K, 2) and their weights (K,); the same joints are compared, so that one that comes or
    goes does not make the box jump. The box still grows to hold all keypoints of now.
    """
    weights = np.minimum(key[1], now[1])[:, None]
    before, after = ((weights * points).sum(0) / weights.sum() for points, _ in (key, now))
    spreads = [np.sqrt((weights * (p[0] - middle) ** 2).sum()) for p, middle in ((key, before), (now, after))]
    scale = min(max(spreads[1] / max(spreads[0], 1e-6), 0.6), 1.6)
    corners = after + scale * (box.reshape(2, 2) - before)
    seen = now[0][now[1] > 0]
    margin = MARGIN * (corners[1] - corners[0]).max()
    low, high = np.minimum(corners[0], seen.min(0) - margin), np.maximum(corners[1], seen.max(0) + margin)
    return np.concatenate([low, high]).astype(np.float32)
