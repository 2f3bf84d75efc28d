"""What a network costs: the sum over its layers, quick enough to ask in every mutation of a search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from vipnas_cli.spec.arch import ArchSpec
from vipnas_cli.spec.imported import ImportedSpec
from vipnas_cli.spec.layers import Layer
from vipnas_cli.spec.networks import detector_layers, plan_layers, verifier_layers
from vipnas_cli.spec.schedule import Plan, Schedule


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one crop (convolutions and matrix products) and the number of parameters."""

    macs: int
    parameters: int


def layers_cost(layers: Iterable[Layer]) -> Cost:
    """The cost of all layers together."""
    macs = parameters = 0
    for layer in layers:
        macs += layer.macs
        parameters += layer.parameters
    return Cost(macs, parameters)


@lru_cache(maxsize=65536)
def plan_cost(plan: Plan, keypoints: int = 17) -> Cost:
    """The cost of one position of a cycle for one person; an imported network states its own."""
    if isinstance(plan.arch, ImportedSpec):
        return Cost(plan.arch.macs, plan.arch.parameters)
    return layers_cost(plan_layers(plan, keypoints))


def detector_cost(arch: ArchSpec) -> Cost:
    """The cost of the person detector on a picture of the arch's size."""
    return layers_cost(detector_layers(arch))


def verifier_cost(arch: ArchSpec) -> Cost:
    """The cost of verifying one box."""
    return layers_cost(verifier_layers(arch))


def schedule_macs(schedule: Schedule, keypoints: int = 17) -> float:
    """Mean multiply-accumulates per person and frame over one cycle, the unit of a budget."""
    return sum(plan_cost(plan, keypoints).macs for plan in schedule.plans) / len(schedule)
