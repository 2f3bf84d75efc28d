"""A network that is put into shared weights comes out of them unchanged, and deeper networks compute what it does."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import nn

from vipnas_cli.errors import SpecError
from vipnas_cli.nets.grafting import graft
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec, FusionSpec, SearchSpace
from vipnas_cli.spec.schedule import FusionOperation
from vipnas_cli.spec.spaces import SPACES

Net = TypeVar("Net", bound=nn.Module)
KEYPOINTS = 5
FUSIONS = tuple(FusionSpec(operation, stage) for operation in ("add", "mul", "cat") for stage in (1, 2))
SMALL = {family: replace(space, sizes=((64, 32),)) for family, space in SPACES.items()}
FAST = SMALL["fast"]
FAMILIES = pytest.mark.parametrize("space", SMALL.values(), ids=list(SMALL))


def _filled(net: Net, seed: int) -> Net:
    """A network whose every parameter and statistic is random."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            noise = 2 * torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5
            tensor.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    net.eval()
    return net


def _shared(space: SearchSpace, fusions: tuple[FusionSpec, ...] = FUSIONS) -> SuperNet:
    return _filled(SuperNet(space, KEYPOINTS, fusions), 0)


def _trained(arch: ArchSpec, fusion: FusionSpec | None = None) -> PoseNet:
    return _filled(PoseNet(arch, KEYPOINTS, fusion), 1)


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and their previous heatmaps."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(2, 3, 64, 32, generator=generator)
    return images, torch.rand(2, KEYPOINTS, 16, 8, generator=generator)


@FAMILIES
def test_what_goes_in_comes_out(space: SearchSpace) -> None:
    shared = _shared(space)
    for arch, fusion in ((space.largest, FusionSpec("cat", 2)), (space.smallest, FusionSpec("mul", 1))):
        net = _trained(arch, fusion)
        graft(shared, net)
        found = shared.extract(arch, fusion).state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in net.state_dict().items())


@FAMILIES
@torch.no_grad()
def test_with_silent_extra_blocks_a_deeper_network_is_the_same_function(space: SearchSpace) -> None:
    largest = space.largest
    shallow = replace(largest, stages=tuple(replace(stage, depth=1) for stage in largest.stages))
    shared, net = _shared(space), _trained(shallow)
    images, _ = _batch()
    assert not torch.allclose(shared(images, largest), net(images), atol=1e-3)
    graft(shared, net, quiet=0)
    assert torch.allclose(shared(images, largest), net(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", ["mobilenetv3", "pyramid"])
def test_wider_groups_and_attention_begin_by_changing_nothing(family: str) -> None:
    space = SMALL[family]
    plain = tuple(replace(stage, group_width=1, attention=False) for stage in space.largest.stages)
    shared, net = _shared(space), _trained(replace(space.largest, stages=plain))
    images, _ = _batch()
    wanted = net.raw(images)
    near = 1e-4 * float(wanted.abs().max())
    assert not torch.allclose(shared.raw(images, space.largest), wanted, atol=near)
    graft(shared, net)
    assert torch.allclose(shared.raw(images, space.largest), wanted, atol=near)


@torch.no_grad()
def test_extra_blocks_add_a_share_of_what_they_did() -> None:
    shared, net = _shared(FAST), _trained(FAST.smallest)
    block = list(shared.store.stages[5].children())[-1]
    feature = torch.randn(2, 192, 4, 4, generator=torch.Generator().manual_seed(3))
    before = block(feature) - feature
    graft(shared, net, quiet=0.25)
    assert torch.allclose(block(feature) - feature, before / 4, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("operation", "other"), [("add", "cat"), ("cat", "add")])
def test_other_fusions_begin_with_the_encoder(operation: FusionOperation, other: FusionOperation) -> None:
    arch = FAST.largest
    shared, net = _shared(FAST), _trained(arch, FusionSpec(operation, 2))
    graft(shared, net)
    images, heatmaps = _batch()
    alone, fused = net.raw(images), net.raw(images, heatmaps)
    assert net.fusion is not None
    for fusion in (FusionSpec(operation, 1), FusionSpec("mul", 2)):
        assert torch.equal(shared.raw(images, arch, heatmaps, fusion), alone)
        found = shared.extract(arch, fusion).fusion
        assert found is not None
        assert torch.equal(found.encode.weight, net.fusion.encode.weight)
    same_stage = shared.raw(images, arch, heatmaps, FusionSpec(other, 2))
    assert not torch.allclose(same_stage, alone, rtol=1e-3)
    # Joining can do all that adding does; the other way round what a join made of the feature itself is lost.
    assert torch.allclose(same_stage, fused, rtol=1e-4, atol=1e-4) == (other == "cat")


def test_a_network_that_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match="no fusion add1"):
        graft(_shared(FAST, ()), _trained(FAST.smallest, FusionSpec("add", 1)))
    with pytest.raises(SpecError, match="does not hold"):
        graft(_shared(FAST), _trained(replace(FAST.largest, head=replace(FAST.largest.head, width=128))))
