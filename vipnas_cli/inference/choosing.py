"""Who is followed where not everyone is: by prominence, size, place, or a region of the picture.

Shapes: N boxes, H, W picture pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Boxes, Flags, Scores
from vipnas_cli.errors import InputError, UsageError

Rule = Literal["prominent", "largest", "central", "at"]
# A person at the edge of the picture is half as prominent as one of the same size in its centre.
EDGE_PROMINENCE = 0.5


@dataclass(frozen=True)
class Focus:
    """Whom to follow first; `point` is x, y for the rule "at", in pixels, or in shares of the picture below 1."""

    rule: Rule = "prominent"
    point: tuple[float, float] = (0.5, 0.5)

    def check(self, size: tuple[int, int]) -> None:
        """InputError if it means a point that a picture of `size` (H, W) does not have."""
        x, y = in_pixels(self.point, size).tolist()
        if self.rule == "at" and not (x <= size[1] and y <= size[0]):
            raise InputError(
                f"the point {self.point[0]:g},{self.point[1]:g} is outside the picture of {size[1]} x {size[0]}",
                "give the point in pixels of the picture, or in shares below 1",
            )

    def ranks(self, boxes: Boxes, size: tuple[int, int]) -> Scores:
        """How much (N,) each box (N, 4) is meant in a picture of `size` (H, W); greater is more."""
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).astype(np.float64)
        lengths = np.sqrt(sides.prod(1))
        if self.rule == "largest":
            return np.asarray(lengths, np.float32)
        aim = in_pixels(self.point, size)
        away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - aim, axis=1) / (math.hypot(*size) / 2)
        if self.rule == "prominent":
            return np.asarray(lengths * (1 - (1 - EDGE_PROMINENCE) * np.minimum(away, 1)), np.float32)
        # Who holds the point comes before everyone who does not.
        inside = ((boxes[:, :2] <= aim) & (aim <= boxes[:, 2:])).all(1) if self.rule == "at" else 0
        return np.asarray(inside - away, np.float32)


@dataclass(frozen=True)
class Region:
    """A rectangle in which people are followed: its corner and size in pixels, or in shares of the picture up to 1."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not (self.x >= 0 and self.y >= 0 and self.width > 0 and self.height > 0):
            raise UsageError(
                f"a region {self.x:g},{self.y:g},{self.width:g},{self.height:g} holds nothing",
                "give x,y,width,height in pixels or in shares of the picture, as 0.25,0,0.5,1",
            )

    def check(self, size: tuple[int, int]) -> None:
        """InputError if it lies outside a picture of `size` (H, W)."""
        low, _ = self._corners(size)
        if not (low < np.array(size[::-1])).all():
            raise InputError(
                f"the region {self.x:g},{self.y:g},{self.width:g},{self.height:g} is outside the picture of "
                f"{size[1]} x {size[0]}",
                "give the region in pixels of the picture, or in shares of it up to 1",
            )

    def _corners(self, size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The low and the high corner (2,) in pixels of a picture of `size` (H, W)."""
        shares = max(self.x + self.width, self.y + self.height) <= 2 and max(self.width, self.height) <= 1
        scale = np.array(size[::-1]) if shares else np.ones(2)
        low = np.array([self.x, self.y]) * scale
        return low, low + np.array([self.width, self.height]) * scale

    def holds(self, boxes: Boxes, size: tuple[int, int], off: float = 0.0) -> Flags:
        """Whether (N,) the middle of each box (N, 4) lies in it, in a picture of `size` (H, W), at least `off` pixels
        from its edge."""
        low, high = self._corners(size)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        return np.asarray(((middles >= low + off) & (middles <= high - off)).all(1), np.bool_)


def in_pixels(point: tuple[float, float], size: tuple[int, int]) -> Scores:
    """A point (2,) x, y in pixels; coordinates below 1 are shares of the picture of `size` (H, W)."""
    shares = max(point) < 1
    return np.array(point) * (np.array(size[::-1]) if shares else 1)


def parse_person(text: str) -> Focus | int:
    """Whom to follow: an id, or a rule: largest, central, or a point x,y; UsageError for anything else."""
    if text.isascii() and text.isdigit():
        return int(text)
    if text in get_args(Rule) and text != "at":
        return Focus(text)  # type: ignore[arg-type]
    numbers = _numbers(text, 2)
    if numbers is None:
        raise UsageError(f"{text!r} names no person", "use largest, central, an id, or a point x,y")
    if 0 < min(numbers) < 1 <= max(numbers):
        raise UsageError(f"{text!r} mixes pixels and shares of the picture", "give both in pixels, or both below 1")
    return Focus("at", (numbers[0], numbers[1]))


def parse_region(text: str) -> Region:
    """A region x,y,width,height; UsageError for anything else."""
    numbers = _numbers(text, 4)
    if numbers is None:
        raise UsageError(f"{text!r} is no region", "give x,y,width,height in pixels or in shares of the picture")
    return Region(*numbers)


def _numbers(text: str, count: int) -> list[float] | None:
    """So many finite numbers that are not negative, with commas between them."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    good = len(numbers) == count and all(math.isfinite(number) and number >= 0 for number in numbers)
    return numbers if good else None
