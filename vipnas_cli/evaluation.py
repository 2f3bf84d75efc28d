"""Scores of a pipeline on labelled images and clips, on the boxes of the labels.

Shapes: P people, K keypoints, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.coco import inside, read_json
from vipnas_cli.data.image_store import read_image
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.people_source import GivenBoxesSource
from vipnas_cli.inference.propagator import PropagationOptions, Propagator
from vipnas_cli.metrics.coco import KeypointScores, evaluate_coco
from vipnas_cli.metrics.pck import LIMB_JOINTS, PCK_THRESHOLDS, limb_sizes, pck
from vipnas_cli.pose import CropTransform, HeatmapCodec

Floats = NDArray[np.float32]


def evaluate_stills(estimator: PoseEstimator, annotations: Path, codec: HeatmapCodec | None = None) -> KeypointScores:
    """OKS scores of the key network on the labelled boxes of a COCO file (images lie in `../images`)."""
    truth = read_json(annotations)
    results = predict_stills(estimator, truth, annotations.parent.parent / "images", codec)
    return evaluate_coco(annotations, results)


def predict_stills(
    estimator: PoseEstimator, truth: Mapping[str, Any], images: Path, codec: HeatmapCodec | None = None
) -> list[dict[str, Any]]:
    """COCO results of the key network for each labelled person; the score is the mean keypoint score."""
    arch = estimator.schedule.plan(0).arch
    codec = codec or HeatmapCodec(arch.height, arch.width)
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for row in truth["annotations"]:
        if not row.get("iscrowd") and row.get("num_keypoints", 0) > 0:
            by_image.setdefault(row["image_id"], []).append(row)
    results = []
    for identity, rows in by_image.items():
        image = read_image(inside(images, files[identity]))
        boxes = np.array([row["bbox"] for row in rows], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        transforms = [CropTransform.from_box(box, arch.height, arch.width) for box in boxes]
        crops = np.stack([transform.warp(image) for transform in transforms])
        points_crop, scores = codec.decode(estimator.estimate(0, crops, None))
        for transform, points, found in zip(transforms, points_crop, scores, strict=True):
            triples = np.concatenate([transform.to_frame(points), found[:, None]], 1)
            results.append(
                {
                    "image_id": identity,
                    "category_id": 1,
                    "keypoints": [round(float(v), 3) for v in triples.reshape(-1)],
                    "score": float(found.mean()),
                }
            )
    return results


@dataclass(frozen=True)
class ClipScores:
    """PCK in percent at 0.2, 0.1, 0.05 of the limb box, PCK@0.1 by position in the cycle, and the frames counted."""

    pck: tuple[float, ...]
    pck_by_position: tuple[float, ...]
    frames: int


def evaluate_clips(
    estimator: PoseEstimator,
    clips: Sequence[PersonClip],
    options: PropagationOptions,
    boxes_on_followers: bool = False,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
) -> ClipScores:
    """PCK of the whole propagation on clips of one person; labelled boxes are given on key frames.

    With `boxes_on_followers` the key network runs on every frame instead, as the ceiling to compare with.
    """
    limbs = [estimator.skeleton.index(name) for name in LIMB_JOINTS]
    truth, found, labelled, positions = [], [], [], []
    for clip in clips:
        rows = {i: np.array([[*frame.box_frame, 1]], np.float32) for i, frame in enumerate(clip.frames)}
        propagator = Propagator(estimator, GivenBoxesSource(rows), options=options)
        for index, frame in enumerate(clip.frames):
            if boxes_on_followers:
                propagator.reset()
            step = propagator.step(read(frame.image), index, index / 30)
            points = step.people.points_frame
            found.append(points[0] if len(points) else np.full_like(frame.points_frame, np.nan))
            truth.append(frame.points_frame)
            labelled.append(frame.weights > 0)
            positions.append(step.position)
    true, predicted = np.stack(truth)[:, limbs], np.stack(found)[:, limbs]
    seen, where = np.stack(labelled)[:, limbs], np.asarray(positions)
    sizes = limb_sizes(true, seen)
    by_position = [
        float(pck(true[where == p], predicted[where == p], seen[where == p], sizes[where == p], (0.1,))[0])
        for p in range(len(estimator.schedule))
    ]
    total = pck(true, predicted, seen, sizes, PCK_THRESHOLDS)
    return ClipScores(tuple(float(v) for v in total), tuple(by_position), len(true))
