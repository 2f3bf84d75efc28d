"""Pose networks of all families: shapes, the start of a follower, and heatmaps that mean something."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from vipnas_cli.nets.blocks import GlobalContext, SqueezeExcite, upsampling
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, SIGMA_PER_ROW, PoseNet, heatmaps_from_raw
from vipnas_cli.pose import HeatmapCodec
from vipnas_cli.spec import PRESETS, ArchSpec, FusionSpec, HeadSpec, StageSpec, StemSpec
from vipnas_cli.spec.schedule import FusionOperation


def tiny(family: str, height: int = 64, width: int = 32) -> ArchSpec:
    """A small architecture with every part of its family: several blocks, groups, attention."""
    count = 4 if family == "resnet" else 6
    widths = (16, 16, 24, 32, 32, 48)[-count:] if family == "resnet" else (8, 16, 16, 24, 32, 48)
    stages = tuple(StageSpec(w, 2, 5, 4, 2, i % 2 == 0) for i, w in enumerate(widths))
    refine = 3 if family in ("fast", "pyramid") else 0
    return ArchSpec(family, height, width, StemSpec(8, 3), stages, HeadSpec(16, 4, 4, refine))  # type: ignore[arg-type]


FAMILY_NAMES = ("mobilenetv3", "resnet", "fast", "pyramid")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_give_heatmaps_at_stride_4(name: str) -> None:
    arch = replace(PRESETS[name], height=64, width=32)
    net = PoseNet(arch, 17).eval()
    with torch.inference_mode():
        features = net.features(torch.zeros(2, 3, 64, 32))
        heatmaps = net(torch.zeros(2, 3, 64, 32))
    assert heatmaps.shape == (2, 17, 16, 8)
    strides = zip((4, 8, 16, 32), features, strict=True)
    expected = [(2, arch.tap_width(i), 64 // s, 32 // s) for i, s in enumerate((4, 8, 16, 32), 1)]
    assert [tuple(feature.shape) for _, feature in strides] == expected


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("operation", ["add", "mul", "cat"])
@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_a_new_follower_is_the_image_only_network(family: str, operation: FusionOperation, stage: int) -> None:
    torch.manual_seed(0)
    # Batch statistics keep signals of untrained networks alive.
    alone = PoseNet(tiny(family), 5).train()
    follower = PoseNet(tiny(family), 5, FusionSpec(operation, stage)).train()
    missing, unexpected = follower.load_state_dict(alone.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"fusion"}
    images, previous = torch.randn(2, 3, 64, 32), torch.rand(2, 5, 16, 8)
    with torch.no_grad():
        assert torch.equal(follower(images, previous), alone(images))
        assert follower.fusion is not None
        nn.init.normal_(follower.fusion.adapt.weight)
        with_previous = follower(images, previous)
        assert not torch.allclose(with_previous, alone(images))
        assert not torch.allclose(with_previous, follower(images, previous.flip(1)))
        # Without heatmaps a follower is what it grew from.
        assert torch.equal(follower(images), alone(images))


@pytest.mark.parametrize("operation", ["add", "mul", "cat"])
def test_a_new_fusion_learns(operation: FusionOperation) -> None:
    torch.manual_seed(0)
    net = PoseNet(tiny("fast"), 5, FusionSpec(operation, 2))
    net(torch.randn(2, 3, 64, 32), torch.rand(2, 5, 16, 8)).square().sum().backward()
    assert net.fusion is not None
    assert net.fusion.adapt.weight.grad is not None
    assert net.fusion.adapt.weight.grad.abs().max() > 0


def test_softmax_heatmaps_lie_between_0_and_1() -> None:
    torch.manual_seed(0)
    arch = tiny("fast")
    with torch.no_grad():
        heatmaps = PoseNet(arch, 5).eval()(10 * torch.randn(4, 3, 64, 32))
    assert heatmaps.min() >= 0
    assert heatmaps.max() <= 1


@pytest.mark.parametrize("rows", [64, 48, 32])
@pytest.mark.parametrize("place", [(20.0, 22.0), (11.3, 9.8)])
def test_a_perfect_gaussian_logit_peaks_at_one(rows: int, place: tuple[float, float]) -> None:
    sigma = 2 / 64 * rows
    y, x = torch.meshgrid(torch.arange(float(rows)), torch.arange(rows * 0.75), indexing="ij")
    logit = -((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * sigma**2)
    heatmap = heatmaps_from_raw(logit[None, None] + 3.0, "softmax")
    torch.testing.assert_close(heatmap[0, 0], torch.exp(logit), atol=0.01, rtol=0)


def test_an_unsure_logit_peaks_low() -> None:
    assert heatmaps_from_raw(torch.zeros(1, 1, 64, 48), "softmax").max() < 0.01
    raw = torch.randn(1, 2, 8, 8)
    assert heatmaps_from_raw(raw, "linear") is raw


def test_a_peak_at_the_border_stays_at_most_one() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
    heatmap = heatmaps_from_raw((-(x**2 + y**2) / 8)[None, None], "softmax")
    assert heatmap.max() == 1


@pytest.mark.parametrize("kernel", [2, 4])
def test_upsampling_doubles_exactly(kernel: int) -> None:
    assert upsampling(4, 8, kernel, 4)(torch.zeros(1, 4, 5, 3)).shape == (1, 8, 10, 6)


def test_the_gate_of_squeeze_excite_is_the_papers() -> None:
    layer = SqueezeExcite(4)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        assert torch.equal(layer(features), features / 2)
        assert layer.excite.bias is not None
        layer.excite.bias.fill_(1.5)
        assert torch.equal(layer(features), features)
        layer.excite.bias.fill_(-1.5)
        assert not layer(features).any()


def test_a_new_global_context_changes_nothing() -> None:
    features = torch.randn(2, 32, 5, 4)
    with torch.no_grad():
        assert torch.equal(GlobalContext(32)(features), features)


def test_blocks_share_names_whatever_their_size() -> None:
    # The super-network narrows tensors by name: a smaller architecture must have a subset of the names.
    for family in FAMILY_NAMES:
        arch = tiny(family)
        smaller = replace(
            arch, stages=tuple(replace(s, depth=1, kernel=3, group_width=1, attention=False) for s in arch.stages)
        )
        assert set(PoseNet(smaller).state_dict()) <= set(PoseNet(arch).state_dict())


def test_sigma_matches_the_codec() -> None:
    codec = HeatmapCodec(192, 128)
    assert codec.stride == HEATMAP_STRIDE
    assert math.isclose(codec.sigma, SIGMA_PER_ROW * codec.rows)
