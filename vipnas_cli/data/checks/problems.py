"""What is wrong with data, told before anything is scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

LARGEST = 1e300


@dataclass(frozen=True)
class Problem:
    """Something wrong with one entry of a file; with a `fatal` one no score would mean what it says."""

    file: Path
    entry: str
    what: str
    fatal: bool = True

    def __str__(self) -> str:
        kind = "" if self.fatal else " (warning)"
        return f"{self.file}: {self.entry}: {self.what}{kind}" if self.entry else f"{self.file}: {self.what}{kind}"


def any_fatal(problems: Sequence[Problem]) -> bool:
    """Whether one of them forbids scoring."""
    return any(problem.fatal for problem in problems)


def finite_numbers(values: object, count: int) -> TypeGuard[list[Any]]:
    """Whether a value from JSON is a list of `count` finite numbers."""
    return (
        isinstance(values, list)
        and len(values) == count
        # No float holds larger whole numbers, and none of these comparisons holds for NaN.
        and all(isinstance(value, int | float) and -LARGEST < value < LARGEST for value in values)
    )


def far_outside(points: Iterable[tuple[float, float]], width: object, height: object) -> bool:
    """Whether a point lies more than half a picture outside it: the sign of labels made for another size."""
    if not isinstance(width, int) or not isinstance(height, int) or not finite_numbers([width, height], 2):
        return False
    return any(abs(x - width / 2) > width or abs(y - height / 2) > height for x, y in points)
