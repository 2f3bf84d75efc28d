"""Poses as tables: tidy, with a row per frame, person and keypoint, or wide, with a row per frame and person.

Neither holds boxes, which keep only what lies around the keypoints, or key frames; of frames without people the facts
beside it tell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, groupby, pairwise, takewhile
from pathlib import Path
from typing import NamedTuple

from vipnas_cli.documents import brief
from vipnas_cli.errors import InputError
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
    SCHEMA,
    Facts,
    ResultHeader,
    Results,
    around,
    header_of,
    skeleton_of,
    table_facts,
    ticks_of,
)
from vipnas_cli.results.numbers import floats_of, ids_of
from vipnas_cli.results.rows import check_columns, numbered
from vipnas_cli.results.sink import TextFile, csv_row, facts_path

TIDY = (FRAME, TIME, PERSON, KEYPOINT, x_column("x"), y_column("y"), score_column("score"))
COLUMNS = tuple(column.name for column in TIDY)
ROW = (FRAME.name, TIME.name, PERSON.name)
# What spreadsheets, pandas and R write for a number that is not known, besides NaN.
UNKNOWN = {"": "nan", "NA": "nan"}
# The facts in the lines that begin with #, as earlier versions wrote them.
OLD_FACTS = ("source", "size", "time_base", "pipeline", "smoothing", "keypoints")
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
        self._columns, self._key, self._about = columns, key, table_facts(header, skeleton)
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

    def check(self) -> None:
        """ValueError for the first text that is no number, which names its line."""
        for column, text in zip(ROW, self.start, strict=True):
            _check_number(text, self.lines[0], column, int if column != TIME.name else float)
        for place, line, columns in zip(self.values, self.lines, self.columns, strict=True):
            for text, column in zip(place, columns, strict=True):
                _check_number(UNKNOWN.get(text, text), line, column, float)


def _check_number(text: str, line: int, column: str, kind: type[int | float]) -> None:
    try:
        kind(text)
    except ValueError:
        found = f"holds {brief(text)}, no {'whole ' * (kind is int)}number" if text else "is empty"
        raise ValueError(f"line {line}, column {shown(column)} {found}") from None


def read_table(path: Path | str) -> Results:
    """What a CsvSink or a WideSink wrote; DataError if it is something else.

    Boxes are those around the keypoints, `key` is False. The facts are in the file beside it, or in `#` lines before
    the table, as they once were; without them size, source, pipeline and frames without people are not known.
    """
    path = Path(path)
    # Names may hold line breaks, within quotes; csv wants the ends of lines to keep them.
    lines = list(io.StringIO(POSES.read_text(path), newline=""))
    old = list(takewhile(lambda line: line.startswith("#"), lines))
    facts = _old_facts(path, old) if old else read_facts(path)
    with POSES.told(path):
        try:
            return _results(path, lines, len(old), facts)
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _results(path: Path, lines: Sequence[str], skipped: int, facts: Facts | None) -> Results:
    """The poses of the lines behind those that are skipped."""
    poses = _poses(lines, skipped)
    first = next(poses, None)
    names = first.names if first else ()
    header = header_of(facts) if facts else ResultHeader()
    if facts:
        known = tuple(facts["keypoints"])
        if first and sorted(names) != sorted(known):
            where = "its lines of #" if skipped else shown(facts_path(path).name)
            _check_names({name for pose in _poses(lines, skipped) for name in pose.names}, known, where)
        names = known
    groups = groupby(chain([first] if first else [], poses), lambda pose: pose.start[0])
    frames = tuple(_frame(list(group), header.time_base, names) for _, group in groups)
    if any(one.frame_index > two.frame_index for one, two in pairwise(frames)):
        raise ValueError("its rows are not in the order of the frames: sort them by frame and person")
    return with_empty_frames(header, skeleton_of(names), frames, facts)


def _check_names(found: set[str], known: Sequence[str], where: str) -> None:
    """InputError if the keypoints of a table are others than those of its facts, which are in `where`."""
    missing, new = [name for name in known if name not in found], sorted(found - set(known))
    told = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(new)}"] * bool(new)
    if told:
        raise InputError(
            f"its keypoints are not those in {where}: it {' and '.join(told)}",
            f"Write the same names in both, or remove {where} to read the table without facts.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(brief(name) for name in names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)


def _old_facts(path: Path, lines: Sequence[str]) -> Facts:
    """The facts of a table that begins with `# name: value`; DataError if there are others."""
    told = (line.rstrip("\r\n") for line in lines)
    facts = dict(line[2:].split(": ", 1) for line in told if line.startswith("# ") and ": " in line)
    with POSES.told(path):
        missing = next((name for name in OLD_FACTS if name not in facts), None)
        if missing is not None:
            raise InputError(
                f"it begins with lines of #, none of which tells its {missing}",
                "Remove the lines that begin with #.",
            )
        width, height = map(int, facts["size"].split(" x "))
        return Facts(
            schema=SCHEMA,
            source=facts["source"],
            width=width,
            height=height,
            time_base=facts["time_base"],
            pipeline=facts["pipeline"],
            smoothing=facts["smoothing"],
            keypoints=facts["keypoints"].split(),
        )


def _poses(lines: Sequence[str], skipped: int) -> Iterator[_Pose]:
    """The people of a tidy or a wide table, frame by frame."""
    rows = csv.DictReader(lines[skipped:])
    head = rows.fieldnames or ()
    tidy = KEYPOINT.name in head
    names = () if tidy else tuple(name.removesuffix(X) for name in head if name.endswith(X))
    wanted = COLUMNS if tidy else (*ROW, *(f"{name}{end}" for name in names for end in (X, Y, SURE)))
    check_columns(head, wanted if tidy or names else COLUMNS)
    found = numbered(rows, max(wanted, key=head.index), skipped)
    return _tidy(found) if tidy else _wide(found, names)


def _tidy(rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[_Pose]:
    columns = ("x", "y", "score")
    for start, group in groupby(rows, lambda one: tuple(one[1][name] for name in ROW)):
        pose = list(group)
        values = [[row[column] for column in columns] for _, row in pose]
        names, lines = tuple(row[KEYPOINT.name] for _, row in pose), [line for line, _ in pose]
        yield _Pose(start, names, values, lines, [columns] * len(pose))


def _wide(rows: Iterable[tuple[int, dict[str, str]]], names: tuple[str, ...]) -> Iterator[_Pose]:
    columns = [tuple(f"{name}{end}" for end in (X, Y, SURE)) for name in names]
    for line, row in rows:
        values = [[row[column] for column in place] for place in columns]
        yield _Pose(tuple(row[name] for name in ROW), names, values, [line] * len(names), columns)


def _frame(found: Sequence[_Pose], time_base: Fraction, names: tuple[str, ...]) -> FrameResult:
    poses = [pose.in_order(names) for pose in found]
    try:
        return _of_numbers(poses, time_base)
    except (ValueError, TypeError) as error:
        for pose in poses:
            pose.check()
        raise ValueError(f"line {poses[0].lines[0]}: {error}") from error


def _of_numbers(poses: Sequence[_Pose], time_base: Fraction) -> FrameResult:
    index, time_s, _ = poses[0].start
    pts = ticks_of(time_s, time_base)
    other = next((pose.start[1] for pose in poses if float(pose.start[1]) != float(time_s)), None)
    if other is not None:
        raise ValueError(f"frame {brief(index)} has the times {brief(time_s)} and {brief(other)}")
    ids = [int(person) for *_, person in (pose.start for pose in poses)]
    array = floats_of([[[float(UNKNOWN.get(text, text)) for text in place] for place in pose.values] for pose in poses])
    people = People(ids_of(ids), around(array[..., :2]), array[..., :2], array[..., 2])
    return FrameResult(int(index), pts, float(time_s), people, False)
