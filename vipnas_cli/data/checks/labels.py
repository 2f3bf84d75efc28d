"""Looks for what spoils training: pictures that cannot be read, boxes and keypoints that cannot be meant.

Shapes: K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.checks.problems import Problem, finite_numbers
from vipnas_cli.data.files.coco import inside, picture_file, whole
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError

Rows = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]
# Labels reach a little over the border of a picture, and limbs a little over their box.
OVER_BORDER, OVER_BOX = 0.1, 0.5
# Two joints of a pair are in clear order when they lie this share of the box's longer side apart.
CLEARLY_APART = 0.1


def picture_problems(file: Path, images: Rows, root: Path | None = None) -> Iterator[list[Problem]]:
    """What is wrong with the picture of each image entry: missing, unreadable, or of another size than stated.

    Names start from `root`, or from where COCO keeps its images when that is None.
    """
    for image in images:
        try:
            name = str(image.get("file_name"))
            path = picture_file(file, name) if root is None else inside(root, name)
            found = _size_fault(path, image)
        except DataError as error:
            found = error.what
        yield [Problem(file, f"image {brief(image.get('id'))}", found)] if found else []


def _size_fault(path: Path, image: Mapping[str, Any]) -> str:
    height, width = read_image(path).shape[:2]
    stated = (image.get("width", width), image.get("height", height))
    if stated == (width, height):
        return ""
    return f"{path} has {width}×{height} pixels, the labels say {stated[0]}×{stated[1]}"


def label_problems(file: Path, document: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with boxes and keypoints of a document whose lists and numbers have been checked before."""
    # Ids may be anything in a file that is not yet known to be good.
    sizes = {brief(image.get("id")): (image.get("width"), image.get("height")) for image in document["images"]}
    categories = {brief(row.get("id")): _names(row.get("keypoints")) for row in document["categories"]}
    found = []
    for row in document["annotations"]:
        entry = f"annotation {brief(row.get('id'))} (image {brief(row.get('image_id'))})"
        size = sizes.get(brief(row.get("image_id")), (None, None))
        names = categories.get(brief(row.get("category_id")), next(iter(categories.values()), []))
        found += [Problem(file, entry, what, fatal) for what, fatal in _faults(row, size, names)]
    return found


def _names(listed: object) -> list[str]:
    """The names of keypoints of a category."""
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _faults(row: Mapping[str, Any], size: tuple[Any, Any], names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each fault with whether it makes the label impossible."""
    box = row.get("bbox")
    if not finite_numbers(box, 4):
        return
    yield from _box_faults(box, size, bool(row.get("iscrowd")))
    values = row.get("keypoints")
    if not isinstance(values, list) or not finite_numbers(values, 3 * len(names)) or not names:
        return
    triples = np.asarray(values, np.float64).reshape(-1, 3)
    yield from _joint_faults(triples, np.asarray(box, np.float64), names)
    if _looks_swapped({name: triple[:2] for name, triple in zip(names, triples, strict=True) if triple[2] > 0}, box):
        yield "left and right look swapped", False


def _box_faults(box: Sequence[float], size: tuple[Any, Any], crowd: bool) -> Iterator[tuple[str, bool]]:
    x, y, width, height = box
    if width <= 0 or height <= 0:
        yield f"the box {list(box)} has no size", True
    elif not crowd and min(width, height) < 2:
        yield f"the box {list(box)} is less than two pixels wide or high", False
    if not all(whole(side) for side in size):
        return
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        yield f"the box {list(box)} lies outside the picture of {size[0]}×{size[1]}", True
    elif max(-x, x + width - size[0]) > OVER_BORDER * size[0] or max(-y, y + height - size[1]) > OVER_BORDER * size[1]:
        yield f"the box {list(box)} reaches far out of the picture of {size[0]}×{size[1]}", False


def _joint_faults(triples: Floats, box: Floats, names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    flags, points = triples[:, 2], triples[:, :2]
    odd = [names[index] for index in np.flatnonzero(~np.isin(flags, (0, 1, 2))).tolist()]
    if odd:
        yield f"the visibility of {', '.join(odd)} is not 0, 1 or 2", True
    nowhere = [names[index] for index in np.flatnonzero((flags > 0) & (points == 0).all(1)).tolist()]
    if nowhere:
        yield f"{', '.join(nowhere)} at (0, 0), the mark of a missing joint, but labelled", True
    away = np.maximum(box[:2] - points, points - box[:2] - box[2:]).max(1)
    far = (flags > 0) & (points != 0).any(1) & (away > OVER_BOX * box[2:].max())
    if far.any():
        yield f"{', '.join(names[index] for index in np.flatnonzero(far).tolist())} far outside the box", False


def _looks_swapped(points: Mapping[str, Floats], box: Sequence[float]) -> bool:
    """Whether, of someone upright, the face shows one side to the camera and both shoulders and hips the other."""
    apart = CLEARLY_APART * max(box[2:])

    def order(part: str) -> float:
        """1 or −1 for which side of a pair is to the right in the picture, 0 if it is not clear."""
        left, right = points.get(f"left_{part}"), points.get(f"right_{part}")
        if left is None or right is None or abs(left[0] - right[0]) < (apart if part in BODY else apart / 4):
            return 0.0
        return float(np.sign(left[0] - right[0]))

    body, face = {order(part) for part in BODY}, {order(part) for part in ("eye", "ear")} - {0.0}
    if len(body) != 1 or len(face) != 1 or 0.0 in body or "nose" not in points:
        return False
    upright = points["nose"][1] < points["left_shoulder"][1] < points["left_hip"][1]
    return bool(upright and body != face)


BODY = ("shoulder", "hip")
