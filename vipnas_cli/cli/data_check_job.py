"""What `vipnas data check` does: find the label files, look through each, tell what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from vipnas_cli.cli.console import counted, message_console, print_json
from vipnas_cli.cli.data import CheckOptions
from vipnas_cli.data.checks import coco as coco_checks
from vipnas_cli.data.checks import posetrack as posetrack_checks
from vipnas_cli.data.checks.labels import label_problems, picture_problems
from vipnas_cli.data.checks.problems import Problem
from vipnas_cli.data.files.coco import read_json
from vipnas_cli.data.files.posetrack import FILE_KEYPOINTS
from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError

SCHEMA = 1
PARTS = ("images", "annotations", "categories")
# More lines of one kind than this say nothing new; --json has them all.
MOST_LINES = 200


@dataclass(frozen=True)
class Checked:
    """What a label file holds and what is wrong with it; `flags` counts keypoints by their visibility."""

    file: Path
    layout: str
    images: int
    persons: int
    flags: dict[str, int]
    problems: list[Problem]


def check_job(options: CheckOptions) -> None:
    """Prints what is wrong; DataError when something is impossible to train on or to score."""
    console = message_console(options.quiet or options.json)
    checked = [_checked(file, options.pictures, console) for file in label_files(options.path)]
    problems = [problem for one in checked for problem in one.problems]
    if options.json:
        print_json(_document(checked))
    else:
        _print(checked, problems)
    wrong = sum(problem.fatal for problem in problems)
    if wrong:
        raise DataError(f"{options.path} has {wrong} problem{'s' * (wrong > 1)}", "correct or remove these entries")


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


def _checked(file: Path, pictures: bool, console: Console) -> Checked:
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
        with counted(console, file.name, len(document["images"])) as on_picture:
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
    return set(FILE_KEYPOINTS[1:3]) <= set(_names(document))


def _flags_of(keypoints: object) -> list[Any]:
    return keypoints[2::3] if isinstance(keypoints, list) else []


def _flags(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    flags = Counter(brief(flag) for row in rows for flag in _flags_of(row.get("keypoints")))
    return dict(sorted(flags.items()))


def _document(checked: Sequence[Checked]) -> dict[str, Any]:
    """The result as JSON."""
    files = [
        {"file": str(one.file), "layout": one.layout, "images": one.images, "persons": one.persons}
        | {"keypoints_by_visibility": one.flags}
        for one in checked
    ]
    problems = [
        {"file": str(problem.file), "entry": problem.entry, "what": problem.what, "fatal": problem.fatal}
        for one in checked
        for problem in one.problems
    ]
    fatal = sum(problem["fatal"] is True for problem in problems)
    counts = {"fatal": fatal, "warnings": len(problems) - fatal}
    return {"schema": SCHEMA, "files": files, "counts": counts, "problems": problems}


def _print(checked: Sequence[Checked], problems: Sequence[Problem]) -> None:
    # What is impossible first: a long list of warnings must not hide it.
    for problem in sorted(problems, key=lambda problem: not problem.fatal)[:MOST_LINES]:
        print(problem)
    if len(problems) > MOST_LINES:
        print(f"… and {len(problems) - MOST_LINES} more; --json lists them all")
    layouts = ", ".join(sorted({one.layout for one in checked}))
    images, persons = sum(one.images for one in checked), sum(one.persons for one in checked)
    flags: Counter[str] = Counter()
    for one in checked:
        flags.update(one.flags)
    joints = ", ".join(f"{count} with v={flag}" for flag, count in sorted(flags.items()))
    fatal = sum(problem.fatal for problem in problems)
    print(f"{len(checked)} file{'s' * (len(checked) != 1)} ({layouts}): {images} images, {persons} persons")
    print(f"keypoints: {joints or 'none'}")
    print(f"{fatal} impossible, {len(problems) - fatal} doubtful")
