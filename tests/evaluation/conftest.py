"""People made of coloured dots, which PaintedEstimator finds, in the formats of PoseTrack18 and COCO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vipnas_cli.pose import COCO17
from vipnas_cli.pose.conversion import head_ends
from vipnas_cli.pose.skeletons import POSETRACK18_FILE

HEIGHT, WIDTH = 160, 240
# A body of 100 pixels, wide enough that no dot hides another: face, shoulders, elbows, wrists, hips, knees, ankles.
BODY = np.array(
    [
        *[(30, 14), (38, 6), (22, 6), (46, 12), (14, 12)],
        *[(46, 30), (14, 30), (52, 44), (8, 44), (56, 58), (4, 58)],
        *[(40, 60), (20, 60), (42, 80), (18, 80), (42, 98), (18, 98)],
    ],
    np.float64,
)


@dataclass(frozen=True)
class PaintedSet:
    """A data folder in one of the layouts, and its labels."""

    folder: Path
    labels: Path


def moved(x: float, y: float) -> NDArray[np.float64]:
    return BODY + np.array([x, y], np.float64)


def painted(people: Sequence[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """A black picture with a dot of 5 × 5 pixels for each keypoint (K, 2) of each person."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for points in people:
        for keypoint, (x, y) in enumerate(points.astype(int)):
            image[y - 2 : y + 3, x - 2 : x + 3] = (10 * (keypoint + 1), 255, 0)
    return image


def box_of(points: NDArray[np.float64]) -> list[float]:
    low, high = points.min(0) - 6, points.max(0) + 6
    return [*map(float, low), *map(float, high - low)]


def save_picture(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def posetrack_person(points: NDArray[np.float64], track: int) -> dict[str, Any]:
    bottom, top = (ends[0] for ends in head_ends(points[None], np.ones((1, 17))))
    places = {**dict(zip(COCO17.keypoints, points, strict=True)), "head_bottom": bottom, "head_top": top}
    triples = [(0, 0, 0) if "ear" in name else (*places[name], 1) for name in POSETRACK18_FILE]
    return {
        "track_id": track,
        "bbox": box_of(points),
        "bbox_head": [0.0, 0.0, 24.0, 32.0],
        "keypoints": [float(value) for triple in triples for value in triple],
        "scores": [],
    }


@pytest.fixture
def walkers(tmp_path: Path) -> PaintedSet:
    """Two sequences: in `pair` two people walk apart, in `visit` one stays and one is there from frame 3 on."""
    names = ("pair", "visit")
    for number, name in enumerate(names):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for frame in range(7):
            step = 2 * frame * (1 - number)
            first, second = moved(20 + step, 30), moved(150 + step, 40)
            people = [first, second] if number == 0 or frame >= 3 else [first]
            identity = 1000 * (number + 1) + frame
            picture = f"images/val/{name}/{frame:06d}.png"
            save_picture(tmp_path / picture, painted(people))
            images.append({"id": identity, "file_name": picture, "height": HEIGHT, "width": WIDTH})
            annotations += [
                {"id": 10 * identity + track, "image_id": identity, **posetrack_person(points, track)}
                for track, points in enumerate(people)
            ]
        category = {"id": 1, "name": "person", "keypoints": list(POSETRACK18_FILE)}
        document = {"images": images, "annotations": annotations, "categories": [category]}
        path = tmp_path / "annotations" / "val" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    return PaintedSet(tmp_path, tmp_path / "annotations" / "val")


@pytest.fixture
def stills(tmp_path: Path) -> PaintedSet:
    """Four images: two people, one person, nobody, and a crowd without keypoints beside a person."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    left, right = moved(20, 30), moved(150, 40)
    for number, people in enumerate(([left, right], [right], [], [left]), start=1):
        save_picture(tmp_path / "images" / f"{number}.png", painted(people))
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        for points in people:
            person = {"bbox": box_of(points), "area": 4000.0, "num_keypoints": 17, "iscrowd": 0}
            triples = np.concatenate([points, np.full((17, 1), 2.0)], 1)
            annotations.append({**person, "image_id": number, "keypoints": triples.reshape(-1).tolist()})
    crowd = {"bbox": [150.0, 20.0, 80.0, 120.0], "area": 9000.0, "num_keypoints": 0, "iscrowd": 1}
    annotations.append({**crowd, "image_id": 4, "keypoints": [0] * 51})
    rows = [{"id": number, "category_id": 1, **row} for number, row in enumerate(annotations, start=1)]
    path = tmp_path / "annotations" / "dots.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "person"}]}))
    return PaintedSet(tmp_path, path)
