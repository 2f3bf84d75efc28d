"""Poses as tables: tidy, with a row per frame, person and keypoint, or wide, with a row per frame and person.

Neither holds boxes, which keep only what lies around the keypoints, or key frames; of frames without people the facts
beside it tell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, groupby, pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vipnas_cli.documents import brief
from vipnas_cli.files import shown
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
from vipnas_cli.results.empty import FrameCounter, with_empty_frames
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
from vipnas_cli.results.sink import TextFile, csv_row

TIDY = (FRAME, TIME, PERSON, KEYPOINT, x_column("x"), y_column("y"), score_column("score"))
COLUMNS = tuple(column.name for column in TIDY)
ROW = (FRAME.name, TIME.name, PERSON.name)
# How the columns of a keypoint end in a wide table.
X, Y, SURE = "_x", "_y", "_score"


class _TableFile(TextFile):
    """A table whose rows `key` tells apart, with its facts beside it; they count its frames when it is closed."""

    def __init__(
        self,
        path: Path | str,
        columns: tuple[Column, ...],
        key: tuple[str, ...],
        skeleton: Skeleton,
        header: ResultHeader,
    ) -> None:
        self._columns, self._key, self._about = columns, key, facts_of(header, skeleton)
        self._counter = FrameCounter(header.stride)
        opening = f"{csv_row(column.name for column in columns)}\n"
        super().__init__(path, opening, facts_text(Path(path), columns, key, self._about))

    def _add_rows(self, result: FrameResult, rows: str) -> None:
        self._add_frame(rows)
        self._counter.add(result)

    def _closing_facts(self) -> str:
        return facts_text(self.path, self._columns, self._key, {**self._about, **self._counter.facts})


class CsvSink(_TableFile):
    """One row per frame, person and keypoint; frames without people have none."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._names = [csv_row([name]) for name in skeleton.keypoints]
        super().__init__(path, TIDY, ("frame", "person", "keypoint"), skeleton, header)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        people = result.people
        points, scores = people.points_frame.tolist(), people.scores.tolist()
        start = f"{result.frame_index},{result.time_s:.6f}"
        rows = (
            f"{start},{person},{name},{x:.2f},{y:.2f},{score:.3f}\n"
            for person, pose, peaks in zip(people.ids.tolist(), points, scores, strict=True)
            for name, (x, y), score in zip(self._names, pose, peaks, strict=True)
        )
        self._add_rows(result, "".join(rows))


