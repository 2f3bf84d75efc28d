"""A compute budget as users write it: `0.5GFLOPs`, `500MFLOPs`, `500MMACs`, `12ms`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from vipnas_cli.errors import BudgetError

Unit = Literal["macs", "ms"]
_PATTERN = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*$", re.IGNORECASE)
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_HELP = "write a number above 0 with a unit, for example 0.5GFLOPs, 500MFLOPs, 500MMACs or 12ms"


@dataclass(frozen=True)
class Budget:
    """Mean cost per person and frame over one cycle: multiply-accumulates or milliseconds on this machine.

    FLOPs are multiply-accumulates, as pose papers print them.
    """

    value: float
    unit: Unit

    @staticmethod
    def parse(text: str) -> Budget:
        """The budget that a text states; BudgetError shows how to write one."""
        found = _PATTERN.match(text)
        if not found:
            raise BudgetError(f"budget {text!r} is not a number with a unit", _HELP)
        value, unit = float(found[1]), found[2].lower()
        counted = re.fullmatch(r"([kmgt]?)(flops?|macs?)?", unit)
        if unit == "" or (unit != "ms" and not counted):
            raise BudgetError(f"budget {text!r} has no unit that is known", _HELP)
        budget = Budget(value * _PREFIX[counted[1]], "macs") if counted else Budget(value, "ms")
        if not (budget.value > 0 and math.isfinite(budget.value)):
            raise BudgetError(f"budget {text!r} is not a number above 0 that can be met", _HELP)
        return budget

    def __str__(self) -> str:
        return f"{self.value:g} ms" if self.unit == "ms" else f"{self.value / 1e9:g} GFLOPs"
