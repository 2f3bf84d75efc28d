"""Poses of people in still images by COCO's protocol: boxes, poses, rescoring, removal of doubles, results.

Shapes: N boxes, P people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.boxes import BoxesByFrame
from vipnas_cli.data.files.coco import picture_file
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.errors import DataError
from vipnas_cli.inference.crops import key_poses
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.people import PeopleSource
from vipnas_cli.pose.oks import oks_nms
from vipnas_cli.pose.people import pose_scores

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Result = dict[str, Any]


@dataclass(frozen=True)
class StillOptions:
    """A better pose with an OKS above `same_person_oks` removes a person, as is COCO's habit; `workers` images are
    looked at at once."""

    same_person_oks: float = 0.9
    workers: int = 1


def labelled_people(truth: Mapping[str, Any]) -> BoxesByFrame:
    """Rows (N, 5) of the boxes of all persons with labelled keypoints, score 1, by image id; crowds are left out."""
    found: dict[int, list[list[float]]] = {}
    for row in truth["annotations"]:
        if not row.get("iscrowd") and row.get("num_keypoints", 0) > 0 and min(row["bbox"][2:]) > 0:
            x, y, w, h = row["bbox"]
            found.setdefault(row["image_id"], []).append([x, y, x + w, y + h, 1.0])
    return {image: np.asarray(rows, np.float32) for image, rows in found.items()}


def predict_people(
    estimator: PoseEstimator,
    truth: Mapping[str, Any],
    annotations: Path,
    source: PeopleSource,
    options: StillOptions = StillOptions(),
    on_image: Callable[[], None] = lambda: None,
) -> list[Result]:
    """COCO results of the key network for the images that `truth`, the content of the file `annotations`, lists.

    The source is asked with the image id in place of a frame index.
    """

    def predict(entry: Mapping[str, Any]) -> list[Result]:
        image = _read(picture_file(annotations, entry["file_name"]), entry)
        boxes, box_scores = source.boxes(image, entry["id"])
        found = [
            {"image_id": entry["id"], "category_id": truth["categories"][0]["id"], **person}
            for person in _people(estimator, image, boxes, box_scores, options)
        ]
        on_image()
        return found

    if options.workers == 1:
        return [row for entry in truth["images"] for row in predict(entry)]
    with ThreadPoolExecutor(options.workers) as pool:
        return [row for rows in pool.map(predict, truth["images"]) for row in rows]


def _read(path: Path, entry: Mapping[str, Any]) -> Image:
    image = read_image(path)
    stated = (entry.get("height", image.shape[0]), entry.get("width", image.shape[1]))
    if stated != image.shape[:2]:
        raise DataError(
            f"{path} has {image.shape[1]}×{image.shape[0]} pixels, its labels say {stated[1]}×{stated[0]}",
            "use pictures and labels of the same size",
        )
    return image


def _people(
    estimator: PoseEstimator, image: Image, boxes: Floats, box_scores: Floats, options: StillOptions
) -> list[Result]:
    """Keypoints and score of the people in boxes (P, 4) of one image, best first."""
    if not len(boxes):
        return []
    poses = key_poses(estimator, image, boxes)
    points, sure = poses.points_frame, poses.scores
    scores = box_scores * pose_scores(sure)
    areas = np.array([crop.height * crop.width / crop.scale**2 for crop in poses.transforms])
    kept = oks_nms(points, scores, areas, estimator.skeleton.sigmas, options.same_person_oks)
    triples = np.concatenate([points, sure[..., None]], -1).reshape(len(boxes), -1)
    return [
        {"keypoints": [round(float(value), 3) for value in triples[person]], "score": float(scores[person])}
        for person in kept
    ]
