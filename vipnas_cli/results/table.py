"""Poses as tables: tidy, with a row per frame, person and keypoint, or wide, with a row per frame and person.

Neither holds boxes, which keep only what lies around the keypoints, key frames, or frames without people.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vipnas_cli.documents import brief
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.csvw import (
    FRAME,
    KEYPOINT,
    PERSON,
    TIME,
    Column,
    facts_text,
    read_facts,
    score_column,
    x_column,
    y_column,
)
from vipnas_cli.results.facts import (
    POSES,
    ResultHeader,
    Results,
    around,
    facts_of,
    header_of,
    skeleton_of,
    ticks_of,
    time_base_of,
)
from vipnas_cli.results.sink import TextFile

TIDY = (FRAME, TIME, PERSON, KEYPOINT, x_column("x"), y_column("y"), score_column("score"))
COLUMNS = tuple(column.name for column in TIDY)
ROW = (FRAME.name, TIME.name, PERSON.name)
# How the columns of a keypoint end in a wide table.
X, Y, SURE = "_x", "_y", "_score"


class CsvSink(TextFile):
    """One row per frame, person and keypoint; frames without people have none."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._names = skeleton.keypoints
        facts = facts_text(Path(path), TIDY, ("frame", "person", "keypoint"), facts_of(header, skeleton))
        super().__init__(path, f"{','.join(COLUMNS)}\n", facts)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        people = result.people
        points, scores = people.points_frame.tolist(), people.scores.tolist()
        start = f"{result.frame_index},{result.time_s:.6f}"
        self._add_frame(
            "".join(
                f"{start},{person},{name},{x:.2f},{y:.2f},{score:.3f}\n"
                for person, pose, peaks in zip(people.ids.tolist(), points, scores, strict=True)
                for name, (x, y), score in zip(self._names, pose, peaks, strict=True)
            )
        )


class WideSink(TextFile):
    """One row per frame and person with the columns nose_x, nose_y, nose_score and so on."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        columns = (FRAME, TIME, PERSON, *(column for name in skeleton.keypoints for column in _columns_of(name)))
        facts = facts_text(Path(path), columns, ("frame", "person"), facts_of(header, skeleton))
        super().__init__(path, f"{','.join(column.name for column in columns)}\n", facts)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        people = result.people
        start = f"{result.frame_index},{result.time_s:.6f}"
        rows = []
        for person, pose, peaks in zip(
            people.ids.tolist(), people.points_frame.tolist(), people.scores.tolist(), strict=True
        ):
            values = ",".join(f"{x:.2f},{y:.2f},{score:.3f}" for (x, y), score in zip(pose, peaks, strict=True))
            rows.append(f"{start},{person},{values}\n")
        self._add_frame("".join(rows))


def _columns_of(name: str) -> tuple[Column, Column, Column]:
    return x_column(f"{name}{X}"), y_column(f"{name}{Y}"), score_column(f"{name}{SURE}")


class _Pose(NamedTuple):
    """A person in a frame of a table: the texts of ROW, the keypoints, and x, y and score of each."""

    start: tuple[str, ...]
    names: tuple[str, ...]
    values: list[list[str]]


def read_table(path: Path | str) -> Results:
    """What a CsvSink or a WideSink wrote; DataError if it is something else.

    Boxes are those around the keypoints, `key` is False. The facts are in the file beside it, or in `#` lines before
    the table, as they once were; without them size, source and pipeline are not known.
    """
    path = Path(path)
    lines = POSES.read_text(path).splitlines()
    old = bool(lines) and lines[0].startswith("#")
    facts = None if old else read_facts(path)
    with POSES.told(path), np.errstate(over="raise"):
        try:
            poses = _poses(csv.DictReader(line for line in lines if not line.startswith("#")))
            first = next(poses, None)
            names = first.names if first else ()
            header = ResultHeader()
            if old:
                header, names = _old_facts(lines)
            elif facts:
                header, names = header_of(facts), tuple(facts["keypoints"])
            groups = groupby(chain([first] if first else [], poses), lambda pose: pose.start[0])
            frames = tuple(_frame(list(group), header.time_base, names) for _, group in groups)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if any(one.frame_index > two.frame_index for one, two in pairwise(frames)):
            raise ValueError("its rows are not in the order of the frames")
        return Results.of(header, skeleton_of(names), frames)


def _old_facts(lines: Sequence[str]) -> tuple[ResultHeader, tuple[str, ...]]:
    """The facts of a table that begins with `# name: value`, and its keypoints."""
    facts = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    width, height = facts["size"].split(" x ")
    base = time_base_of(facts["time_base"])
    header = ResultHeader(facts["source"], int(width), int(height), base, facts["pipeline"], facts["smoothing"])
    return header, tuple(facts["keypoints"].split())


def _poses(rows: csv.DictReader[str]) -> Iterator[_Pose]:
    """The people of a tidy or a wide table, frame by frame."""
    head = rows.fieldnames or ()
    tidy = KEYPOINT.name in head
    names = () if tidy else tuple(name.removesuffix(X) for name in head if name.endswith(X))
    wanted = COLUMNS if tidy else (*ROW, *(f"{name}{end}" for name in names for end in (X, Y, SURE)))
    missing = [name for name in wanted if name not in head]
    if missing or not (tidy or names):
        raise ValueError(f"it has no column {missing[0] if missing else KEYPOINT.name}")
    return _tidy(rows) if tidy else _wide(rows, names)


def _tidy(rows: csv.DictReader[str]) -> Iterator[_Pose]:
    for start, group in groupby(rows, lambda row: tuple(row[name] for name in ROW)):
        pose = list(group)
        values = [[row[column] for column in ("x", "y", "score")] for row in pose]
        yield _Pose(start, tuple(row[KEYPOINT.name] for row in pose), values)


def _wide(rows: csv.DictReader[str], names: tuple[str, ...]) -> Iterator[_Pose]:
    for row in rows:
        values = [[row[f"{name}{end}"] for end in (X, Y, SURE)] for name in names]
        yield _Pose(tuple(row[name] for name in ROW), names, values)


def _frame(poses: Sequence[_Pose], time_base: Fraction, names: tuple[str, ...]) -> FrameResult:
    index, time_s, _ = poses[0].start
    if any(pose.names != names for pose in poses):
        raise ValueError(f"frame {brief(index)} does not hold each keypoint once")
    ids = [int(person) for *_, person in (pose.start for pose in poses)]
    array = np.array([[[float(text) for text in place] for place in pose.values] for pose in poses], np.float32)
    people = People(np.array(ids, np.int64), around(array[..., :2]), array[..., :2], array[..., 2])
    return FrameResult(int(index), ticks_of(time_s, time_base), float(time_s), people, False)
