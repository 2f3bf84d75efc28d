"""Reads person boxes that another program found: CSV with a header, JSON in COCO's layouts, or MOT text.

Shapes: N boxes.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.checks.problems import finite_numbers
from vipnas_cli.data.files.coco import LABELS, PERSON, Box, Labels, PersonRow, other_categories, person_ids, read_json
from vipnas_cli.data.people_labels import LARGEST_PLACE
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind, brief
from vipnas_cli.errors import DataError
from vipnas_cli.files import shown
from vipnas_cli.media.limits import LAST_FRAME

BoxesByFrame = dict[int, NDArray[np.float32]]
_HINT = (
    "use a .csv with the columns frame,x,y,width,height[,score] (frame counts from 0), a .json list of "
    '{"frame": …, "bbox": [x, y, width, height], "score": …}, a COCO document, or a MOT .txt (frame counts from 1)'
)
BOXES = DocumentKind("a boxes file", DataError, _HINT, LARGEST_LABELS)
# MOT ground truth has nine columns, with a flag that is 0 for what is to be ignored, and a class: 1 is a pedestrian.
TRUTH_COLUMNS, PEDESTRIAN = 9, 1
# MOT text: frame, id, x, y, width, height.
LEAST_COLUMNS = 6


@dataclass(frozen=True)
class BoxRow:
    """A box of a file: frame from 0, x and y of its corner, width, height, score."""

    frame: int
    x: float
    y: float
    width: float
    height: float
    score: float = 1.0


class BoxEntry(TypedDict):
    """A box of a JSON list, as far as it is read."""

    bbox: Box
    frame: NotRequired[int | float | str]
    image_id: NotRequired[int]
    category_id: NotRequired[int]
    score: NotRequired[float]


def read_boxes(path: Path) -> BoxesByFrame:
    """Rows (N, 5) of x0, y0, x1, y1, score per frame index; DataError names the row that cannot be used."""
    readers = {".csv": _csv_rows, ".json": _json_rows, ".gz": _json_rows, ".txt": _mot_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{shown(path)} is not a boxes file that is known", _HINT)
    found: dict[int, list[list[float]]] = {}
    with BOXES.told(path):
        for number, row in enumerate(reader(path), 1):
            box = [row.x, row.y, row.width, row.height]
            if not 0 <= row.frame < LAST_FRAME or not possible_box(box) or not finite_numbers([row.score], 1):
                raise ValueError(f"entry {number}: frame {row.frame:g}, box {box} is impossible")
            if min(box[2:]) <= 0:
                raise ValueError(f"entry {number}: frame {row.frame}, box {box} is impossible")
            found.setdefault(row.frame, []).append([row.x, row.y, row.x + row.width, row.y + row.height, row.score])
    return {frame: np.asarray(rows, np.float32) for frame, rows in found.items()}


def possible_box(box: object) -> TypeGuard[list[Any]]:
    """Whether a value from a file is a box x, y, width, height that a picture can have."""
    return finite_numbers(box, 4) and all(abs(value) <= LARGEST_PLACE for value in box)


def no_person_boxes(path: Path, found: Iterable[object], persons: Collection[int]) -> DataError:
    """The error for a file whose boxes are all of other categories."""
    return other_categories(path, ({"category_id": one} for one in found), persons)


def _csv_rows(path: Path) -> Iterator[BoxRow]:
    lines = (line for line in BOXES.read_text(path).splitlines() if line.strip() and not line.startswith("#"))
    head = next(lines, "")
    # Spreadsheets separate by semicolons where the comma marks decimals.
    sign = next((sign for sign in (",", ";", "\t") if sign in head), ",")
    missing = {"frame", "x", "y", "width", "height"} - {name.strip().lower() for name in head.split(sign)}
    if missing:
        raise ValueError(f"it has no column {', '.join(sorted(missing))}")
    try:
        for row in csv.DictReader(chain([head], lines), delimiter=sign, skipinitialspace=True, strict=True):
            values = {str(name).strip().lower(): value for name, value in row.items()}
            x, y, width, height = (_number(values[name]) for name in ("x", "y", "width", "height"))
            yield BoxRow(_frame(_number(values["frame"])), x, y, width, height, _number(values.get("score") or "1"))
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _json_rows(path: Path) -> Iterator[BoxRow]:
    content = read_json(path)
    labelled = isinstance(content, dict)
    rows, frames, persons = _labelled(path, content) if labelled else (content, {}, frozenset({PERSON}))
    entries = BOXES.convert(rows, path, list[BoxEntry])
    others = {row["category_id"] for row in entries if row.get("category_id", PERSON) not in persons}
    kept = [row for row in entries if "category_id" not in row or row["category_id"] in persons]
    if others and not kept:
        raise no_person_boxes(path, others, persons)
    for row in kept:
        frame = frames[row["image_id"]] if labelled else row["frame"] if "frame" in row else row["image_id"]
        yield BoxRow(_frame(frame), *row["bbox"], row.get("score", 1.0))


def _labelled(path: Path, content: object) -> tuple[list[PersonRow], dict[int, int], frozenset[int]]:
    """The boxes of a COCO document, the frame of each image, which is its place in the list, and who is a person."""
    labels = LABELS.convert(content, path, Labels)
    rows = [row for row in labels["annotations"] if not row.get("iscrowd")]
    frames = {image["id"]: place for place, image in enumerate(labels["images"])}
    return rows, frames, person_ids(labels.get("categories"), path)


def _mot_rows(path: Path) -> Iterator[BoxRow]:
    classes: set[int] = set()
    kept = False
    for line in BOXES.read_text(path).splitlines():
        if not line.strip():
            continue
        parts = [_number(part) for part in (line.split(";") if ";" in line else line.replace(",", " ").split())]
        if len(parts) < LEAST_COLUMNS:
            raise ValueError(f"line {brief(line.strip())} has {len(parts)} of at least {LEAST_COLUMNS} numbers")
        if len(parts) == TRUTH_COLUMNS and parts[7] > 0 and (parts[7] != PEDESTRIAN or not parts[6]):
            classes.add(int(parts[7]))
            continue
        kept = True
        frame, _, x, y, width, height, score = [*parts, 1.0][:7]
        yield BoxRow(_frame(frame) - 1, x, y, width, height, score)
    if classes and not kept:
        raise no_person_boxes(path, classes, {PEDESTRIAN})


def _number(text: str | None) -> float:
    if text is None:
        raise ValueError("a row has fewer values than the first")
    try:
        return float(text)
    except ValueError:
        return float(text.replace(",", "."))


def _frame(value: float | str) -> int:
    """A frame's number, which programs also write as 7.0."""
    if not float(value).is_integer():
        raise ValueError(f"{brief(value)} is no number of a frame")
    return int(float(value))
