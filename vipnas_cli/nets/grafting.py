"""Puts the weights of a network that was trained alone into the shared weights of a super-network."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from vipnas_cli.nets.blocks import Bottleneck, GlobalContext, InvertedResidual, SqueezeExcite
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.nets.narrowing import narrowed_state
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet, fusion_name
from vipnas_cli.spec import FusionSpec

# Depth must go on being learned: scales that began at zero had reached 0.01 after 1,050 steps, of some 2 before.
QUIET = 0.25


@torch.no_grad()
def graft(shared: SuperNet, net: PoseNet, quiet: float = QUIET) -> None:
    """Writes the weights of `net` to the places from which `shared` would extract its architecture.

    Blocks that only deeper networks have add the share `quiet` of what they did: they have not learned with these
    weights. With 0 a network that is deeper, and else the same, computes what `net` does; so does one with wider groups
    or squeeze and excitation, which begin by changing nothing. Fusions that `net` lacks begin with its encoder of
    heatmaps: they need to learn only what to do with them. SpecError if the architecture or the fusion does not fit
    into the shared weights.
    """
    places = _places(shared, net)
    for stage, trained in zip(shared.store.stages, net.stages, strict=True):
        for block, one in zip(stage.children(), trained.children(), strict=False):
            _silence(block, one)
    modules = shared.modules_for(net)
    for full, value in net.state_dict().items():
        path, _, name = full.rpartition(".")
        target = getattr(modules[path], name)
        if value.is_floating_point():
            target[torch.unravel_index(places[full].long(), target.shape)] = value.to(target.dtype)
        else:
            target.copy_(value)
    for stage, trained in zip(shared.store.stages, net.stages, strict=True):
        for block in list(stage.children())[len(list(trained.children())) :]:
            _quieten(block, quiet)
    if net.fusion is not None:
        _share_encoder(shared, net.fusion_spec)


def _places(shared: SuperNet, net: PoseNet) -> dict[str, torch.Tensor]:
    """For every tensor of `net` the flat indices of its values in the shared one."""
    numbered = deepcopy(shared)
    for tensor in (*numbered.parameters(), *numbered.buffers()):
        # Doubles hold these whole numbers exactly and, unlike integers, may be parameters.
        tensor.data = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
    return narrowed_state(numbered.modules_for(net), net)


def _silence(block: nn.Module, trained: nn.Module) -> None:
    """Makes what a shared block has and the trained one lacks do nothing: channels of wider groups, and the gate."""
    if not isinstance(block, InvertedResidual) or not isinstance(trained, InvertedResidual):
        return
    shared, own = block.spatial[0], trained.spatial[0]
    assert isinstance(shared, nn.Conv2d)
    assert isinstance(own, nn.Conv2d)
    if shared.weight.shape[1] > own.weight.shape[1]:
        shared.weight[: len(own.weight)] = 0
    if isinstance(block.attention, SqueezeExcite) and not isinstance(trained.attention, SqueezeExcite):
        block.attention.open()


def _quieten(block: nn.Module, quiet: float) -> None:
    """What a block adds to its shortcut becomes that share of it."""
    assert isinstance(block, InvertedResidual | Bottleneck)
    last = (block.project if isinstance(block, InvertedResidual) else block.restore)[1]
    changes = [last] + ([block.attention.restore] if isinstance(block.attention, GlobalContext) else [])
    for module in changes:
        for parameter in module.parameters():
            parameter.mul_(quiet)


def _share_encoder(shared: SuperNet, trained: FusionSpec) -> None:
    """Other fusions take the encoder over and change nothing; of add and cat at one stage each can use the other."""
    fusions = {name: fusion for name, fusion in shared.fusions.items() if isinstance(fusion, TemporalFusion)}
    source = fusions.pop(fusion_name(trained))
    for name, fusion in fusions.items():
        fusion.encode.load_state_dict(source.encode.state_dict())
        nn.init.zeros_(fusion.adapt.weight)
        assert fusion.adapt.bias is not None
        assert source.adapt.bias is not None
        nn.init.zeros_(fusion.adapt.bias)
        if {name, fusion_name(trained)} == {f"add{trained.stage}", f"cat{trained.stage}"}:
            hidden = source.encode.out_channels
            fusion.adapt.weight[:, -hidden:] = source.adapt.weight[:, -hidden:]
            fusion.adapt.bias.copy_(source.adapt.bias)
