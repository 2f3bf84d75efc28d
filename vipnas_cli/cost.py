"""What a network costs, counted on torch's meta device: no weights, no data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, PoseNet
from vipnas_cli.spec import ArchSpec, Plan, Schedule


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one crop (convolutions and matrix products) and the number of parameters."""

    macs: int
    parameters: int


def _count(net: nn.Module, *inputs: torch.Tensor) -> Cost:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net.eval()(*inputs)
    # The counter of torch counts a multiply-accumulate as two operations.
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters()))


def plan_cost(plan: Plan, keypoints: int = 17) -> Cost:
    """The cost of one position of a cycle for one person."""
    arch = plan.arch
    with torch.device("meta"):
        net = PoseNet(arch, keypoints, plan.fusion)
        images = torch.empty(1, 3, arch.height, arch.width)
        previous = torch.empty(1, keypoints, arch.height // HEATMAP_STRIDE, arch.width // HEATMAP_STRIDE)
        return _count(net, images, previous)


def detector_cost(arch: ArchSpec) -> Cost:
    """The cost of the person detector on a square picture."""
    with torch.device("meta"):
        return _count(PersonDetector(arch), torch.empty(1, 3, arch.height, arch.width))


def schedule_macs(schedule: Schedule, keypoints: int = 17) -> float:
    """Mean multiply-accumulates per person and frame over one cycle, the unit of a budget."""
    return sum(plan_cost(plan, keypoints).macs for plan in schedule.plans) / len(schedule)
