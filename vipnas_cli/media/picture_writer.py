"""Writing one picture as a file, in the place of a video of one frame."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from vipnas_cli.errors import OutputError
from vipnas_cli.files import PartialFile, shown
from vipnas_cli.media.frames import Image, VideoInfo

STILLS = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class PictureWriter:
    """Writes one RGB picture (H, W, 3), at `close`; OutputError for a source of several frames."""

    # What was lost of the sound: there is none.
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path | str, info: VideoInfo) -> None:
        self.path = Path(path)
        if info.frames != 1:
            raise OutputError(
                f"{shown(self.path)} holds one picture, and {info.path} has more frames",
                "name a video: .mp4, .mov or .mkv",
            )
        self._file = PartialFile(self.path)
        self._data: bytes | None = None

    def write(self, image: Image, pts: int) -> None:
        """Takes the picture; OutputError for a second one, or if it cannot be encoded."""
        if self._data is not None:
            raise OutputError(f"{shown(self.path)} holds one picture, and more frames come", "name a video")
        good, data = cv2.imencode(self.path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if not good:
            raise OutputError(f"{shown(self.path)} cannot be written as a picture", "choose .png or .jpg")
        self._data = np.asarray(data).tobytes()

    def close(self) -> None:
        """Gives the file its name; OutputError without a picture."""
        if self._data is None:
            self._file.discard()
            raise OutputError(f"no picture was written to {shown(self.path)}")
        with self._file.bytes() as stream:
            stream.write(self._data)
        self._file.keep()

    def abandon(self) -> None:
        """Removes what has no name yet."""
        self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or self._data is not None:
            self.close()
        else:
            self._file.discard()
