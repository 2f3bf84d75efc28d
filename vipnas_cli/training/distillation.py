"""Distillation: besides the labels, a key network learns the heatmaps that frozen teachers find in its crops.

Teachers say something of every joint, also where labels are missing, and how sure it is (Hinton et al., 2015). A
network that teaches itself learns what its mirrored view adds.

Shapes: B batch, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.frozen import FrozenKey
from vipnas_cli.pose import COCO17
from vipnas_cli.spec.families import Output
from vipnas_cli.training.key_heatmaps import frozen_networks
from vipnas_cli.training.losses import distance
from vipnas_cli.training.start import RunPlan


@dataclass(frozen=True)
class Teachers:
    """Frozen key networks whose answers are averaged, each seeing a crop and its mirror image."""

    networks: tuple[FrozenKey, ...]

    @torch.no_grad()
    def heatmaps(self, crops: Tensor, rows: int, columns: int) -> Tensor:
        """Heatmaps (B, K, rows, columns) of crops (B, H, W, 3) uint8, which teachers see at their own size."""
        order = list(COCO17.flip_order)
        found = []
        for network in self.networks:
            seen = resized(crops, (network.plan.arch.height, network.plan.arch.width))
            straight, mirrored = network(seen), network(seen.flip(2))
            mean = (straight + mirrored[:, order].flip(3)) / 2
            found.append(F.interpolate(mean, (rows, columns), mode="bilinear", antialias=True))
        return torch.stack(found).mean(0)


def resized(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops (B, H, W, 3) uint8 with `size` (height, width), themselves where they have it."""
    if crops.shape[1:3] == size:
        return crops
    pixels = F.interpolate(crops.permute(0, 3, 1, 2).float(), size, mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def distillation_loss(raw: Tensor, taught: Tensor, output: Output) -> Tensor:
    """How far raw output (B, K, h, w) is from heatmaps of teachers (B, K, h, w), by the loss of the labels.

    Every joint counts the same: what teachers are not sure of is spread over the crop.
    """
    return distance(raw, taught, torch.ones(taught.shape[:2], device=taught.device), output)


def teachers_of(plan: RunPlan, keypoints: int) -> Teachers:
    """The teachers that a training names; WeightsError for one with other keypoints than the network learns."""
    networks = frozen_networks(plan.teachers, plan)
    for network in networks:
        if network.keypoints != keypoints:
            raise WeightsError(
                f"the teacher {network.name} has {network.keypoints} keypoints, the network to train {keypoints}",
                "name another one with --teacher",
            )
    return Teachers(networks)