class WideSink(_TableFile):
    """One row per frame and person with the columns nose_x, nose_y, nose_score and so on."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        columns = (FRAME, TIME, PERSON, *(column for name in skeleton.keypoints for column in _columns_of(name)))
        super().__init__(path, columns, ("frame", "person"), skeleton, header)

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
        self._add_rows(result, "".join(rows))


def _columns_of(name: str) -> tuple[Column, Column, Column]:
    return x_column(f"{name}{X}"), y_column(f"{name}{Y}"), score_column(f"{name}{SURE}")


class _Pose(NamedTuple):
    """A person in a frame of a table: the texts of ROW, the keypoints, and x, y and score of each with its line.

    `columns` are those of x, y and score of each keypoint.
    """

    start: tuple[str, ...]
    names: tuple[str, ...]
    values: list[list[str]]
    lines: list[int]
    columns: list[tuple[str, ...]]

    def in_order(self, names: tuple[str, ...]) -> _Pose:
        """The pose with its keypoints in this order; ValueError if it has others, or one twice."""
        if self.names == names:
            return self
        if sorted(self.names) != sorted(names):
            raise ValueError(
                f"frame {brief(self.start[0])} does not hold each keypoint once, or its rows do not stand together, by "
                "frame and person"
            )
        order = [self.names.index(name) for name in names]
        values, lines = [self.values[row] for row in order], [self.lines[row] for row in order]
        return _Pose(self.start, names, values, lines, [self.columns[row] for row in order])

    def check(self, skipped: int) -> None:
        """ValueError for the first text that is no number, which names its line after those that were skipped."""
        for column, text in zip(ROW, self.start, strict=True):
            _check_number(text, self.lines[0] + skipped, column, int if column != TIME.name else float)
        for place, line, columns in zip(self.values, self.lines, self.columns, strict=True):
            for text, column in zip(place, columns, strict=True):
                _check_number(text, line + skipped, column, float)


def _check_number(text: str | None, line: int, column: str, kind: type[int | float]) -> None:
    try:
        kind(text or "")
    except ValueError:
        found = "is empty" if not text else f"holds {brief(text)}, no {'whole ' * (kind is int)}number"
        raise ValueError(f"line {line}, column {shown(column)} {found}") from None


def read_table(path: Path | str) -> Results:
    """What a CsvSink or a WideSink wrote; DataError if it is something else.

    Boxes are those around the keypoints, `key` is False. The facts are in the file beside it, or in `#` lines before
    the table, as they once were; without them size, source, pipeline and frames without people are not known.
    """
    path = Path(path)
    # Names may hold line breaks, within quotes; csv wants the ends of lines to keep them.
    lines = list(io.StringIO(POSES.read_text(path), newline=""))
    old = bool(lines) and lines[0].startswith("#")
    facts = None if old else read_facts(path)
    with POSES.told(path), np.errstate(over="raise"):
        try:
            skipped = sum(1 for _ in takewhile(lambda line: line.startswith("#"), lines))
            poses = _poses(csv.DictReader(lines[skipped:]))
            first = next(poses, None)
            names = first.names if first else ()
            header = ResultHeader()
            if old:
                header, names = _old_facts(lines[:skipped])
            elif facts:
                header, names = header_of(facts), tuple(facts["keypoints"])
            groups = groupby(chain([first] if first else [], poses), lambda pose: pose.start[0])
            frames = tuple(_frame(list(group), header.time_base, names, skipped) for _, group in groups)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if any(one.frame_index > two.frame_index for one, two in pairwise(frames)):
            raise ValueError("its rows are not in the order of the frames: sort them by frame and person")
        return with_empty_frames(header, skeleton_of(names), frames, facts)


def _old_facts(lines: Sequence[str]) -> tuple[ResultHeader, tuple[str, ...]]:
    """The facts of a table that begins with `# name: value`, and its keypoints."""
    told = (line.rstrip("\r\n") for line in lines)
    facts = dict(line[2:].split(": ", 1) for line in told if line.startswith("# ") and ": " in line)
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
    columns = ("x", "y", "score")
    numbered = ((rows.line_num, row) for row in rows)
    for start, group in groupby(numbered, lambda one: tuple(one[1][name] for name in ROW)):
        pose = list(group)
        values = [[row[column] for column in columns] for _, row in pose]
        names, lines = tuple(row[KEYPOINT.name] for _, row in pose), [line for line, _ in pose]
        yield _Pose(start, names, values, lines, [columns] * len(pose))


def _wide(rows: csv.DictReader[str], names: tuple[str, ...]) -> Iterator[_Pose]:
    columns = [tuple(f"{name}{end}" for end in (X, Y, SURE)) for name in names]
    for row in rows:
        values = [[row[column] for column in place] for place in columns]
        yield _Pose(tuple(row[name] for name in ROW), names, values, [rows.line_num] * len(names), columns)


def _frame(found: Sequence[_Pose], time_base: Fraction, names: tuple[str, ...], skipped: int) -> FrameResult:
    poses = [pose.in_order(names) for pose in found]
    try:
        return _of_numbers(poses, time_base)
    except (ValueError, TypeError):
        for pose in poses:
            pose.check(skipped)
        raise


def _of_numbers(poses: Sequence[_Pose], time_base: Fraction) -> FrameResult:
    index, time_s, _ = poses[0].start
    ids = [int(person) for *_, person in (pose.start for pose in poses)]
    array = np.array([[[float(text) for text in place] for place in pose.values] for pose in poses], np.float32)
    people = People(np.array(ids, np.int64), around(array[..., :2]), array[..., :2], array[..., 2])
    return FrameResult(int(index), ticks_of(time_s, time_base), float(time_s), people, False)
