"""Label files of either layout looked through as a whole: which there are, what they hold, what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli.data.checks import coco as coco_checks
from vipnas_cli.data.checks import posetrack as posetrack_checks
from vipnas_cli.data.checks.labels import label_problems, picture_problems
from vipnas_cli.data.checks.problems import Problem
from vipnas_cli.data.files.coco import read_json
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError
from vipnas_cli.pose.skeletons import POSETRACK18_FILE

PARTS = ("images", "annotations", "categories")
# A label and a number of steps; gives a function to call after each step.
Counting = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True)
class Checked:
    """What a label file holds and what is wrong with it; `flags` counts keypoints by their visibility."""

    file: Path
    layout: str
    images: int
    persons: int
    flags: dict[str, int]
    problems: list[Problem]


def label_files(path: Path) -> list[Path]:
    """The label files that a file or folder stands for; DataError if there are none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} does not exist", "name a label file or a folder with annotations/")
    folder = path / "annotations" if (path / "annotations").is_dir() else path
    files = sorted(file for pattern in ("*.json", "*.json.gz") for file in folder.rglob(pattern))
    if not files:
        raise DataError(f"{folder} holds no .json or .json.gz files", "name a label file or a folder with annotations/")
    return files


def check_file(file: Path, pictures: bool, counting: Counting) -> Checked:
    """What a label file of either layout holds and what is wrong with it; its `pictures` are read if that is asked for.

    `counting` gives a function to call after each picture, as a progress bar does.
    """
    try:
        document = read_json(file)
    except DataError as error:
        return Checked(file, "unknown", 0, 0, {}, [Problem(file, "", error.what.removeprefix(f"{file} "))])
    posetrack = _is_posetrack(document)
    if posetrack:
        found = posetrack_checks.truth_problems(file)
    else:
        names = _names(document)
        found = coco_checks.truth_problems(file, document, len(names) or 17)
    layout = "PoseTrack18" if posetrack else "COCO"
    if not isinstance(document, dict) or not all(_rows(document.get(part)) for part in PARTS):
        return Checked(file, layout, 0, 0, {}, found)
    found += label_problems(file, document)
    if pictures:
        root = file.resolve().parents[2] if posetrack and len(file.resolve().parents) > 2 else None
        with counting(file.name, len(document["images"])) as on_picture:
            for one in picture_problems(file, document["images"], root):
                found += one
                on_picture()
    counts = (len(document["images"]), len(document["annotations"]))
    return Checked(file, layout, *counts, _flags(document["annotations"]), list(dict.fromkeys(found)))


def _rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _names(document: Any) -> Sequence[str]:
    """The keypoints that the first category with any names."""
    categories = document.get("categories") if isinstance(document, dict) else None
    rows = categories if isinstance(categories, list) else []
    listed = [row.get("keypoints") for row in rows if isinstance(row, dict)]
    return next(([str(name) for name in names] for names in listed if isinstance(names, list) and names), [])


def _is_posetrack(document: Any) -> bool:
    return set(POSETRACK18_FILE[1:3]) <= set(_names(document))


def _flags_of(keypoints: object) -> list[Any]:
    return keypoints[2::3] if isinstance(keypoints, list) else []


def _flags(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    flags = Counter(brief(flag) for row in rows for flag in _flags_of(row.get("keypoints")))
    return dict(sorted(flags.items()))
