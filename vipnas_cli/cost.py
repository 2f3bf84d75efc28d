"""What a network costs, counted from its specification: no weights, no data, and quick enough to ask in every mutation.

`PoseNet` says how a network is built; this module repeats which convolutions that are, and a test compares the two
with torch's own counter on random architectures. Counting with torch takes a thousand times as long, because
each layer passes through several layers of dispatch on the meta device.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec import ArchSpec, FusionSpec, Plan, Schedule

HEATMAP_STRIDE = 4


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one crop (convolutions and matrix products) and the number of parameters."""

    macs: int
    parameters: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.parameters + other.parameters)


def convolution_cost(
    inputs: int, outputs: int, kernel: int, positions: int, groups: int = 1, bias: bool = False
) -> Cost:
    """A convolution with that many output positions, or a deconvolution with that many input positions."""
    weights = inputs * outputs // groups * kernel**2
    return Cost(weights * positions, weights + (outputs if bias else 0))


def _normalised(inputs: int, outputs: int, kernel: int, positions: int, groups: int = 1) -> Cost:
    """A convolution and its batch norm."""
    return convolution_cost(inputs, outputs, kernel, positions, groups) + Cost(0, 2 * outputs)


@lru_cache(maxsize=65536)
def plan_cost(plan: Plan, keypoints: int = 17) -> Cost:
    """The cost of one position of a cycle for one person."""
    arch = plan.arch
    stride = 4 if arch.rules.stem_pool else 2
    total = _normalised(3, arch.stem.width, arch.stem.kernel, _positions(arch, 2))
    inputs = arch.stem.width
    for index, stage in enumerate(arch.stages):
        total += _stage_cost(arch, index, inputs, stride)
        stride *= arch.rules.strides[index]
        inputs = stage.width
    total += _lateral_head(arch) if arch.rules.lateral else _deconvolution_head(arch)
    total += convolution_cost(arch.head.width, keypoints, 1, _positions(arch, HEATMAP_STRIDE), bias=True)
    return total + _fusion_cost(arch, plan.fusion, keypoints)


def detector_cost(arch: ArchSpec) -> Cost:
    """The cost of the person detector on a square picture, counted by torch."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        net = PersonDetector(arch).eval()
        net(torch.empty(1, 3, arch.height, arch.width))
    # The counter of torch counts a multiply-accumulate as two operations.
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters()))


def verifier_cost(arch: ArchSpec) -> Cost:
    """The cost of verifying one box, counted by torch."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        net = BoxVerifier(arch).eval()
        net(torch.empty(1, 3, arch.height, arch.width))
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters()))


def schedule_macs(schedule: Schedule, keypoints: int = 17) -> float:
    """Mean multiply-accumulates per person and frame over one cycle, the unit of a budget."""
    return sum(plan_cost(plan, keypoints).macs for plan in schedule.plans) / len(schedule)


def _positions(arch: ArchSpec, stride: int) -> int:
    """Positions of a feature at a stride."""
    return (arch.height // stride) * (arch.width // stride)


def _stage_cost(arch: ArchSpec, index: int, inputs: int, stride: int) -> Cost:
    """The blocks of a stage whose input is at `stride`."""
    stage, total = arch.stages[index], Cost(0, 0)
    before, after = _positions(arch, stride), _positions(arch, stride * arch.rules.strides[index])
    for middle in arch.middle_widths(index):
        groups = middle // stage.group_width
        total += _normalised(middle, middle, stage.kernel, after, groups) + _normalised(middle, stage.width, 1, after)
        if arch.rules.block == "bottleneck":
            total += _normalised(inputs, middle, 1, before)
            if before != after or inputs != stage.width:
                total += _normalised(inputs, stage.width, 1, after)
            if stage.attention:
                total += _context_cost(stage.width, after)
        else:
            if stage.expansion > 1 or inputs != middle:
                total += _normalised(inputs, middle, 1, before)
            if stage.attention:
                total += _squeeze_cost(middle)
        inputs, before = stage.width, after
    return total


def _squeeze_cost(channels: int) -> Cost:
    hidden = max(channels // 4, 1)
    return convolution_cost(channels, hidden, 1, 1, bias=True) + convolution_cost(hidden, channels, 1, 1, bias=True)


def _context_cost(channels: int, positions: int) -> Cost:
    hidden = max(channels // 16, 16)
    mask = convolution_cost(channels, 1, 1, positions, bias=True)
    around = convolution_cost(channels, hidden, 1, 1, bias=True) + convolution_cost(hidden, channels, 1, 1, bias=True)
    return mask + around + Cost(0, 2 * hidden)


def _deconvolution_head(arch: ArchSpec) -> Cost:
    head, inputs, total = arch.head, arch.stages[-1].width, Cost(0, 0)
    for stride in (32, 16, 8):
        groups = head.width // head.group_width
        total += _normalised(inputs, head.width, head.kernel, _positions(arch, stride), groups)
        inputs = head.width
    return total


def _lateral_head(arch: ArchSpec) -> Cost:
    head, groups = arch.head, arch.head.width // arch.head.group_width
    total = _normalised(arch.tap_width(4), head.width, 1, _positions(arch, 32))
    for tap, stride in ((3, 32), (2, 16), (1, 8)):
        finer = _positions(arch, stride // 2)
        total += _normalised(head.width, head.width, head.kernel, _positions(arch, stride), groups)
        total += _normalised(arch.tap_width(tap), head.width, 1, finer)
        if head.refine:
            total += _normalised(head.width, head.width, head.refine, finer, head.width)
            total += _normalised(head.width, head.width, 1, finer)
    return total


def _fusion_cost(arch: ArchSpec, fusion: FusionSpec, keypoints: int) -> Cost:
    if fusion.operation == "none":
        return Cost(0, 0)
    positions, channels = _positions(arch, 2 * 2**fusion.stage), arch.tap_width(fusion.stage)
    hidden = 2 * keypoints
    known = channels + hidden if fusion.operation == "cat" else hidden
    encode = convolution_cost(keypoints, hidden, 3, positions, bias=True)
    return encode + convolution_cost(known, channels, 1, positions, bias=True)
