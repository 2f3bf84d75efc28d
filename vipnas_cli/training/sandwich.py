"""The sandwich rule with in-place distillation: every step trains the largest, the smallest and some random networks.

The paper trains its super-network so (section 3.3) and leaves the details open. Here all networks of a step see the
same crops at the same input size, so that the smaller ones can learn from the heatmaps of the largest one.

Shapes: B batch, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from vipnas_cli.nets.posenet import heatmaps_from_raw, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec, SearchSpace
from vipnas_cli.training.batches import Batch
from vipnas_cli.training.losses import heatmap_loss

TEACHER_SHARE = 0.5


def sandwich_architectures(space: SearchSpace, size: tuple[int, int], count: int, rng: Random) -> list[ArchSpec]:
    """The largest, the smallest and `count` random architectures of a space, all at input `size` (height, width)."""
    drawn = [space.largest, space.smallest, *(space.sample(rng) for _ in range(count))]
    return [replace(arch, height=size[0], width=size[1]) for arch in drawn]


def step_rng(seed: int, step: int) -> Random:
    """The generator of a step's architectures: the same in every process and after a resume."""
    return Random(f"{seed}/{step}")


def distillation_loss(raw: Tensor, teacher_raw: Tensor, output: str) -> Tensor:
    """How far a network's output (B, K, h, w) is from the largest one's; joints of which that is sure weigh more."""
    if output == "linear":
        return ((raw - teacher_raw) ** 2).mean()
    sure = heatmaps_from_raw(teacher_raw, output).flatten(2).amax(-1)
    wanted = teacher_raw.flatten(2).softmax(-1)
    per_joint = -(wanted * raw.flatten(2).log_softmax(-1)).sum(-1)
    return (per_joint * sure).sum() / sure.sum().clamp(min=1)


def taught_loss(raw: Tensor, labelled: Tensor, teacher_raw: Tensor, output: str) -> Tensor:
    """The loss of a network below the largest: labels and teacher, half each."""
    return (1 - TEACHER_SHARE) * labelled + TEACHER_SHARE * distillation_loss(raw, teacher_raw, output)


def spatial_step(
    net: SuperNet, largest: Callable[[Tensor], Tensor], batch: Batch, architectures: list[ArchSpec]
) -> Tensor:
    """The mean loss of a step's architectures, whose gradients it has already added up in the shared weights.

    `architectures` begin with the largest; `largest` computes that one's raw output and may be compiled.
    """
    images, output = network_input(batch.crops), architectures[0].rules.output
    total, count = torch.zeros((), device=images.device), len(architectures)
    teacher: Tensor | None = None
    for arch in architectures:
        raw = largest(images) if teacher is None else net.raw(images, arch)
        loss = heatmap_loss(raw, batch.points_crop, batch.weights, output)
        if teacher is None:
            teacher = raw.detach()
        else:
            loss = taught_loss(raw, loss, teacher, output)
        (loss / count).backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / count
    return total
