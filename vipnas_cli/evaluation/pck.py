"""Scores of a pipeline on labelled clips, on the boxes of the labels.

Shapes: P people, K keypoints, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Points
from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.evaluation.posetrack import FRAME_RATE
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.tracker import TrackerOptions, propagator_of
from vipnas_cli.metrics.pck import limb_pck, limb_sizes, limbs_of
from vipnas_cli.pose import Skeleton


@dataclass(frozen=True)
class ClipCount:
    """Of one clip: how many limb joints are right at PCK@0.1, and how many are labelled.

    Clips of one `group`, a video or a still, err alike.
    """

    group: str
    right: int
    labelled: int


@dataclass(frozen=True)
class ClipScores:
    """PCK in percent at 0.2, 0.1, 0.05 of the limb box, PCK@0.1 by position and by clip, and the frames counted."""

    pck: tuple[float, ...]
    pck_by_position: tuple[float, ...]
    frames: int
    clips: tuple[ClipCount, ...] = ()


def evaluate_clips(
    estimator: PoseEstimator,
    clips: Sequence[PersonClip],
    options: TrackerOptions,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
) -> ClipScores:
    """PCK of the whole propagation on clips of one person; boxes of the labels are given on key frames."""
    truth, found, labelled, positions = [], [], [], []
    for clip in clips:
        rows = {i: np.array([[*frame.box_frame, 1]], np.float32) for i, frame in enumerate(clip.frames)}
        propagator = propagator_of(estimator, GivenBoxesSource(rows), options)
        for index, frame in enumerate(clip.frames):
            step = propagator.step(read(frame.image), index, index * clip.stride / FRAME_RATE)
            points = step.people.points_frame
            found.append(points[0] if len(points) else np.full_like(frame.points_frame, np.nan))
            truth.append(frame.points_frame)
            labelled.append(frame.weights > 0)
            positions.append(step.position)
    true, predicted, seen, where = np.stack(truth), np.stack(found), np.stack(labelled), np.asarray(positions)
    by_position = [
        float(limb_pck(true[where == p], predicted[where == p], seen[where == p], estimator.skeleton, (0.1,))[0])
        for p in range(len(estimator.schedule))
    ]
    total = limb_pck(true, predicted, seen, estimator.skeleton)
    ends: list[int] = np.cumsum([len(clip.frames) for clip in clips]).tolist()
    by_clip = []
    for clip, end in zip(clips, ends, strict=True):
        own = slice(end - len(clip.frames), end)
        by_clip.append(_count(clip.group, true[own], predicted[own], seen[own], estimator.skeleton))
    return ClipScores(tuple(float(v) for v in total), tuple(by_position), len(true), tuple(by_clip))


def _count(group: str, true: Points, predicted: Points, seen: NDArray[np.bool_], skeleton: Skeleton) -> ClipCount:
    """What is right of one clip, of the frames that limb_pck counts: points (T, K, 2), labelled ones (T, K)."""
    limbs = limbs_of(skeleton)
    sized = limb_sizes(true[:, limbs], seen[:, limbs]) > 0
    labelled = int(seen[:, limbs][sized].sum())
    share = float(limb_pck(true, predicted, seen, skeleton, (0.1,))[0]) if labelled else 0.0
    return ClipCount(group, round(labelled * share / 100), labelled)
