"""The page as an output of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vipnas_cli.errors import OutputError
from vipnas_cli.files import write_text
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.media.painter import Painter
from vipnas_cli.report.page import Subject, page_of
from vipnas_cli.report.posters import PosterCollector
from vipnas_cli.report.run_facts import RunFacts
from vipnas_cli.report.tracks import clip_of


class PageSink:
    """Gathers the frames of a run, and writes the page once the run can say how it went.

    An error in the `with` block writes what there is, without the figures of the run.
    """

    def __init__(self, path: Path, source: str, settings: tuple[tuple[str, str], ...], painter: Painter) -> None:
        self.path = path
        self._source, self._settings, self._skeleton = source, settings, painter.skeleton
        self._posters = PosterCollector(painter)
        self._frames: list[FrameResult] = []
        self._figures: tuple[tuple[str, str], ...] = ()

    def write(self, result: FrameResult, image: Image | None, /) -> None:
        """Add a frame; OutputError without its picture."""
        if image is None:
            raise OutputError(f"{self.path} needs the picture of frame {result.frame_index}")
        self._frames.append(result)
        self._figures = (("pixels", f"{image.shape[1]} × {image.shape[0]}"),)
        self._posters.add(result, image)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the page with what the run says about itself, as `run --json` prints it."""
        run = RunFacts.of(summary)
        clip = clip_of(self._frames, self._skeleton)
        figures, settings = (*self._figures, *run.figures), (*self._settings, *run.settings)
        subject = Subject(self._source, clip, self._posters.posters, figures, settings, run.stages, run.wall_s)
        write_text(self.path, page_of([subject]))

    def close(self) -> None:
        """Nothing: the page is written by `finish`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and self._frames:
            self.finish({})
