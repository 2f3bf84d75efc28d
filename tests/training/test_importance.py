"""Sorting channels changes their order and nothing else."""

import pytest
import torch
from torch import nn

from vipnas_cli.nets.blocks import ConvNorm, InvertedResidual
from vipnas_cli.nets.posenet import PoseNet, ResidualHead
from vipnas_cli.spec import FusionSpec
from vipnas_cli.spec.presets import preset
from vipnas_cli.spec.schedule import FusionOperation
from vipnas_cli.training.importance import sort_channels


def _trained(name: str, fusion: FusionSpec | None = None) -> PoseNet:
    """A network whose channels all differ, batch norms too."""
    torch.manual_seed(0)
    net = PoseNet(preset(name), 17, fusion).eval()
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
    return net


def _importance(block: InvertedResidual) -> torch.Tensor:
    reads = block.project[0].weight.flatten(1).norm(dim=0)
    scale = block.spatial[1].weight.abs()
    return scale * reads


@torch.no_grad()
@pytest.mark.parametrize("name", ["fast-base", "pyramid-base"])
def test_the_network_computes_what_it_did(name: str) -> None:
    net, images = _trained(name), torch.randn(1, 3, 64, 32)
    if name == "pyramid-base":  # whose refinements begin by changing nothing
        for refine in net.head.refine:  # type: ignore[union-attr]
            nn.init.normal_(refine[1][1].weight)
    before = net.raw(images)
    first = net.final.weight.clone()
    assert sort_channels(net)
    after = net.raw(images)
    assert not torch.equal(first, net.final.weight)
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


@torch.no_grad()
def test_the_most_important_channels_come_first() -> None:
    net = _trained("fast-base")
    sort_channels(net)
    blocks = [m for m in net.modules() if isinstance(m, InvertedResidual) and isinstance(m.expand, ConvNorm)]
    assert len(blocks) > 10
    for block in blocks:
        importance = _importance(block)
        # Stage channels moved later than these, which does not change norms but for rounding.
        assert (importance.diff() <= 1e-5 * importance.max()).all()


@torch.no_grad()
def test_the_best_channels_of_a_residual_head_come_first() -> None:
    net = _trained("pyramid-base")
    head = net.head
    assert isinstance(head, ResidualHead)
    best = 40
    for writer in (head.project[3], *(part[1] for part in (*head.lateral, *head.refine))):
        writer[1].weight[best] = 50
    wanted = net.final.weight[:, best].clone()
    sort_channels(net)
    assert torch.equal(net.final.weight[:, 0], wanted)


@torch.no_grad()
def test_sorting_twice_is_sorting_once() -> None:
    net = _trained("fast-base")
    sort_channels(net)
    once = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    sort_channels(net)
    images = torch.randn(1, 3, 64, 32)
    again = PoseNet(net.arch).eval()
    again.load_state_dict(once)
    assert torch.allclose(net.raw(images), again.raw(images), rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_networks_with_groups_are_left_alone() -> None:
    net = _trained("s-vipnet-mobilenetv3")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert not sort_channels(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("stage", [1, 2, 3, 4])
@pytest.mark.parametrize("operation", ["add", "mul", "cat"])
def test_a_network_with_a_fusion_computes_what_it_did(operation: FusionOperation, stage: int) -> None:
    net = _trained("fast-base", FusionSpec(operation, stage))
    assert net.fusion is not None
    nn.init.normal_(net.fusion.adapt.weight)
    # In doubles, since deep stages change the result of a network of random weights by little.
    net, images, heatmaps = net.double(), torch.randn(1, 3, 64, 32).double(), torch.rand(1, 17, 16, 8).double()
    before, alone = net.raw(images, heatmaps), net.raw(images)
    assert sort_channels(net)
    error = float((before - net.raw(images, heatmaps)).abs().max())
    assert error < 1e-6 * float((before - alone).abs().max())
