"""What may vary in a stem, a stage or a head, and how a value is picked from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Protocol, TypeVar

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import LARGEST, ArchSpec, JsonObject, read_fields, read_list

T = TypeVar("T")
Built = TypeVar("Built")
Gene = Callable[[ArchSpec], Any]


@dataclass(frozen=True)
class StemChoices:
    """Widths and kernels of the first convolution."""

    widths: tuple[int, ...]
    kernels: tuple[int, ...]

    def __post_init__(self) -> None:
        _check("stem", self)


@dataclass(frozen=True)
class StageChoices:
    """The choices of the five elastic dimensions of a stage, see StageSpec."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    group_widths: tuple[int, ...]
    expansions: tuple[int, ...]
    attention: tuple[bool, ...]

    def __post_init__(self) -> None:
        _check("stage", self)
        _check_divisors("stage", self.group_widths)


@dataclass(frozen=True)
class HeadChoices:
    """The choices of the head, see HeadSpec."""

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    group_widths: tuple[int, ...]
    refines: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        _check("head", self)
        _check_divisors("head", self.group_widths)


def _check(owner: str, choices: StemChoices | StageChoices | HeadChoices) -> None:
    """SpecError unless every field holds different whole numbers (or truth values for attention)."""
    for field in fields(choices):
        values = getattr(choices, field.name)
        kind = bool if field.name == "attention" else int
        if not isinstance(values, tuple) or not values or any(type(value) is not kind for value in values):
            raise SpecError(f"{owner} choices: {field.name} must list at least one {kind.__name__}, not {values!r:.60}")
        if len(set(values)) != len(values):
            raise SpecError(f"{owner} choices: {field.name} lists a value twice: {values!r:.60}")
        largest = LARGEST[field.name.removesuffix("s")] if kind is int else 1
        if max(values) > largest:
            raise SpecError(f"{owner} choices: {field.name} must be at most {largest}, not {max(values):g}")
        if kind is int and min(values) < (0 if field.name == "refines" else 1):
            raise SpecError(f"{owner} choices: {field.name} must hold positive numbers, not {values!r:.60}")


def _check_divisors(owner: str, group_widths: tuple[int, ...]) -> None:
    """Shared weights keep the widest groups; narrower ones must tile them."""
    wrong = [width for width in group_widths if max(group_widths) % width]
    if wrong:
        raise SpecError(f"{owner} choices: group_widths {wrong} do not divide the largest, {max(group_widths)}")


def choices_from_json(owner: str, data: object, kind: Callable[..., Built]) -> Built:
    """The choices of a JSON object whose fields are lists; SpecError names a wrong field."""
    found: JsonObject = read_fields(owner, data, kind)  # type: ignore[arg-type]
    return kind(**{name: tuple(read_list(owner, found, name)) for name in found})


class Chooser(Protocol):
    """Picks one of the options for a gene, the part of an architecture that a function reads."""

    def __call__(self, gene: Gene, options: Sequence[T]) -> T:
        """One of `options`, which are never empty."""
        ...


@dataclass(frozen=True)
class Draw:
    """Picks at random."""

    rng: Random

    def __call__(self, gene: Gene, options: Sequence[T]) -> T:
        """See Chooser."""
        return self.rng.choice(options)


@dataclass(frozen=True)
class Mutate:
    """Keeps what the parent has, but picks at random with some probability, and where the parent has no option."""

    parent: ArchSpec
    rng: Random
    probability: float

    def __call__(self, gene: Gene, options: Sequence[T]) -> T:
        """See Chooser."""
        old: T = gene(self.parent)
        keep = self.rng.random() >= self.probability
        return old if keep and old in options else self.rng.choice(options)


@dataclass(frozen=True)
class Cross:
    """Takes each gene from either parent, from the other one where that is no option, else at random."""

    parents: tuple[ArchSpec, ArchSpec]
    rng: Random

    def __call__(self, gene: Gene, options: Sequence[T]) -> T:
        """See Chooser."""
        first = int(self.rng.random() < 0.5)
        for parent in (self.parents[first], self.parents[1 - first]):
            value: T = gene(parent)
            if value in options:
                return value
        return self.rng.choice(options)


class Odometer:
    """Counts through all combinations of choices, also where later options depend on earlier choices."""

    def __init__(self) -> None:
        self._digits: list[int] = []
        self._counts: list[int] = []

    def __call__(self, gene: Gene, options: Sequence[T]) -> T:
        """See Chooser."""
        position = len(self._counts)
        if position == len(self._digits):
            self._digits.append(0)
        self._counts.append(len(options))
        return options[self._digits[position]]

    def all(self, build: Callable[[Chooser], Built]) -> Iterator[Built]:
        """What `build` makes of every combination."""
        while True:
            self._counts.clear()
            yield build(self)
            while self._digits and self._digits[-1] + 1 == self._counts[len(self._digits) - 1]:
                self._digits.pop()
            if not self._digits:
                return
            self._digits[-1] += 1
