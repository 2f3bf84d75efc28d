"""Frames kept on disk for layouts that must know all people before the first row.

Shapes: P people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.files import cannot_write
from vipnas_cli.folders import scratch_file
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.results.sink import STDOUT, check_missing


@dataclass(frozen=True)
class Row:
    """A frame: its index, ids (P,) and x, y, score (P, K, 3)."""

    index: int
    ids: NDArray[np.int64]
    values: NDArray[np.float32]


class Spool:
    """Takes frames for a result at `path` and gives them back in order; they lie in a file without a name beside it.

    Frames are `stride` apart.
    """

    def __init__(self, path: Path, keypoints: int, stride: int = 1) -> None:
        self._path, self._keypoints, self._stride = path, keypoints, stride
        self._file = scratch_file(None if path == STDOUT else path.parent)
        self.ids: dict[int, None] = {}

    def add(self, result: FrameResult) -> None:
        """Adds a frame."""
        people = result.people
        values = np.concatenate([people.points_frame, people.scores[..., None]], axis=2).astype(np.float32)
        self.ids |= dict.fromkeys(people.ids.tolist())
        head = np.array([result.frame_index, len(people)], np.int64)
        try:
            self._file.write(head.tobytes() + people.ids.astype(np.int64).tobytes() + values.tobytes())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def rows(self) -> Iterator[Row]:
        """All frames, and between them those that were left out because nobody was there."""
        self._file.seek(0)
        following: int | None = None
        nobody = np.zeros(0, np.int64), np.zeros((0, self._keypoints, 3), np.float32)
        while head := self._file.read(16):
            index, count = np.frombuffer(head, np.int64).tolist()
            left_out = range(index if following is None else following, index, self._stride)
            check_missing(self._path, len(left_out), left_out.start - self._stride)
            yield from (Row(missed, *nobody) for missed in left_out)
            ids = np.frombuffer(self._file.read(8 * count), np.int64)
            values = np.frombuffer(self._file.read(12 * count * self._keypoints), np.float32)
            yield Row(index, ids, values.reshape(count, self._keypoints, 3))
            following = index + self._stride

    def close(self) -> None:
        """Lets go of the file, also if it holds what found no room."""
        with suppress(OSError):
            self._file.close()
