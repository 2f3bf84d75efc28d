"""Upright pictures: phones store them as the sensor lies and add a matrix that says how to turn them.

Tapes and discs store pixels that are not square (anamorphic pictures). They are shown, and processed, in the size that
has square pixels, so that people have their true proportions.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

from vipnas_cli.media.frames import Image

# An aspect this close to 1 comes from rounding a size to whole blocks, and nobody sees it.
NEARLY_SQUARE = Fraction(1, 50)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels; the side that is too short grows."""
    if abs(aspect - 1) <= NEARLY_SQUARE:
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


class _KnownSideData(SideDataContainer):
    """The side data of a frame up to the first kind that PyAV has no name for.

    `frame.side_data` is an error where FFmpeg knows more kinds than PyAV, EXIF among them, which FFmpeg puts behind
    the display matrix that it makes of it.
    """

    def __init__(self, frame: VideoFrame) -> None:
        with suppress(ValueError):
            # The stubs of PyAV leave out that it takes a frame.
            cast(Any, super()).__init__(frame)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: transposed first, then mirrored along x and along y."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @staticmethod
    def of(frame: VideoFrame) -> Orientation:
        """What the display matrix of a frame asks for, to the nearest quarter turn."""
        # The stubs of PyAV list one kind of side data only.
        data = cast("bytes | None", _KnownSideData(frame).get("DISPLAYMATRIX"))
        if data is None:
            # Where a matrix lies behind what PyAV has no name for, only the turn in it can be asked for.
            return Orientation.turned(round(frame.rotation / 90))
        # x' = a x + c y and y' = b x + d y, with y downwards.
        (a, b, _), (c, d, _), _ = np.frombuffer(data, np.int32).reshape(3, 3).tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return Orientation(False, a < 0, d < 0)
        return Orientation(True, c < 0, b < 0)

    @staticmethod
    def turned(quarters: int) -> Orientation:
        """So many quarter turns counter-clockwise."""
        return (
            Orientation(),
            Orientation(True, False, True),
            Orientation(False, True, True),
            Orientation(True, True, False),
        )[quarters % 4]

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places, beyond a turn."""
        return self.mirror_x ^ self.mirror_y ^ self.transpose

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise (0, 90, 180, 270); a mirrored picture is mirrored along y after the turn."""
        mirror_y = self.mirror_y ^ self.mirrored
        if self.transpose:
            return 90 if mirror_y else 270
        return 180 if mirror_y else 0

    def apply(self, image: Image) -> Image:
        """The upright picture; `image` itself if it is upright already."""
        turn = _TURNS.get(self)
        if turn is not None:
            return cast(Image, cv2.rotate(image, turn))
        if self.transpose:
            image = cast(Image, cv2.transpose(image))
        if self.mirror_x or self.mirror_y:
            # OpenCV names the axis: 0 for up and down, 1 for left and right, -1 for both.
            code = -1 if self.mirror_x and self.mirror_y else int(self.mirror_x)
            image = cast(Image, cv2.flip(image, code))
        return image


# Turns go in one pass, ten times as fast as transposing and mirroring.
_TURNS = {
    Orientation(True, True, False): cv2.ROTATE_90_CLOCKWISE,
    Orientation(False, True, True): cv2.ROTATE_180,
    Orientation(True, False, True): cv2.ROTATE_90_COUNTERCLOCKWISE,
}
