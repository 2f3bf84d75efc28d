"""A lane has the operations of its layer, a space lists the layers of all its networks, and each can be timed."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
import torch
from torch import Tensor, nn

from vipnas_cli.errors import VipnasError
from vipnas_cli.latency import probe as probe_module
from vipnas_cli.latency.lanes import Lane, drop_norms, lane_of
from vipnas_cli.latency.measure import all_fusions, random_plans, space_layers
from vipnas_cli.latency.probe import OnnxProbe, ProbeOptions, layer_times, measured_ms
from vipnas_cli.latency.table import layer_key
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.spec import FusionSpec, Plan, SearchSpace, preset
from vipnas_cli.spec.layers import (
    BottleneckEnd,
    Convolution,
    Deconvolutions,
    FinalConvolution,
    Fusion,
    Layer,
    Stem,
    Upsampling,
)
from vipnas_cli.spec.networks import plan_layers
from vipnas_cli.spec.spaces import SPACES

NAMED = pytest.mark.parametrize("named", SPACES.values(), ids=SPACES.keys())
QUICK = ProbeOptions(layer_runs=3, rounds=2, runs=3)
ONE_OF_EACH: list[Layer] = [
    Stem("fast", 8, 3, 64, 32),
    Stem("resnet", 8, 7, 64, 32),
    Convolution(8, 24, 1, 1, 1, "relu6", False, False, 16, 8),
    Convolution(24, 24, 5, 2, 24, "relu6", False, False, 16, 8),
    Convolution(24, 24, 3, 1, 12, "hswish", True, False, 16, 8),
    Convolution(48, 16, 1, 1, 1, "linear", False, True, 16, 8),
    BottleneckEnd(8, 16, True, 8, 8),
    BottleneckEnd(8, 16, False, 8, 8),
    Upsampling(16, 4, 16, 8, 4),
    Deconvolutions(24, 16, 2, 8, 2, 2),
    FinalConvolution(16, 17, "softmax", 16, 8),
    FinalConvolution(16, 17, "linear", 16, 8),
    *(Fusion(operation, 17, 16, 2, 8, 4) for operation in ("add", "mul", "cat")),
]


@cache
def body_macs(layer: Layer) -> int:
    """Multiply-accumulates of the convolutions that count in a layer's lane."""
    macs: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        at = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        macs.append(at.shape[2] * at.shape[3] * module.get_parameter("weight").numel())

    with torch.device("meta"), torch.no_grad():
        lane = lane_of(layer).eval()
        for module in lane.body.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(count)
        lane(*lane.inputs)
    return sum(macs)


@NAMED
def test_a_lane_has_the_operations_of_its_layer(named: SearchSpace) -> None:
    # Every second one has a fusion.
    for plan in random_plans(named, 4, Random(1)):
        assert all(body_macs(layer) == layer.macs for layer in plan_layers(plan))


@pytest.mark.parametrize("name", ["s-vipnet-mobilenetv3", "s-vipnet-res50", "fast-base"])
def test_lanes_have_the_operations_of_the_presets(name: str) -> None:
    assert all(body_macs(layer) == layer.macs for layer in plan_layers(Plan(preset(name))))


@NAMED
def test_a_space_lists_the_layers_of_its_networks_once(named: SearchSpace) -> None:
    listed = space_layers(named, all_fusions(named))
    assert len({layer_key(layer) for layer in listed}) == len(listed)
    for plan in random_plans(named, 40, Random(2)):
        assert set(plan_layers(plan)) <= set(listed)


def test_a_small_space_lists_nothing_else(space: SearchSpace) -> None:
    fusions = all_fusions(space)
    plans = [Plan(space.sample(rng := Random(seed)), rng.choice(fusions)) for seed in range(2500)]
    found = {layer for plan in plans for layer in plan_layers(plan)}
    assert found == set(space_layers(space, fusions))


def test_another_number_of_keypoints_makes_other_layers() -> None:
    plan = Plan(preset("fast-base"), FusionSpec("add", 2))
    changed = set(plan_layers(plan, 17)) ^ set(plan_layers(plan, 14))
    assert {type(layer) for layer in changed} == {FinalConvolution, Fusion}


