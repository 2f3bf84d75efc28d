"""Orders the channels of a trained network by importance, so that narrower networks keep the best of its weights.

Only the order changes, so the network computes what it did before. Once-for-all (Cai et al., ICLR 2020) sorts channels
for the same reason before it trains narrower networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vipnas_cli.nets.blocks import ConvNorm, InvertedResidual
from vipnas_cli.nets.fusion import JoinedConvolution, TemporalFusion
from vipnas_cli.nets.posenet import LateralHead, PoseNet, ResidualHead

Module = nn.Module
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def sort_channels(net: PoseNet) -> bool:
    """Sorts expanded, stage and head channels of a network in place; False if its grouped channels cannot move.

    A channel is as important as the scale of the batch norm before it and the weights that read it make it.
    """
    if not _movable(net):
        return False
    blocks = [block for stage in net.stages for block in _blocks(stage)]
    for block in blocks:
        if isinstance(block.expand, ConvNorm):
            _sort([block.expand], [block.project], between=[block.spatial])
    sides = _sides(net)
    stages = [_blocks(stage) for stage in net.stages]
    for index, own in enumerate(stages):
        following = stages[index + 1][:1] if index + 1 < len(stages) else []
        readers = [block.expand for block in (*own[1:], *following)]
        alone, mixing = sides[index]
        order = _sort([block.project for block in own], [*readers, *mixing], along=alone)
        if net.fusion is not None and net.arch.rules.taps[net.fusion_spec.stage - 1] == index:
            _sort_fusion(net.fusion, order)
    if isinstance(net.head, ResidualHead):
        _sort_residual_head(net.head, net.final)
    else:
        assert isinstance(net.head, LateralHead)
        _sort_head(net.head, net.final)
    return True


def _sides(net: PoseNet) -> list[tuple[list[Module], list[Module]]]:
    """For each stage, what of the head treats its channels one by one, and what reads all of them."""
    head = net.head
    sides: list[tuple[list[Module], list[Module]]] = [([], []) for _ in net.stages]
    taps = net.arch.rules.taps[2::-1]
    if isinstance(head, ResidualHead):
        for stage, (depthwise, mixing) in zip(taps, map(_parts, head.lateral), strict=True):
            sides[stage] = ([depthwise], [mixing])
        sides[-1] = ([], _parts(head.project)[:1])
        return sides
    assert isinstance(head, LateralHead)
    for stage, lateral in zip(taps, head.lateral, strict=True):
        sides[stage] = ([], [lateral])
    sides[-1] = ([], [head.project])
    return sides


def _parts(module: Module) -> list[Module]:
    return list(module.children())


def _movable(net: PoseNet) -> bool:
    """Whether 1×1 convolutions see all channels, larger ones each channel alone, and nothing else looks at channels."""
    convolutions = [m for part in (net.stages, net.head) for m in part.modules() if isinstance(m, _CONVOLUTIONS)]
    plain = all(conv.groups == (1 if conv.kernel_size == (1, 1) else conv.in_channels) for conv in convolutions)
    blocks = [block for stage in net.stages for block in stage.children()]
    usual = all(isinstance(b, InvertedResidual) and isinstance(b.attention, nn.Identity) for b in blocks)
    # Past the first stage every block reads its input through an expansion.
    later = [block for stage in net.stages[1:] for block in _blocks(stage)]
    expanded = usual and all(isinstance(b.expand, ConvNorm) for b in later)
    refined = isinstance(net.head, LateralHead | ResidualHead) and net.arch.head.refine > 0
    return plain and expanded and refined


def _blocks(stage: Module) -> list[InvertedResidual]:
    return [block for block in stage.children() if isinstance(block, InvertedResidual)]


def _sort_head(head: LateralHead, final: nn.Conv2d) -> None:
    """Each refinement ends one stream of channels with its 1×1 convolution and begins the next."""
    begins: list[Module] = [head.project]
    for up, lateral, refine in zip(head.up, head.lateral, head.refine, strict=True):
        assert isinstance(refine, nn.Sequential)
        depthwise, mixing = refine
        _sort([*begins, lateral], [mixing], between=[up, depthwise])
        begins = [mixing]
    _sort(begins, [final])


def _sort_residual_head(head: ResidualHead, final: nn.Conv2d) -> None:
    """The middle of the projection, and the one stream that everything is added to."""
    expand, *between, project = _parts(head.project)
    _sort([expand], [project], between=between)
    lateral, refine = [[_parts(part) for part in parts] for parts in (head.lateral, head.refine)]
    mixing = [pointwise for _, pointwise in refine]
    writers = [project, *(pointwise for _, pointwise in lateral), *mixing]
    _sort(writers, [final, *mixing], along=[depthwise for depthwise, _ in refine])


@torch.no_grad()
def _sort(
    writers: Sequence[Module],
    readers: Sequence[Module],
    between: Sequence[Module] = (),
    along: Sequence[Module] = (),
) -> Tensor:
    """Sorts the channels that writers write and readers read; those between treat every channel alone.

    So do those along, which some of the readers see the channels through; they say nothing of importance. Returns the
    order: the old place of each channel.
    """
    scales = torch.stack([_norm(module).weight.abs() for module in (between or writers)]).sum(0)
    read = torch.stack([_conv(module).weight.flatten(2).square().sum((0, 2)) for module in readers]).sum(0).sqrt()
    order = (scales * read).argsort(descending=True, stable=True)
    for module in (*writers, *between, *along):
        norm = _norm(module)
        for tensor in (_conv(module).weight, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.copy_(tensor[order])
    for module in readers:
        weight: Tensor = _conv(module).weight
        weight.copy_(weight[:, order])
    return order


@torch.no_grad()
def _sort_fusion(fusion: TemporalFusion, order: Tensor) -> None:
    """The fusion changes the feature channel by channel, in its new order; a joined one also reads it."""
    adapt = fusion.adapt
    assert adapt.bias is not None
    for tensor in (adapt.weight, adapt.bias):
        tensor.copy_(tensor[order])
    if isinstance(adapt, JoinedConvolution):
        adapt.weight[:, : len(order)] = adapt.weight[:, order]


def _conv(module: Module) -> nn.Conv2d | nn.ConvTranspose2d:
    found = module[0] if isinstance(module, ConvNorm) else module
    assert isinstance(found, _CONVOLUTIONS)
    return found


def _norm(module: Module) -> nn.BatchNorm2d:
    assert isinstance(module, ConvNorm)
    found = module[1]
    assert isinstance(found, nn.BatchNorm2d)
    return found
