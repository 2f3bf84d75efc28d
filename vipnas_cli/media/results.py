"""Where the numbers of a run go: a tidy CSV, JSON Lines; both come back, too.

Coordinates are pixels of the upright picture, (0, 0) the centre of its top-left pixel; scores are
about the probability that the keypoint is there.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import LARGEST_LABELS, DocumentKind, brief
from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.files import PartialFile, cannot_write, shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton

SCHEMA = 1
COLUMNS = ("frame", "time_s", "person", "keypoint", "x", "y", "score")
COORDINATES = "display pixels after rotation, x to the right and y down; 0,0 is the centre of the top-left pixel"
POSES = DocumentKind("a file of poses as `run` writes it", DataError, "Give a file of `run`.", LARGEST_LABELS)
SCORE = "share of the heatmap near its peak, 0 to 1: about the probability that the keypoint is there"


@dataclass(frozen=True)
class ResultHeader:
    """What a result file says about itself: source file name, size of the upright picture, how the poses were made."""

    source: str
    width: int
    height: int
    time_base: Fraction
    pipeline: str
    smoothing: str = "none"


@dataclass(frozen=True)
class Results:
    """A result file read back; `keypoints` are the names in the order of the arrays."""

    header: ResultHeader
    keypoints: tuple[str, ...]
    frames: tuple[FrameResult, ...]


class ResultSink(Protocol):
    """Takes the poses of each frame, in order, with the picture (None where only poses are wanted)."""

    def write(self, result: FrameResult, image: Image | None, /) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class RowFile:
    """A text file that is flushed with every write and keeps its partial name until closed; `-` is stdout.

    An exception in the `with` block closes it too if any frame was written, so that its rows stay.
    """

    def __init__(self, path: Path | str, opening: str) -> None:
        self.path = Path(path)
        if str(path) == "-" and sys.stdout is None:
            raise OutputError("stdout is closed", "Name a file.")
        self._file = None if str(path) == "-" else PartialFile(self.path)
        self._stream: TextIO = sys.stdout if self._file is None else self._file.text()
        self._closed = self._any = False
        self._put(opening)

    def _add_frame(self, text: str) -> None:
        self._any = True
        self._put(text)

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _ending(self) -> str:
        """What stands behind the last frame."""
        return ""

    def close(self) -> None:
        """Give the file its name."""
        self._finish(keep=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(keep=kind is None or self._any)

    def _finish(self, keep: bool) -> None:
        if self._closed or self._file is None:
            return
        self._closed = True
        try:
            if keep:
                self._put(self._ending())
            self._stream.close()
        except OSError as error:
            self._file.discard()
            raise cannot_write(self.path, error) from error
        except OutputError:
            self._file.discard()
            raise
        if keep:
            self._file.keep()
        else:
            self._file.discard()


class CsvSink(RowFile):
    """One row per frame, person and keypoint; frames without people have none. The header stands in `#` lines."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        facts = {
            "schema": SCHEMA,
            "source": header.source,
            "size": f"{header.width} x {header.height}",
            "time_base": header.time_base,
            "pipeline": header.pipeline,
            "smoothing": header.smoothing,
            "keypoints": " ".join(skeleton.keypoints),
            "coordinates": COORDINATES,
            "score": SCORE,
        }
        lines = [f"# {key}: {' '.join(str(value).split())}" for key, value in facts.items()]
        self._names = skeleton.keypoints
        super().__init__(path, "\n".join([*lines, ",".join(COLUMNS), ""]))

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


class JsonlSink(RowFile):
    """A header object, then one object per frame, with boxes, and also for frames without people."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        facts = {
            "schema": SCHEMA,
            "source": header.source,
            "width": header.width,
            "height": header.height,
            "time_base": str(header.time_base),
            "pipeline": header.pipeline,
            "smoothing": header.smoothing,
            "skeleton": skeleton.name,
            "keypoints": skeleton.keypoints,
            "coordinates": COORDINATES,
            "score": SCORE,
        }
        super().__init__(path, json.dumps(facts) + "\n")

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the object of a frame; the picture is not needed."""
        people = result.people
        listed = [
            {"id": person, "box": box, "keypoints": keypoints}
            for person, box, keypoints in zip(
                people.ids.tolist(), rounded(people.boxes_frame), _keypoints(people), strict=True
            )
        ]
        frame = {"frame": result.frame_index, "pts": result.pts, "time_s": round(result.time_s, 6), "key": result.key}
        self._add_frame(json.dumps({**frame, "people": listed}, separators=(",", ":")) + "\n")


