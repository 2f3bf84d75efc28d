"""Costs: the published numbers, and laws that every count must obey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec import ArchSpec, FusionSpec, HeadSpec, Plan, Schedule, StageSpec, StemSpec, preset
from vipnas_cli.spec.cost import Cost, detector_cost, plan_cost, schedule_macs, verifier_cost
from vipnas_cli.spec.presets import DETECTOR, VERIFIER
from vipnas_cli.spec.spaces import SPACES, space_of

STAGES = tuple(StageSpec(width, 2, 3, 2, 2, False) for width in (8, 16, 24, 32, 40, 48))
FAST = ArchSpec("fast", 64, 32, StemSpec(16, 3), STAGES, HeadSpec(16, 2, 1, refine=3))


def counted_by_torch(build: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Cost:
    """What torch counts in a network for inputs of these shapes; it counts a multiply-accumulate twice."""
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        net = build().eval()
        net(*map(torch.empty, shapes))
    return Cost(counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters()))


def counted_plan(plan: Plan, keypoints: int = 17) -> Cost:
    """What torch counts in a pose network with previous heatmaps."""
    height, width = plan.arch.height, plan.arch.width
    shapes = (1, 3, height, width), (1, keypoints, height // 4, width // 4)
    return counted_by_torch(lambda: PoseNet(plan.arch, keypoints, plan.fusion), *shapes)


@pytest.mark.parametrize("family", SPACES)
def test_what_is_counted_is_what_torch_counts_in_the_built_network(family: str) -> None:
    rng = Random(0)
    fusions = FusionSpec("add", 1), FusionSpec("mul", 2), FusionSpec("cat", 3), FusionSpec("cat", 4)
    for fusion in (FusionSpec(), *fusions):
        plan = Plan(space_of(family).sample(rng), fusion)
        assert plan_cost(plan) == counted_plan(plan)
    plan = Plan(space_of(family).smallest)
    assert plan_cost(plan, 3) == counted_plan(plan, 3)


@pytest.mark.parametrize("height", [64, 320])
@pytest.mark.parametrize("arch", [DETECTOR, VERIFIER, FAST], ids=["detector", "verifier", "small"])
@pytest.mark.parametrize("refine", [0, 5])
def test_detector_and_verifier_cost_what_torch_counts(arch: ArchSpec, height: int, refine: int) -> None:
    arch = replace(arch, height=height, head=replace(arch.head, refine=refine))
    shape = (1, 3, arch.height, arch.width)
    assert detector_cost(arch) == counted_by_torch(lambda: PersonDetector(arch), shape)
    assert verifier_cost(arch) == counted_by_torch(lambda: BoxVerifier(arch), shape)


@pytest.mark.parametrize("refine", [0, 5])
def test_the_residual_head_is_counted_as_torch_counts_it(refine: int) -> None:
    arch = preset("pyramid-base")
    plan = Plan(replace(arch, head=replace(arch.head, refine=refine)), FusionSpec("cat", 1))
    assert plan_cost(plan) == counted_plan(plan)


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
