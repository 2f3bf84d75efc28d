"""The one mapping between a frame and a person's crop.

Shapes: N points or boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
PADDING = 1.25
# What surrounds a person tells whether a box holds all of them.
SURROUNDINGS = 1.5
# Below this many crop pixels per frame pixel, bilinear sampling alone would skip pixels and alias.
SHRINK_BELOW = 0.5
# Averages over squares of so many pixels are quick in OpenCV.
QUICK_BLURS = (3, 5)


@dataclass(frozen=True)
class CropTransform:
    """An affine map from frame pixels to the pixels of a crop of `height` × `width`; matrix (2, 3)."""

    matrix: NDArray[np.float64]
    height: int
    width: int

    @staticmethod
    def from_box(
        box_frame: Floats, height: int, width: int, padding: float = PADDING, rotation: float = 0.0, flip: bool = False
    ) -> CropTransform:
        """The crop around an xyxy box: grown to the crop's aspect ratio, then by `padding`; rotation in radians."""
        x0, y0, x1, y1 = (float(v) for v in box_frame)
        box_width, box_height = max(x1 - x0, 1e-3), max(y1 - y0, 1e-3)
        # Box edges and crop edges lie half a pixel outside the centres of the outermost pixels.
        scale = min(height / box_height, width / box_width) / padding
        cos, sin = scale * math.cos(rotation), scale * math.sin(rotation)
        side = -1.0 if flip else 1.0
        x, y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
        across = (side * cos, -side * sin, (width - 1) / 2 - side * (cos * x - sin * y))
        down = (sin, cos, (height - 1) / 2 - (sin * x + cos * y))
        return CropTransform(np.array([across, down]), height, width)

    @staticmethod
    def stretched(
        box_frame: Floats, height: int, width: int, padding: float = SURROUNDINGS, flip: bool = False
    ) -> CropTransform:
        """The crop that an xyxy box, grown by `padding`, fills in both directions, whatever its aspect ratio."""
        x0, y0, x1, y1 = (float(v) for v in box_frame)
        across, down = width / max(x1 - x0, 1e-3) / padding, height / max(y1 - y0, 1e-3) / padding
        side = -across if flip else across
        x, y = (x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2
        rows = ((side, 0.0, (width - 1) / 2 - side * x), (0.0, down, (height - 1) / 2 - down * y))
        return CropTransform(np.array(rows), height, width)

    def coarser(self, factor: int) -> CropTransform:
        """The crop of the same part of the frame with `factor` times fewer rows and columns."""
        offset = (self.matrix[:, 2] + 0.5) / factor - 0.5
        matrix = np.column_stack([self.matrix[:, :2] / factor, offset])
        return CropTransform(matrix, self.height // factor, self.width // factor)

    @property
    def inverse(self) -> NDArray[np.float64]:
        """The matrix (2, 3) from crop pixels to frame pixels."""
        # By hand: for so few numbers a general solver is all overhead.
        (a, b, x), (c, d, y) = self.matrix.tolist()
        share = 1 / (a * d - b * c)
        return np.array(
            [[d * share, -b * share, (b * y - d * x) * share], [-c * share, a * share, (c * x - a * y) * share]]
        )

    @property
    def scale(self) -> float:
        """Crop pixels per frame pixel."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        return math.sqrt(abs(a * d - b * c))

    def to_crop(self, points_frame: Floats) -> NDArray[np.float32]:
        """Points (…, 2) of the frame in crop pixels."""
        return (points_frame @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)

    def to_frame(self, points_crop: Floats) -> NDArray[np.float32]:
        """Points (…, 2) of the crop in frame pixels."""
        inverse = self.inverse
        return (points_crop @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)

    def warp(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop (height, width, 3) of an RGB image (H, W, 3); what lies outside the image is black."""
        matrix = self.matrix
        if self.scale < SHRINK_BELOW:
            image, matrix = self._shrunk(image)
        crop = cv2.warpAffine(image, matrix, (self.width, self.height), flags=cv2.INTER_LINEAR)
        return np.asarray(crop, np.uint8)

    def _shrunk(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The part of the image that the crop shows, averaged down by a whole factor, and the matrix for it."""
        corners = np.array([[-1, -1], [self.width, -1], [-1, self.height], [self.width, self.height]], np.float64)
        found, factor = self.to_frame(corners), int(1 / self.scale)
        (low_x, low_y), (high_x, high_y) = found.min(0).tolist(), found.max(0).tolist()
        x0, x1 = _span(low_x, high_x, image.shape[1], factor)
        y0, y1 = _span(low_y, high_y, image.shape[0], factor)
        part = image[y0:y1, x0:x1]
        if part.size == 0:
            return image[:1, :1] * 0, self.matrix
        size = (max(part.shape[1] // factor, 1), max(part.shape[0] // factor, 1))
        small = _averaged(part, size, factor)
        # Small pixel s covers the part's pixels around (s + 0.5) · ratio − 0.5.
        ratio = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
        offset = self.matrix[:, :2] @ (np.array([x0, y0]) + (ratio - 1) / 2) + self.matrix[:, 2]
        return small, np.column_stack([self.matrix[:, :2] * ratio, offset])


def _averaged(image: NDArray[np.uint8], size: tuple[int, int], factor: int) -> NDArray[np.uint8]:
    """The image averaged down to a size (width, height), as good as by a whole factor."""
    if (size[0] * factor, size[1] * factor) != image.shape[1::-1]:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    while factor % 2 == 0:
        image, factor = half_as_large(image), factor // 2
    if factor in QUICK_BLURS:
        # The same numbers as below, in half of the time.
        means = cv2.blur(image, (factor, factor), anchor=(0, 0))
        return np.asarray(cv2.resize(means, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def half_as_large(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) of even sides averaged over squares of two pixels, which OpenCV does many times faster than
    over any others."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def mirrored_places(places: Floats) -> NDArray[np.float32]:
    """Places (N, 4) xyxy, where 0 and 1 are the edges of a crop or box, as a mirror shows them."""
    return np.stack([1 - places[:, 2], places[:, 1], 1 - places[:, 0], places[:, 3]], 1).astype(np.float32)


def _span(low: float, high: float, side: int, factor: int) -> tuple[int, int]:
    """Where the pixels from `low` to `high` begin and end along an image's side of so many pixels.

    Their number is a multiple of `factor` if the image is large enough: averaging is many times faster then.
    """
    begin, end = (min(max(edge, 0), side) for edge in (math.floor(low), math.ceil(high) + 1))
    number = -(-(end - begin) // factor) * factor
    if number > side:
        return begin, end
    begin = min(begin, side - number)
    return begin, begin + number


def between(source: CropTransform, target: CropTransform) -> NDArray[np.float64]:
    """The matrix (2, 3) from the pixels of one crop to those of another of the same frame."""
    (a, b, x), (c, d, y) = target.matrix.tolist()
    (e, f, u), (g, h, v) = source.inverse.tolist()
    return np.array(
        [[a * e + b * g, a * f + b * h, a * u + b * v + x], [c * e + d * g, c * f + d * h, c * u + d * v + y]]
    )