def rounded(pixels: NDArray[np.float32]) -> list[Any]:
    """Pixels as nested lists with two decimals."""
    result: list[Any] = np.round(pixels.astype(np.float64), 2).tolist()
    return result


def _keypoints(people: People) -> list[list[list[float]]]:
    scores = np.round(people.scores.astype(np.float64), 3).tolist()
    return [
        [[x, y, score] for (x, y), score in zip(pose, peaks, strict=True)]
        for pose, peaks in zip(rounded(people.points_frame), scores, strict=True)
    ]


def read_csv(path: Path | str) -> Results:
    """What a CsvSink wrote; DataError if it is something else.

    A CSV holds neither boxes nor key frames: boxes are those around the keypoints, `key` is False.
    """
    path = Path(path)
    lines = POSES.read_text(path).splitlines()
    facts = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    with POSES.told(path):
        width, height = facts["size"].split(" x ")
        size, base = (int(width), int(height)), _time_base(facts["time_base"])
        header = ResultHeader(facts["source"], *size, base, facts["pipeline"], facts["smoothing"])
        names = tuple(facts["keypoints"].split())
        rows = csv.DictReader(line for line in lines if not line.startswith("#"))
        try:
            groups = groupby(rows, lambda row: row["frame"])
            return Results(header, names, tuple(_frame_of_rows(list(group), header, names) for _, group in groups))
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _time_base(text: str) -> Fraction:
    """Seconds per tick as `1/90000`; numbers with exponents would have any number of digits."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}(/[1-9][0-9]{0,17})?", text):
        raise ValueError(f"the time base {brief(text)} is no fraction above 0")
    return Fraction(text)


def _frame_of_rows(rows: Sequence[dict[str, str]], header: ResultHeader, names: tuple[str, ...]) -> FrameResult:
    poses = {person: list(group) for person, group in groupby(rows, lambda row: row["person"])}
    for pose in poses.values():
        if tuple(row["keypoint"] for row in pose) != names:
            raise ValueError(f"frame {rows[0]['frame']} does not hold each keypoint once")
    values = [[[float(row[column]) for column in ("x", "y", "score")] for row in pose] for pose in poses.values()]
    array = np.array(values, np.float32)
    points = array[..., :2]
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    people = People(np.array([int(person) for person in poses], np.int64), boxes, points, array[..., 2])
    time_s = rows[0]["time_s"]
    return FrameResult(int(rows[0]["frame"]), round(Fraction(time_s) / header.time_base), float(time_s), people, False)


class _Header(TypedDict):
    """The first line of JSON Lines."""

    schema: int
    source: str
    width: int
    height: int
    time_base: str
    pipeline: str
    smoothing: str
    keypoints: list[str]


class _Person(TypedDict):
    """A person of a frame."""

    id: int
    box: tuple[float, float, float, float]
    keypoints: list[tuple[float, float, float]]


class _Frame(TypedDict):
    """Every other line of JSON Lines."""

    frame: int
    pts: int
    time_s: float
    key: bool
    people: list[_Person]


def read_jsonl(path: Path | str) -> Results:
    """What a JsonlSink wrote; DataError if it is something else."""
    path = Path(path)
    with POSES.told(path):
        first, *lines = POSES.read_text(path).splitlines() or [""]
        facts = POSES.parse(first, path, _Header)
        if facts["schema"] != SCHEMA:
            raise ValueError(f"schema {facts['schema']}, known is {SCHEMA}")
        header = ResultHeader(
            facts["source"],
            facts["width"],
            facts["height"],
            _time_base(facts["time_base"]),
            facts["pipeline"],
            facts["smoothing"],
        )
        names = tuple(facts["keypoints"])
        frames = (POSES.parse(line, f"{shown(path)}, line {number}", _Frame) for number, line in enumerate(lines, 2))
        return Results(header, names, tuple(_frame_of_object(frame, len(names)) for frame in frames))


def _frame_of_object(frame: _Frame, keypoints: int) -> FrameResult:
    listed = frame["people"]
    array = np.array([person["keypoints"] for person in listed], np.float32).reshape(len(listed), keypoints, 3)
    people = People(
        np.array([person["id"] for person in listed], np.int64),
        np.array([person["box"] for person in listed], np.float32).reshape(len(listed), 4),
        array[..., :2],
        array[..., 2],
    )
    return FrameResult(frame["frame"], frame["pts"], frame["time_s"], people, frame["key"])
