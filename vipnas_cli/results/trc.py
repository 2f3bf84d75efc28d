"""Poses as marker files of OpenSim (TRC): a folder with one file per person.

Markers are the keypoints, in pixels: x to the right, y UP from the centre of the bottom-left pixel, z 0. A file goes
from the first to the last frame of its person; what is unknown or unsure (score below SURE) is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from vipnas_cli.errors import OutputError
from vipnas_cli.files import cannot_write, shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import are_sure
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.folder import FolderFile
from vipnas_cli.results.sink import check_missing

ENDING = ".trc"
UNITS = "px"
# A marker that is not known; OpenSim refuses rows that end in empty cells.
BLANK = "\tNaN\tNaN\tNaN"
# What the rows of a person are called until they have a header.
ROWS = ".rows"


@dataclass
class _Track:
    """The rows of a person so far, which lie in a file of their own until the header can be written."""

    name: str
    first: int
    rows: int = 0


class TrcSink(FolderFile):
    """One file per person, NAME_person0.trc and so on; rows are written as they come, headers when it is closed."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        if header.height is None:
            raise OutputError(
                f"{shown(path)} counts y from the bottom of the picture, whose size is not known",
                "keep tables beside their -metadata.json",
            )
        self._names, self._bottom, self._stride = skeleton.keypoints, header.height - 1, header.stride
        self._blank = BLANK * len(self._names)
        self._times: list[float] = []
        self._first = 0
        self._tracks: dict[int, _Track] = {}
        super().__init__(path, ENDING)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the rows of a frame; the picture is not needed."""
        if not self._times:
            self._first = result.frame_index
        # Tables have no frames without people: their times lie evenly between those that are known.
        place, between = divmod(result.frame_index - self._first, self._stride)
        missing = place - len(self._times)
        if between or missing < 0:
            raise OutputError(
                f"{shown(self.path)} has rows {self._stride} frames apart, which frame {result.frame_index} is not",
                "number the frames anew",
            )
        check_missing(self.path, missing, self._first + (len(self._times) - 1) * self._stride)
        before = self._times[-1] if self._times else result.time_s
        self._times += np.linspace(before, result.time_s, missing + 2)[1:].tolist()
        self._any = True
        people = result.people
        for person, pose, sure in zip(
            people.ids.tolist(), people.points_frame.tolist(), are_sure(people.scores).tolist(), strict=True
        ):
            cells = [
                f"\t{x:.3f}\t{self._bottom - y:.3f}\t0.000" if seen else BLANK
                for (x, y), seen in zip(pose, sure, strict=True)
            ]
            self._add(person, len(self._times) - 1, "".join(cells))

    def _add(self, person: int, place: int, cells: str) -> None:
        """Adds a row to those of a person, and blank ones for the frames since the last."""
        track = self._tracks.setdefault(person, _Track(f"{self._stem}_person{person}{ENDING}", place))
        lines = []
        for missed in range(track.first + track.rows, place + 1):
            start = f"{self._first + missed * self._stride + 1}\t{self._times[missed]:.6f}"
            lines.append(f"{start}{cells if missed == place else self._blank}\n")
        track.rows += len(lines)
        try:
            with self._folder.text(track.name + ROWS, "a") as file:
                file.writelines(lines)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _complete(self, keep: bool) -> None:
        for track in self._tracks.values() if keep else ():
            rows = self._folder.partial / (track.name + ROWS)
            with rows.open(encoding="utf-8") as lines:
                # The last one may have been cut off.
                count = sum(line.endswith("\n") for line in lines)
                lines.seek(0)
                with self._folder.text(track.name) as file:
                    file.write(self._header(track, count))
                    file.writelines(islice(lines, count))
            rows.unlink()

    def _header(self, track: _Track, rows: int) -> str:
        length = self._times[-1] - self._times[0]
        rate = f"{(len(self._times) - 1) / length if length > 0 else 1:.6g}"
        count = len(self._names)
        facts = (rate, rate, rows, count, UNITS, rate, self._first + track.first * self._stride + 1, rows)
        marks = "".join(f"\tX{number}\tY{number}\tZ{number}" for number in range(1, count + 1))
        lines = [
            f"PathFileType\t4\t(X/Y/Z)\t{track.name}",
            "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
            "\t".join(map(str, facts)),
            "Frame#\tTime\t" + "\t\t\t".join(map(shown, self._names)) + "\t\t",
            f"\t{marks}",
            "",
        ]
        return "\n".join(lines) + "\n"
