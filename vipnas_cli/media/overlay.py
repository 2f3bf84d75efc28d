"""A video or a picture with the poses drawn in."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from vipnas_cli.errors import OutputError
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.picture_writer import PictureWriter
from vipnas_cli.media.writer import VideoWriter


class OverlaySink:
    """Paints the poses of each frame and writes the picture; the writer has the size that the painter gives."""

    def __init__(self, writer: VideoWriter | PictureWriter, painter: Painter) -> None:
        self.writer = writer
        self._painter = painter

    def write(self, result: FrameResult, image: Image | None, /) -> None:
        """Add a frame; OutputError without its picture."""
        if image is None:
            raise OutputError(f"{self.writer.path} needs the picture of frame {result.frame_index}")
        self.writer.write(self._painter.paint(result, image), result.pts)

    def close(self) -> None:
        """Finish the file."""
        self.writer.close()

    def abandon(self) -> None:
        """Remove what was written, if it has no name yet."""
        self.writer.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.__exit__(kind, error, trace)