@pytest.mark.parametrize("layer", ONE_OF_EACH, ids=lambda layer: layer_key(layer))
def test_a_lane_gives_its_layer_what_it_expects(layer: Layer) -> None:
    lane = lane_of(layer)
    out = lane(*lane.inputs)
    assert torch.isfinite(out).all()
    drop_norms(lane)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in lane.modules())


def test_every_kind_of_layer_is_found_in_the_profile_of_the_runtime() -> None:
    steps: list[int] = []
    found = OnnxProbe(QUICK).layer_ms(ONE_OF_EACH, lambda: steps.append(1))
    assert len(found) == len(ONE_OF_EACH) == len(steps)
    assert min(found) > 0


def test_a_long_layer_takes_no_longer_than_its_whole_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "LONG_MS", 0.0)
    monkeypatch.setattr(probe_module, "_median_ms", lambda call, _options: 1e-6 if call() else 0.0)
    assert OnnxProbe(QUICK).layer_ms(ONE_OF_EACH[:2], lambda: None) == [1e-6, 1e-6]


def test_what_stands_around_a_layer_is_not_counted() -> None:
    run = [
        ("/idle/Neg_kernel_time", 2),
        ("/lanes.1/before/Conv_kernel_time", 100),
        ("ReorderOutput_kernel_time", 7),
        ("/lanes.1/body/Clip_kernel_time", 20),
        ("ReorderInput_kernel_time", 3),
        ("lanes.1/after_nchwc_kernel_time", 100),
        ("ReorderOutput_token_1_kernel_time", 100),
        ("/lanes.0/before/Conv_kernel_time", 100),
        ("/lanes.0/skip/Conv_kernel_time", 100),
        ("/lanes.0/body/Add_kernel_time", 40),
        ("ReorderOutput_kernel_time", 2),
    ]
    # The idle node's time is taken off every node.
    assert layer_times(run * 4, 2) == pytest.approx([0.038, 0.024])


def test_other_processes_do_not_change_the_time_of_a_layer() -> None:
    calm = [("/idle/Neg_kernel_time", 2), ("/lanes.0/body/Conv_kernel_time", 10)]
    disturbed = [("/idle/Neg_kernel_time", 9_000), ("/lanes.0/body/Conv_kernel_time", 12_000)]
    assert layer_times(calm * 8 + disturbed * 4 + calm * 2, 1) == layer_times(calm * 14, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        [("/idle/Neg", 1), ("/lanes.0/before/Conv", 5), ("lanes.0/after", 5)],
        [("/lanes.0/body/Conv", 5)],
        [("/lanes.0/body/Conv", 5), ("/lanes.0/body/Clip", 5), ("/lanes.0/body/Conv", 5)],
    ],
    ids=["nothing of the layer", "no idle node", "half a run"],
)
def test_a_profile_that_is_not_understood_is_refused(nodes: list[tuple[str, int]]) -> None:
    with pytest.raises(VipnasError, match="profile"):
        layer_times(nodes, 1)


@pytest.mark.parametrize("fusion", [FusionSpec(), FusionSpec("cat", 2)], ids=lambda fusion: fusion.operation)
def test_a_whole_network_is_measured_without_being_changed(space: SearchSpace, fusion: FusionSpec) -> None:
    net = PoseNet(space.smallest, 17, fusion)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert net.training
    assert measured_ms(net, QUICK) > 0
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_plan_is_measured_with_random_weights(space: SearchSpace) -> None:
    plan = Plan(space.smallest)
    steps: list[int] = []
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert min(OnnxProbe(QUICK).plan_ms([plan, plan], lambda: steps.append(1))) > 0
    assert len(steps) == 2
    # A search draws from the same generator.
    assert torch.equal(torch.rand(3), expected)


def test_a_lane_without_an_end_gives_the_layers_own_output() -> None:
    lane: Lane = lane_of(FinalConvolution(16, 17, "softmax", 16, 8))
    assert lane(*lane.inputs).shape == (1, 17, 16, 8)
