"""A video with the poses drawn in."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from vipnas_cli.errors import OutputError
from vipnas_cli.media.drawing import draw_caption, draw_people
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose.skeletons import Skeleton


class OverlaySink:
    """Draws the poses into a copy of each picture and writes it; `caption` makes the line in its corner."""

    def __init__(
        self,
        writer: VideoWriter,
        skeleton: Skeleton,
        min_score: float = 0.3,
        caption: Callable[[FrameResult], str] | None = None,
    ) -> None:
        self.writer = writer
        self._skeleton, self._min_score, self._caption = skeleton, min_score, caption

    def write(self, result: FrameResult, image: Image | None, /) -> None:
        """Add a frame; OutputError without its picture."""
        if image is None:
            raise OutputError(f"{self.writer.path} needs the picture of frame {result.frame_index}")
        drawn = draw_people(image.copy(), result.people, self._skeleton, self._min_score)
        if self._caption is not None:
            draw_caption(drawn, self._caption(result))
        self.writer.write(drawn, result.pts)

    def close(self) -> None:
        """Finish the video."""
        self.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.__exit__(kind, error, trace)
