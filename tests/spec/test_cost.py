"""Costs: the published numbers, and laws that every count must obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vipnas_cli.cost import plan_cost, schedule_macs
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.spec import ArchSpec, FusionSpec, HeadSpec, Plan, Schedule, StageSpec, StemSpec, preset
from vipnas_cli.spec.spaces import SPACES, space_of

STAGES = tuple(StageSpec(width, 2, 3, 2, 2, False) for width in (8, 16, 24, 32, 40, 48))
FAST = ArchSpec("fast", 64, 32, StemSpec(16, 3), STAGES, HeadSpec(16, 2, 1, refine=3))


def counted_by_torch(plan: Plan, keypoints: int = 17) -> tuple[int, int]:
    """Multiply-accumulates and parameters of the built network; torch counts a multiply-accumulate twice."""
    arch, counter = plan.arch, FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        net = PoseNet(arch, keypoints, plan.fusion).eval()
        net(torch.empty(1, 3, arch.height, arch.width), torch.empty(1, keypoints, arch.height // 4, arch.width // 4))
    return counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("family", SPACES)
def test_what_is_counted_is_what_torch_counts_in_the_built_network(family: str) -> None:
    rng = Random(0)
    for fusion in (
        FusionSpec(),
        FusionSpec("add", 1),
        FusionSpec("mul", 2),
        FusionSpec("cat", 3),
        FusionSpec("cat", 4),
    ):
        plan = Plan(space_of(family).sample(rng), fusion)
        cost = plan_cost(plan)
        assert (cost.macs, cost.parameters) == counted_by_torch(plan)
    plan = Plan(space_of(family).smallest)
    assert (plan_cost(plan, 3).macs, plan_cost(plan, 3).parameters) == counted_by_torch(plan, 3)


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("s-vipnet-mobilenetv3", 5_895_725, 0.731e9), ("s-vipnet-res50", 7_286_772, 1.461e9)],
)
def test_the_published_networks_have_their_published_size(name: str, parameters: int, macs: float) -> None:
    cost = plan_cost(Plan(preset(name)))
    assert cost.parameters == parameters
    assert cost.macs == pytest.approx(macs, rel=0.01)


def test_parameters_are_those_of_the_network() -> None:
    plan = Plan(FAST, FusionSpec("cat", 3))
    net = PoseNet(plan.arch, 17, plan.fusion)
    assert plan_cost(plan).parameters == sum(p.numel() for p in net.parameters())


def test_a_convolution_is_counted_by_hand() -> None:
    # Doubling the picture's area doubles everything but what works on pooled features.
    once, twice = plan_cost(Plan(FAST)), plan_cost(Plan(replace(FAST, height=128)))
    assert twice.macs == 2 * once.macs
    assert twice.parameters == once.parameters
    deeper = replace(FAST, stages=(*STAGES[:5], replace(STAGES[5], depth=3)))
    # One more block at 2 × 1 positions: expand, 3 × 3 with 2 channels per group, project.
    block = 2 * (48 * 96 + 9 * 2 * 96 + 96 * 48)
    assert plan_cost(Plan(deeper)).macs == once.macs + block


WIDENINGS: list[Callable[[ArchSpec], ArchSpec]] = [
    lambda a: replace(a, height=96),
    lambda a: replace(a, stem=StemSpec(24, 3)),
    lambda a: replace(a, stem=StemSpec(16, 5)),
    lambda a: replace(a, head=replace(a.head, width=32)),
    lambda a: replace(a, head=replace(a.head, kernel=4)),
    lambda a: replace(a, head=replace(a.head, refine=5)),
    lambda a: replace(a, head=replace(a.head, group_width=4)),
    *(
        lambda a, i=i, change=change: replace(
            a, stages=(*a.stages[:i], replace(a.stages[i], **change), *a.stages[i + 1 :])
        )
        for i in range(6)
        for change in (
            {"width": 2 * STAGES[i].width},
            {"depth": 3},
            {"kernel": 5},
            {"group_width": 4},
            {"expansion": 3},
            {"attention": True},
        )
    ),
]


@pytest.mark.parametrize("widen", WIDENINGS)
def test_widening_never_lowers_cost(widen: Callable[[ArchSpec], ArchSpec]) -> None:
    small, large = plan_cost(Plan(FAST)), plan_cost(Plan(widen(FAST)))
    assert large.macs > small.macs
    assert large.parameters >= small.parameters


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_fusion_costs_something(stage: int) -> None:
    alone = plan_cost(Plan(FAST))
    add, mul, cat = (plan_cost(Plan(FAST, FusionSpec(operation, stage))) for operation in ("add", "mul", "cat"))
    assert alone.macs < add.macs == mul.macs < cat.macs
    assert alone.parameters < add.parameters == mul.parameters < cat.parameters


def test_a_schedule_costs_the_mean_of_its_cycle() -> None:
    key, follower = Plan(replace(FAST, height=128, width=96)), Plan(FAST, FusionSpec("add", 2))
    macs = [plan_cost(plan).macs for plan in (key, follower, follower)]
    assert schedule_macs(Schedule((key, follower, follower))) == pytest.approx(sum(macs) / 3)
    assert schedule_macs(Schedule((key,))) == macs[0]


def test_counting_needs_no_weights_and_leaves_no_trace() -> None:
    before = torch.random.get_rng_state()
    assert plan_cost(Plan(FAST)) == plan_cost(Plan(FAST))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.empty(1).device.type == "cpu"
