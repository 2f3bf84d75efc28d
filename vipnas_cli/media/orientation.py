"""Upright pictures: phones store them as the sensor lies and add a matrix that says how to turn them.

Tapes and discs store pixels that are not square (anamorphic pictures). They are shown, and processed, in the size that
has square pixels, so that people have their true proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import cv2
import numpy as np
from av.video.frame import VideoFrame

from vipnas_cli.media.frames import Image

# An aspect this close to 1 comes from rounding a size to whole blocks, and nobody sees it.
NEARLY_SQUARE = Fraction(1, 50)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels; the side that is too short grows."""
    if abs(aspect - 1) <= NEARLY_SQUARE:
        return width, height
    return (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))


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
        data = cast("bytes | None", frame.side_data.get("DISPLAYMATRIX"))
        if data is None:
            return Orientation()
        # x' = a x + c y and y' = b x + d y, with y downwards.
        (a, b, _), (c, d, _), _ = np.frombuffer(data, np.int32).reshape(3, 3).tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return Orientation(False, a < 0, d < 0)
        return Orientation(True, c < 0, b < 0)

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise (0, 90, 180, 270); a mirrored picture is mirrored along y after the turn."""
        mirrored = self.mirror_x ^ self.mirror_y ^ self.transpose
        mirror_y = self.mirror_y ^ mirrored
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
            image = cast(Image, cv2.flip(image, int(self.mirror_x)))
        return image


# Turns go in one pass, ten times as fast as transposing and mirroring.
_TURNS = {
    Orientation(True, True, False): cv2.ROTATE_90_CLOCKWISE,
    Orientation(False, True, True): cv2.ROTATE_180,
    Orientation(True, False, True): cv2.ROTATE_90_COUNTERCLOCKWISE,
}
