"""Poses in DeepLabCut's layout for several animals: four header rows, or levels, and a row per frame.

Individuals are person0, person1 and so on; a person who is not there is NaN. As their columns must be known first,
frames wait on disk until the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from vipnas_cli.errors import OutputError
from vipnas_cli.files import PartialFile, shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.sink import ResultFile, TextFile, csv_row
from vipnas_cli.results.spool import Spool

LEVELS = ("scorer", "individuals", "bodyparts", "coords")
COORDINATES = ("x", "y", "likelihood")
# The name under which DeepLabCut looks for its table.
KEY = "df_with_missing"
# A coordinate of nobody; pandas, which reads these files, takes an all-blank row below the header for names.
ABSENT = ",NaN"
Names = tuple[str, str, str, str]


def _columns(scorer: str, ids: Iterable[int], keypoints: tuple[str, ...]) -> list[Names]:
    """The four names of each column."""
    return [(scorer, f"person{one}", name, kind) for one in ids for name in keypoints for kind in COORDINATES]


def _individuals(spool: Spool) -> list[int]:
    """The ids of the people; one who is never there if nobody was, as readers take a table without columns amiss."""
    return list(spool.ids) or [0]


def _scorer(header: ResultHeader) -> str:
    """Who found the points, as a name without commas."""
    return f"vipnas_{header.pipeline}".replace(",", "_").rstrip("_")


class DlcCsvSink(TextFile):
    """DeepLabCut's CSV, written when it is closed."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._keypoints, self._scorer = skeleton.keypoints, _scorer(header)
        self._spool = Spool(Path(path), len(self._keypoints), header.stride)
        super().__init__(path)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add a frame; the picture is not needed."""
        self._any = True
        self._spool.add(result)

    def _complete(self, keep: bool) -> None:
        with closing(self._spool):
            for line in self._lines() if keep else ():
                self._put(line, flush=False)
        super()._complete(keep)

    def _lines(self) -> Iterator[str]:
        individuals = _individuals(self._spool)
        names = _columns(self._scorer, individuals, self._keypoints)
        for level, name in enumerate(LEVELS):
            yield csv_row([name, *(column[level] for column in names)]) + "\n"
        absent = ABSENT * (len(self._keypoints) * len(COORDINATES))
        for row in self._spool.rows():
            cells = {
                person: "".join(f",{x:.2f},{y:.2f},{score:.3f}" for x, y, score in pose)
                for person, pose in zip(row.ids.tolist(), row.values.tolist(), strict=True)
            }
            yield f"{row.index}{''.join(cells.get(person, absent) for person in individuals)}\n"


class DlcH5Sink(ResultFile):
    """DeepLabCut's HDF5 file, written when it is closed."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        super().__init__(path)
        self._keypoints, self._scorer = skeleton.keypoints, _scorer(header)
        self._spool = Spool(self.path, len(self._keypoints), header.stride)
        self._file = PartialFile(self.path)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add a frame; the picture is not needed."""
        self._any = True
        self._spool.add(result)

    def _complete(self, keep: bool) -> None:
        if keep:
            self._write_table()
        self._spool.close()

    def _write_table(self) -> None:
        import pandas as pd

        individuals = _individuals(self._spool)
        places = {person: place for place, person in enumerate(individuals)}
        rows = list(self._spool.rows())
        table = np.full((len(rows), len(places), len(self._keypoints), len(COORDINATES)), np.nan)
        for number, row in enumerate(rows):
            table[number, [places[person] for person in row.ids.tolist()]] = row.values
        columns = _columns(self._scorer, individuals, self._keypoints)
        names = pd.MultiIndex.from_arrays([list(level) for level in zip(*columns, strict=True)], names=LEVELS)
        values = table.reshape(len(rows), len(columns))
        frame = pd.DataFrame(values, index=[row.index for row in rows], columns=names)
        try:
            frame.to_hdf(self._file.partial, key=KEY, mode="w", format="fixed")
            # HDF5 is silent about what found no room when it closes a file.
            if not pd.read_hdf(self._file.partial, key=KEY).equals(frame):
                raise ValueError("it does not come back")
        except (ValueError, KeyError, RuntimeError) as error:  # PyTables' own errors are RuntimeErrors
            raise OutputError(
                f"{shown(self.path)} cannot be written: {error}", "Check the space on the disk."
            ) from error

    def _keep(self) -> None:
        self._file.keep()

    def _discard(self) -> None:
        self._spool.close()
        self._file.discard()
