"""A compute budget as users write it: `0.5GFLOPs`, `500MFLOPs`, `500MMACs`, `12ms`, `60fps`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from vipnas_cli.errors import BudgetError

Entry = TypeVar("Entry")
Unit = Literal["macs", "ms", "fps"]
_PATTERN = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*$", re.IGNORECASE)
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_COUNTED = {
    prefix + name: factor
    for prefix, factor in _PREFIXES.items()
    for name in ("", "flop", "flops", "mac", "macs")
    if prefix + name
}
_UNITS: dict[str, tuple[float, Unit]] = {
    "ms": (1.0, "ms"),
    "fps": (1.0, "fps"),
    **{name: (factor, "macs") for name, factor in _COUNTED.items()},
}
_HELP = "write a number above 0 with a unit, for example 0.5GFLOPs, 500MFLOPs, 500MMACs, 12ms or 60fps"


@dataclass(frozen=True)
class Budget:
    """What poses may cost: at most `value` multiply-accumulates or milliseconds, or at least so many frames a second.

    The first two are the mean per person and frame over one cycle, milliseconds and frames per second those of this
    machine; frames per second are those of the whole `run` with one person. FLOPs are multiply-accumulates, as pose
    papers print them.
    """

    value: float
    unit: Unit

    @staticmethod
    def parse(text: str) -> Budget:
        """The budget that a text states; BudgetError shows how to write one."""
        found = _PATTERN.match(text)
        if not found:
            raise BudgetError(f"budget {text!r} is not a number with a unit", _HELP)
        if found[2].lower() not in _UNITS:
            raise BudgetError(f"budget {text!r} has no unit that is known", _HELP)
        factor, unit = _UNITS[found[2].lower()]
        budget = Budget(float(found[1]) * factor, unit)
        if not (budget.value > 0 and math.isfinite(budget.value)):
            raise BudgetError(f"budget {text!r} is not a number above 0 that can be met", _HELP)
        return budget

    def excess(self, macs: float) -> float | None:
        """The share by which multiply-accumulates are above the budget, 0 within it; None for one in ms or fps."""
        return max(macs / self.value - 1, 0.0) if self.unit == "macs" else None

    def __str__(self) -> str:
        return f"{self.value / 1e9:g} GFLOPs" if self.unit == "macs" else f"{self.value:g} {self.unit}"


def least_gflops(macs: float) -> str:
    """A cost in GFLOPs, rounded up to three digits, so that a budget of it pays for it."""
    return _rounded_up(macs / 1e6)


def least_budget(cost: float, unit: Unit) -> str:
    """A cost with its unit, multiply-accumulates in GFLOPs, rounded up likewise."""
    return f"{least_gflops(cost)} GFLOPs" if unit == "macs" else f"{_rounded_up(1e3 * cost)} {unit}"


def _rounded_up(thousandths: float) -> str:
    # Above whole thousandths, too: a text read back may be a hair below the number that it was made of.
    return f"{(math.floor(thousandths) + 1) / 1e3:.3f}"


def best_within(
    entries: Iterable[Entry],
    limit: float,
    cost: Callable[[Entry], float],
    score: Callable[[Entry], float],
    error: Callable[[Entry], float] = lambda _entry: 0.0,
) -> Entry | None:
    """The cheapest of those that cost at most `limit` and are as good as any of them; None if nothing is affordable.

    As good is who scores no less than anybody's score minus its standard `error` (Breiman et al. 1984, section 3.4.3);
    of equal costs the higher score, then the first. A higher limit never gives a lower score.
    """
    affordable = [entry for entry in entries if cost(entry) <= limit]
    needed = max((score(entry) - error(entry) for entry in affordable), default=0.0)
    good = [entry for entry in affordable if score(entry) >= needed]
    return min(good, key=lambda entry: (cost(entry), -score(entry)), default=None)


@dataclass(frozen=True)
class Taken(Generic[Entry]):
    """What `best_within` gives from the least `limit` on, until another is taken.

    The limit may be above the entry's own cost: where only a dearer one tells that a cheaper one is not as good.
    """

    limit: float
    entry: Entry


def taken_within(
    entries: Collection[Entry],
    cost: Callable[[Entry], float],
    score: Callable[[Entry], float],
    error: Callable[[Entry], float] = lambda _entry: 0.0,
) -> tuple[Taken[Entry], ...]:
    """All that some limit takes, see `best_within`, from the lowest limit to the highest."""
    found: list[Taken[Entry]] = []
    for limit in sorted({cost(entry) for entry in entries}):
        best = best_within(entries, limit, cost, score, error)
        if best is not None and (not found or best is not found[-1].entry):
            found.append(Taken(limit, best))
    return tuple(found)
