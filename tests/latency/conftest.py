"""A probe without a clock, and a space small enough to look at every network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from vipnas_cli.spec import Plan, SearchSpace
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.spec.layers import Layer
from vipnas_cli.spec.networks import plan_layers


@dataclass(frozen=True)
class SizeProbe:
    """Takes a layer's milliseconds from its sizes, and a network's from its layers by a rule of its own."""

    scale: float = 1.0
    fixed: float = 0.0

    def one_ms(self, layer: Layer) -> float:
        """Grows with every number of the layer."""
        return sum(value for value in vars(layer).values() if isinstance(value, int)) / 1000

    def layer_ms(self, layers: Sequence[Layer], on_layer: Callable[[], None]) -> list[float]:
        """See Probe."""
        for _ in layers:
            on_layer()
        return [self.one_ms(layer) for layer in layers]

    def plan_ms(self, plans: Sequence[Plan], on_plan: Callable[[], None]) -> list[float]:
        """See Probe."""
        found = []
        for plan in plans:
            found.append(self.scale * sum(self.one_ms(layer) for layer in plan_layers(plan)) + self.fixed)
            on_plan()
        return found


@pytest.fixture
def probe() -> SizeProbe:
    """Whole networks take a tenth more than their parts, and 50 µs."""
    return SizeProbe(1.1, 0.05)


@pytest.fixture
def space() -> SearchSpace:
    """Networks of the fast family with a choice of nearly everything."""

    def stage(*widths: int, depths: tuple[int, ...] = (1,), attention: bool = False) -> StageChoices:
        return StageChoices(widths, depths, (3, 5), (1, 2), (2, 3), (False, True) if attention else (False,))

    return SearchSpace(
        "fast",
        ((64, 32), (96, 64)),
        StemChoices((8, 12), (3,)),
        (stage(16), stage(8, 24, depths=(1, 2, 3)), stage(16), stage(24, 32), stage(40, attention=True), stage(16, 48)),
        HeadChoices((8, 16), (2, 4), (1,), (0, 3)),
    )
