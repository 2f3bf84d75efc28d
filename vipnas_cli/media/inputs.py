"""What can be read frame by frame, and opening any of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown
from vipnas_cli.media.address import Origin, Stream, origin_of
from vipnas_cli.media.frames import Frame, VideoInfo
from vipnas_cli.media.live import LiveReader
from vipnas_cli.media.pictures import PICTURE_RATE, PictureReader, is_picture
from vipnas_cli.media.pipe import is_pipe
from vipnas_cli.media.reader import VideoReader
from vipnas_cli.media.sound import SoundOpener

# What is taken for a video among the files of a folder.
_VIDEOS = "3gp avi flv gif m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv y4m"
VIDEOS = frozenset(f".{ending}" for ending in _VIDEOS.split())


class FrameReader(Protocol):
    """Iterates over frames, once; `info` describes them, `damaged` counts what could not be decoded so far.

    UsageError for who begins to read it after `close`.
    """

    @property
    def info(self) -> VideoInfo: ...

    @property
    def damaged(self) -> int: ...

    @property
    def sound(self) -> SoundOpener | None:
        """Opens the sound for one output; None where there never is any."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def stop(self) -> None:
        """Make a thread that waits for data come to an end."""
        ...

    def close(self) -> None:
        """Let go of what is read; an iteration that is under way ends, and none begins any more."""
        ...


def is_video(path: Path) -> bool:
    """Whether a name is that of a video."""
    return path.suffix.lower() in VIDEOS


def open_input(
    video: Origin | str,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    picture_rate: float = PICTURE_RATE,
    live: bool | None = None,
) -> FrameReader:
    """A reader of every `stride`-th frame with start_s <= time < end_s: of a video, a picture, a folder, a stream.

    `picture_rate` is how many pictures of a folder make a second. `live` streams drop pictures that come too fast and
    connect again when they break; None leaves it to the kind of stream. VideoError if not one frame can be read.
    """
    origin = origin_of(video)
    if isinstance(origin, Stream):
        if origin.live if live is None else live:
            return LiveReader(origin, start_s, end_s, stride)
        return VideoReader(origin, start_s, end_s, stride)
    if live and is_pipe(origin):
        return LiveReader(origin, start_s, end_s, stride)
    if live:
        raise UsageError(f"{shown(origin)} is a file, which is not live", "leave out --live")
    if origin.is_dir() or is_picture(origin):
        return PictureReader(origin, start_s, end_s, stride, picture_rate)
    return VideoReader(origin, start_s, end_s, stride)
