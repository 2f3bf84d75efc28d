"""Reads person boxes by image id: the format in which detectors publish results for COCO and PoseTrack.

Shapes: N boxes.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.checks.problems import finite_numbers
from vipnas_cli.data.files.boxes import BoxesByFrame, no_person_boxes, possible_box
from vipnas_cli.data.files.coco import PERSON, read_json, whole
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError
from vipnas_cli.files import shown

_HINT = 'use a .json list of {"image_id": …, "category_id": 1, "bbox": [x, y, width, height], "score": …}'


def read_detections(
    path: Path, image_ids: Collection[int], persons: Collection[int] = frozenset({PERSON})
) -> BoxesByFrame:
    """Rows (N, 5) of x0, y0, x1, y1, score by image id, best first; only of the categories that are `persons`.

    DataError names the entry that cannot be used, or says that not one box is for an image of `image_ids` or a person.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{shown(path)} is no list of detections", _HINT)
    found: dict[int, list[list[float]]] = {}
    others: set[object] = set()
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not whole(row.get("image_id")):
            raise DataError(f"{shown(path)}, entry {number}: no image id", _HINT)
        category = row.get("category_id")
        if category is not None and not (isinstance(category, int) and category in persons):
            others.add(category if whole(category) else brief(category))
            continue
        box, score = row.get("bbox"), row.get("score", 1.0)
        if not possible_box(box) or not finite_numbers([score], 1):
            raise DataError(
                f"{shown(path)}, entry {number}: box {brief(box)} with score {brief(score)} is impossible", _HINT
            )
        if min(box[2:]) > 0:
            found.setdefault(row["image_id"], []).append([box[0], box[1], box[0] + box[2], box[1] + box[3], score])
    if others and not found:
        raise no_person_boxes(path, others, persons)
    if found and found.keys().isdisjoint(image_ids):
        what = f"{shown(path)} has boxes for other images only, such as {min(found)}"
        raise DataError(what, "name boxes for these labels")
    return {image: _sorted(np.asarray(boxes, np.float32)) for image, boxes in found.items()}


def _sorted(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]
