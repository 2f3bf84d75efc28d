"""What can be read frame by frame, and opening any of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vipnas_cli.media.frames import Frame, VideoInfo
from vipnas_cli.media.pictures import PICTURE_RATE, PictureReader, is_picture
from vipnas_cli.media.reader import VideoReader
from vipnas_cli.media.sound import SoundOpener

# What is taken for a video among the files of a folder.
_VIDEOS = "3gp avi flv gif m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts vob webm wmv y4m"
VIDEOS = frozenset(f".{ending}" for ending in _VIDEOS.split())


class FrameReader(Protocol):
    """Iterates over frames, once; `info` describes them, `damaged` counts what could not be decoded so far."""

    info: VideoInfo

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


def is_video(path: Path) -> bool:
    """Whether a name is that of a video."""
    return path.suffix.lower() in VIDEOS


def open_input(
    path: Path | str,
    start_s: float | None = None,
    end_s: float | None = None,
    stride: int = 1,
    picture_rate: float = PICTURE_RATE,
) -> FrameReader:
    """A reader of every `stride`-th frame with start_s <= time < end_s of a video, a picture or a folder of pictures.

    `picture_rate` is how many pictures of a folder make a second. VideoError if not one frame can be read.
    """
    path = Path(path)
    if path.is_dir() or is_picture(path):
        return PictureReader(path, start_s, end_s, stride, picture_rate)
    return VideoReader(path, start_s, end_s, stride)
