"""What takes the poses of a run, and the text files among it: flushed with every frame, whole or not there at all."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import OutputError
from vipnas_cli.files import PartialFile, cannot_write, shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import written_scores

STDOUT = Path("-")
# Frames between two others that are listed as empty ones where a kind of file has a row for each; nine hours.
MOST_MISSING = 1_000_000
# What CSVW puts behind the name of a table for the file of facts about it.
FACTS_END = "-metadata.json"


class ResultSink(Protocol):
    """Takes the poses of each frame, in order, with the picture (None where only poses are wanted)."""

    def write(self, result: FrameResult, image: Image | None, /) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ResultFile:
    """A result that has its name when it is closed, and is whole then.

    An exception in the `with` block closes it too if any frame was written, so that these frames stay.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._closed = self._ended = self._any = False

    def write(self, result: FrameResult, image: Image | None = None, /) -> None:
        """Add a frame; the picture is not needed."""
        raise NotImplementedError

    def complete(self) -> None:
        """Write what stands behind the last frame; the result is whole, and has its name when it is closed."""
        self._end(keep=True)

    def close(self) -> None:
        """Write what stands behind the last frame, and give the result its name."""
        self._finish(keep=True)

    def abandon(self) -> None:
        """Remove what was written, if the result has no name yet."""
        self._finish(keep=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(keep=kind is None or self._any)

    def _finish(self, keep: bool) -> None:
        self._end(keep)
        if self._ended:
            return
        self._ended = True
        if keep:
            self._keep()
        else:
            self._discard()

    def _end(self, keep: bool) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._complete(keep)
        except BaseException as error:
            self._ended = True
            self._discard()
            if isinstance(error, OSError):
                raise self._told(error) from error
            raise

    def _told(self, error: OSError) -> OutputError:
        """The error that tells why this result cannot be written."""
        return cannot_write(Path("stdout") if self.path == STDOUT else self.path, error)

    def _complete(self, keep: bool) -> None:
        """Closes what is open, after its end was written if it is to be kept."""
        raise NotImplementedError

    def _keep(self) -> None:
        """Gives everything its name."""
        raise NotImplementedError

    def _discard(self) -> None:
        """Removes what was written."""
        raise NotImplementedError


class TextFile(ResultFile):
    """A text that is flushed with every write; `-` is stdout.

    `opening` stands before the first frame. `facts` is the text of a file beside it, its name with FACTS_END behind;
    stdout has none. It is written first, so that the facts are there whatever happens, and named first; those of
    `_closing_facts` take its place when the text is closed.
    """

    def __init__(self, path: Path | str, opening: str = "", facts: str | None = None) -> None:
        super().__init__(path)
        if self.path == STDOUT and sys.stdout is None:
            raise OutputError("stdout is closed", "Name a file.")
        self._files: tuple[PartialFile, ...] = () if self.path == STDOUT else (PartialFile(self.path),)
        self._stream: TextIO = self._files[0].text() if self._files else sys.stdout
        try:
            if self._files and facts is not None:
                self._files = (self._facts_file(facts), *self._files)
            self._put(opening)
        except BaseException:
            self._discard()
            raise

    def _facts_file(self, facts: str) -> PartialFile:
        """The file of facts, its partial name alike that of the text so that the two are found together."""
        path = facts_path(self.path)
        file = PartialFile(path, suffix=f"{self.path.suffix}{FACTS_END}")
        try:
            with file.text() as stream:
                stream.write(facts)
        except OSError as error:
            file.discard()
            raise cannot_write(path, error) from error
        return file

    def _renew_facts(self) -> None:
        """Puts the closing facts in the place of the first, which stay if there is no room for others."""
        facts = self._closing_facts()
        if facts is not None and len(self._files) > 1:
            first, *others = self._files
            with suppress(OutputError):
                self._files = (self._facts_file(facts), *others)
                first.discard()

    def _add_frame(self, text: str) -> None:
        """Adds the text of a frame; what of it found no room is cut off, so that the frames before it stay whole."""
        size = os.fstat(self._stream.fileno()).st_size if self._files else 0
        try:
            self._put(text)
        except OutputError:
            if self._files:
                with suppress(OSError):
                    self._stream.close()
                self._stream = self._files[-1].text_after(size)
            raise
        self._any = True

    def _put(self, text: str, flush: bool = True) -> None:
        try:
            self._stream.write(text)
            if flush:
                self._stream.flush()
        except OSError as error:
            raise self._told(error) from error

    def _ending(self) -> str:
        """What stands behind the last frame."""
        return ""

    def _closing_facts(self) -> str | None:
        """The text of the file of facts once all frames are there, None if it stays."""
        return None

    def _complete(self, keep: bool) -> None:
        if keep:
            self._put(self._ending())
            self._renew_facts()
        if self._files:
            self._stream.close()

    def _keep(self) -> None:
        for file in self._files:
            file.keep()

    def _discard(self) -> None:
        if self._files:
            with suppress(OSError):  # what found no room before
                self._stream.close()
        for file in self._files:
            file.discard()


def check_missing(path: Path, missing: int, before: int) -> None:
    """OutputError if so many frames are missing after the frame `before` that rows for them would fill a disk."""
    if missing > MOST_MISSING:
        raise OutputError(
            f"{shown(path)} has a row for each frame, but {missing} are missing after frame {before}",
            "choose a kind of file that lists only frames with people, or number the frames anew",
        )


def facts_path(path: Path) -> Path:
    """Where the facts about a table are, as CSVW has it: beside it, under its name with an ending."""
    return path.with_name(path.name + FACTS_END)


def csv_row(cells: Iterable[str]) -> str:
    """The cells as a line of CSV without its end; those with commas, quotes or line breaks are quoted."""
    line = io.StringIO()
    # The writer quotes what is in the end of its lines.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n")


def rounded(pixels: NDArray[np.floating]) -> list[Any]:
    """Pixels as nested lists with two decimals."""
    result: list[Any] = np.round(pixels.astype(np.float64), 2).tolist()
    return result


def rounded_scores(scores: NDArray[np.float32]) -> list[Any]:
    """Scores as nested lists, as they are written."""
    result: list[Any] = written_scores(scores).tolist()
    return result


def rounded_xywh(boxes_frame: NDArray[np.float32]) -> list[Any]:
    """Boxes (P, 4) xyxy as lists of x, y, width and height with two decimals.

    Corners are rounded first, so that boxes read from another file, which has them so, become the same.
    """
    low, high = np.split(np.array(rounded(boxes_frame)).reshape(-1, 4), 2, axis=1)
    with np.errstate(invalid="ignore"):  # of boxes without end
        return rounded(np.concatenate([low, np.nan_to_num(high - low)], axis=1))
