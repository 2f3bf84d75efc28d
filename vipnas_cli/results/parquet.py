"""Poses as a Parquet file: the tidy table in columns, with exact numbers, and the facts in its metadata.

It is read only when it is closed: after a run that was killed the rows so far are lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import InputError
from vipnas_cli.files import PartialFile, cannot_write
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.csvw import FRAME, KEYPOINT
from vipnas_cli.results.empty import FrameCounter, with_empty_frames
from vipnas_cli.results.facts import (
    POSES,
    Facts,
    FrameFacts,
    ResultHeader,
    Results,
    around,
    header_of,
    skeleton_of,
    table_facts,
    ticks_of,
)
from vipnas_cli.results.numbers import floats_of
from vipnas_cli.results.sink import ResultFile
from vipnas_cli.results.table import COLUMNS, ROW

# Poses that are written together, and the names of the facts in the metadata: those known at first, and at the end.
GROUP = 4096
FACTS, FRAME_FACTS = b"vipnas", b"vipnas_frames"


def _types(pa: Any, number: Any) -> list[tuple[str, Any]]:
    """The columns with their types in pyarrow, which takes long to import; `number` is that of places and scores."""
    return list(zip(COLUMNS, (pa.int64(), pa.float64(), pa.int64(), pa.string(), *[number] * 3), strict=True))


class ParquetSink(ResultFile):
    """One row per frame, person and keypoint, as in the CSV; frames without people have none."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        super().__init__(path)
        self._names = list(skeleton.keypoints)
        facts = {FACTS: json.dumps(table_facts(header, skeleton)).encode()}
        self._schema = pa.schema(_types(pa, pa.float32()), metadata=facts)
        self._frames: list[FrameResult] = []
        self._waiting = 0
        self._counter = FrameCounter(header.stride)
        self._file = PartialFile(self.path)
        self._stream = self._file.bytes()
        self._writer = ParquetWriter(self._stream, self._schema, write_page_checksum=True)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        self._any = True
        self._counter.add(result)
        # Frames without people have no rows, and hours of them may come before the next that has.
        if len(result.people):
            self._frames.append(result)
        self._waiting += len(result.people)
        if self._waiting >= GROUP:
            try:
                self._write_group()
            except OSError as error:
                raise cannot_write(self.path, error) from error

    def _write_group(self) -> None:
        import pyarrow as pa

        frames = self._frames
        counts, keypoints = [len(frame.people) for frame in frames], len(self._names)
        people = [frame.people for frame in frames]
        points = np.concatenate([one.points_frame for one in people]).reshape(-1, 2)
        columns: list[Any] = [
            np.repeat([frame.frame_index for frame in frames], counts).repeat(keypoints),
            np.repeat([round(frame.time_s, 6) for frame in frames], counts).repeat(keypoints),
            np.concatenate([one.ids for one in people]).repeat(keypoints),
            self._names * sum(counts),
            points[:, 0],
            points[:, 1],
            np.concatenate([one.scores for one in people]).reshape(-1),
        ]
        table = pa.table(columns, schema=self._schema)
        self._frames, self._waiting = [], 0
        self._writer.write_table(table)

    def _complete(self, keep: bool) -> None:
        if keep and self._waiting:
            self._write_group()
        self._writer.add_key_value_metadata({FRAME_FACTS: json.dumps(self._counter.facts).encode()})
        self._writer.close()
        self._stream.close()

    def _keep(self) -> None:
        self._file.keep()

    def _discard(self) -> None:
        self._file.discard()


def read_parquet(path: Path | str) -> Results:
    """What a ParquetSink wrote; DataError if it is something else.

    Boxes are those around the keypoints, `key` is False. What another program wrote again has lost its facts.
    """
    path = Path(path)
    POSES.read_bytes(path)  # tells what is no file to read
    with POSES.told(path):
        table, metadata = _columns(path)
        found = table[KEYPOINT.name].to_pylist()
        header, names, counted = ResultHeader(), list(dict.fromkeys(found)), None
        if FACTS in metadata:
            facts = POSES.parse(metadata[FACTS], path, Facts)
            header, names = header_of(facts), facts["keypoints"]
            counted = POSES.parse(metadata.get(FRAME_FACTS, b"{}"), path, FrameFacts)
        skeleton, count = skeleton_of(names), len(names)
        if found != names * (len(found) // max(count, 1)):
            raise ValueError("it does not hold each keypoint once, in one order for all frames and people")
        poses = {name: table[name].to_numpy()[:: max(count, 1)] for name in ROW}
        values = floats_of(np.stack([table[name].to_numpy() for name in ("x", "y", "score")], axis=1))
        frames = _frames(poses, values.reshape(len(poses[FRAME.name]), count, 3), header.time_base)
        return with_empty_frames(header, skeleton, frames, counted)


def _columns(path: Path) -> tuple[Any, dict[bytes, bytes]]:
    """The table, an arrow one, and the metadata of a file; ValueError for what cannot be read."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            missing = next((name for name in COLUMNS if name not in file.schema_arrow.names), None)
            if missing is not None:
                raise ValueError(f"it has no column {missing}")
            table = file.read(list(COLUMNS)).select(list(COLUMNS)).cast(pa.schema(_types(pa, pa.float64())))
            blank = next((name for name in (*ROW, KEYPOINT.name) if table[name].null_count), None)
            if blank is not None:
                raise ValueError(f"column {blank} is blank in a row")
            return table, file.metadata.metadata or {}
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0]
        if "CRC" in reason:
            raise InputError("it was damaged after it was written", "Copy it again, or run again.") from error
        raise ValueError(reason) from error


def _frames(poses: dict[str, NDArray[Any]], values: NDArray[np.float32], time_base: Fraction) -> Iterator[FrameResult]:
    """The frames of poses (N,) with their x, y, score (N, K, 3), which are in the order of the frames."""
    frames, times, ids = (poses[name] for name in ROW)
    if len(frames) and (np.diff(frames) < 0).any():
        raise ValueError("its rows are not in the order of the frames")
    for index, start, count in zip(*np.unique(frames, return_index=True, return_counts=True), strict=True):
        here = slice(start, start + count)
        points = values[here, :, :2]
        people = People(ids[here].astype(np.int64), around(points), points, values[here, :, 2])
        time_s = float(times[start])
        if (times[here] != time_s).any():
            raise ValueError(f"frame {index} has several times")
        yield FrameResult(int(index), ticks_of(f"{time_s:.6f}", time_base), time_s, people, False)
