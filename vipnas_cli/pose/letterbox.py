"""How a frame becomes the picture that a detector sees, and how its boxes come back.

Shapes: N boxes, H, W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from vipnas_cli.arrays import Boxes, Image, Scores
from vipnas_cli.errors import UsageError
from vipnas_cli.pose.geometry import half_as_large

# Where a frame lies in a picture of another shape: at the top left, in the middle, or stretched over all of it.
Fit = Literal["corner", "centre", "stretch"]
# Sides of pictures of no fixed size are multiples of this.
STEP = 32
GREY = (114, 114, 114)


@dataclass(frozen=True)
class Fitted:
    """A picture (H, W, 3) of a frame, its pixels per frame pixel along x, y, x, y, and where the frame begins in it."""

    picture: Image
    scale: Scores
    offset: Scores
    frame_size: tuple[int, int]

    def to_frame(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) xyxy of the picture as boxes of the frame, clipped to it; both are measured from the edge."""
        height, width = self.frame_size
        found = np.clip((boxes - self.offset) / self.scale, 0, [width, height] * 2)
        return np.asarray(found, np.float32)


@dataclass(frozen=True)
class Letterbox:
    """Pictures whose longer side is that of a frame scaled to `side` pixels, grey where the frame does not reach.

    `size` (height, width) is that of all pictures where the detector takes no others; None: what the frame needs, in
    multiples of 32.
    """

    side: int
    size: tuple[int, int] | None = None
    fit: Fit = "corner"

    @staticmethod
    def fixed(height: int, width: int, fit: Fit = "corner") -> Letterbox:
        """Pictures of one size."""
        return Letterbox(max(height, width), (height, width), fit)

    def at(self, side: int) -> Letterbox:
        """The same for pictures of another size; UsageError where there is but one."""
        if self.size is not None and side != self.side:
            height, width = self.size
            raise UsageError(f"the detector takes pictures of {height}x{width} only, not of {side}", "leave it out")
        return replace(self, side=side)

    def picture_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the picture of a frame."""
        if self.size is not None:
            return self.size
        rows, columns = self._small(height, width)
        return rows + -rows % STEP, columns + -columns % STEP

    def _small(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a frame in its picture, where it is not stretched."""
        scale = self.side / max(height, width)
        if self.size is not None:
            scale = min(self.size[0] / height, self.size[1] / width)
        return max(round(height * scale), 1), max(round(width * scale), 1)

    def of(self, image: Image) -> Fitted:
        """The picture of an RGB frame (H, W, 3)."""
        height, width = image.shape[:2]
        if self.size is not None and self.fit == "stretch":
            rows, columns = self.size
            scales = np.array([columns / width, rows / height] * 2, np.float32)
            return Fitted(_resized(image, rows, columns), scales, np.zeros(4, np.float32), (height, width))
        small = _resized(image, *self._small(height, width))
        rows, columns = self.picture_size(height, width)
        below, beside = rows - small.shape[0], columns - small.shape[1]
        top, left = (below // 2, beside // 2) if self.fit == "centre" else (0, 0)
        edges = (top, below - top, left, beside - left)
        padded = cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=GREY)
        return Fitted(
            np.asarray(padded, np.uint8),
            # What the sides were rounded to: boxes would drift towards the far edges otherwise.
            np.array([small.shape[1] / width, small.shape[0] / height] * 2, np.float32),
            np.array([left, top] * 2, np.float32),
            (height, width),
        )


def _resized(image: Image, height: int, width: int) -> Image:
    shrinks = height * width < image.shape[0] * image.shape[1]
    while _can_be_halved(image, 2 * height, 2 * width):
        image = half_as_large(image)
    found = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def _can_be_halved(image: Image, height: int, width: int) -> bool:
    """Whether the sides are even and those at least."""
    rows, columns = int(image.shape[0]), int(image.shape[1])
    return rows % 2 == columns % 2 == 0 and rows >= height and columns >= width
