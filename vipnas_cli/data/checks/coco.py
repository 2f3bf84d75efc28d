"""Looks through COCO keypoint data before it is scored and tells all that is wrong, not only the first thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vipnas_cli.data.checks.problems import Problem, far_outside, finite_numbers
from vipnas_cli.data.files.coco import person_ids, picture_file, whole
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError


def _number(value: object) -> bool:
    return finite_numbers([value], 1)


# What a person needs to be scored, and what it may be.
NEEDED: dict[str, Callable[[object], bool]] = {
    "image_id": whole,
    "category_id": whole,
    "area": _number,
    "bbox": lambda value: value is not None,  # a wrong one is told below
    "iscrowd": lambda value: value in (0, 1),
    "num_keypoints": whole,
}


def truth_problems(file: Path, document: Any, keypoints: int = 17, images: bool = False) -> list[Problem]:
    """What is wrong with the annotations read from `file`; with `images` also with the pictures beside it."""
    found = _missing_parts(file, document)
    if found:
        return found
    found = _twins(file, "image", [image.get("id") for image in document["images"]], fatal=True)
    for image in document["images"]:
        found += _image_problems(file, image, images)
    # Ids may be anything in a file that is not yet known to be good.
    sizes = {str(image["id"]): image for image in document["images"] if whole(image.get("id"))}
    try:
        persons = person_ids(document["categories"], file)
    except DataError as error:
        return [*found, Problem(file, "categories", error.what)]
    found += _twins(file, "annotation", [row.get("id") for row in document["annotations"]], fatal=False)
    for row in document["annotations"]:
        if whole(row.get("category_id")) and row["category_id"] not in persons:
            continue
        entry = f"annotation {brief(row.get('id'))}"
        found += [Problem(file, entry, f"no {key!r}") for key in NEEDED if key not in row]
        found += [
            Problem(file, entry, f"{key} is {brief(row[key])}")
            for key, fits in NEEDED.items()
            if key in row and not fits(row[key])
        ]
        found += _entry_problems(file, entry, row, sizes, keypoints)
        found += [
            Problem(file, entry, what, False)
            for what in _oddities(row, sizes.get(str(row.get("image_id")), {}), keypoints)
        ]
    return found


def result_problems(file: Path, results: Any, truth: Mapping[str, Any], keypoints: int = 17) -> list[Problem]:
    """What is wrong with results read from `file` for the annotations `truth`."""
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        return [Problem(file, "", "no list of results in COCO's format")]
    sizes = {str(image["id"]): image for image in truth["images"]}
    found: list[Problem] = []
    for number, row in enumerate(results):
        entry = f"result {number}"
        found += [Problem(file, entry, f"no {key!r}") for key in ("image_id", "category_id", "score") if key not in row]
        found += _entry_problems(file, entry, row, sizes, keypoints)
        if "score" in row and not finite_numbers([row["score"]], 1):
            found.append(Problem(file, entry, f"the score {brief(row['score'])} is not finite"))
    return found


def _missing_parts(file: Path, document: Any) -> list[Problem]:
    if not isinstance(document, dict):
        return [Problem(file, "", "no COCO annotation document")]
    parts = {part: document.get(part) for part in ("images", "annotations", "categories")}
    return [
        Problem(file, part, "this list is missing")
        for part, rows in parts.items()
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows)
    ]


def _twins(file: Path, kind: str, ids: Sequence[object], fatal: bool) -> list[Problem]:
    counts = Counter(brief(identity) for identity in ids)
    return [
        Problem(file, f"{kind} {identity}", f"this id occurs {count} times", fatal)
        for identity, count in counts.items()
        if count > 1
    ]


def _image_problems(file: Path, image: Mapping[str, Any], pictures: bool) -> list[Problem]:
    entry = f"image {brief(image.get('id'))}"
    found = []
    if not whole(image.get("id")):
        found.append(Problem(file, entry, "no whole number as id"))
    for side in ("width", "height"):
        value = image.get(side, 1)
        if not whole(value) or value < 1:
            found.append(Problem(file, entry, f"{side} is {brief(value)}"))
    if pictures:
        try:
            picture_file(file, str(image.get("file_name")))
        except DataError as error:
            found.append(Problem(file, entry, error.what))
    return found


def _entry_problems(
    file: Path, entry: str, row: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]], keypoints: int
) -> list[Problem]:
    """What is wrong with a person, labelled or found."""
    found = []
    if not whole(row.get("image_id")) or str(row["image_id"]) not in images:
        found.append(Problem(file, entry, f"image {brief(row.get('image_id'))} is not in the list of images"))
    values = row.get("keypoints")
    if not finite_numbers(values, 3 * keypoints):
        count = len(values) if isinstance(values, list) else 0
        found.append(Problem(file, entry, f"{count} keypoint values, expected {3 * keypoints} finite ones"))
    box = row.get("bbox")
    if box is not None and not finite_numbers(box, 4):
        found.append(Problem(file, entry, f"{brief(box)} is no box"))
    return found


def _oddities(row: Mapping[str, Any], image: Mapping[str, Any], keypoints: int) -> list[str]:
    """What can be scored but is probably not meant."""
    values = row.get("keypoints")
    if not finite_numbers(values, 3 * keypoints):
        return []
    odd = []
    points = [(x, y) for x, y, flag in zip(values[0::3], values[1::3], values[2::3], strict=True) if flag > 0]
    if row.get("num_keypoints", len(points)) != len(points):
        odd.append(f"num_keypoints is {brief(row['num_keypoints'])}, but {len(points)} have a flag above 0")
    if far_outside(points, image.get("width"), image.get("height")):
        odd.append(f"keypoints far outside the picture of {image['width']}×{image['height']}")
    return odd
