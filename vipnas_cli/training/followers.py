"""The loss of followers unrolled over a clip (paper section 3.3).

Shapes: B batch, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vipnas_cli.nets.posenet import heatmaps_from_raw, network_input
from vipnas_cli.training.clip_batches import ClipBatch
from vipnas_cli.training.losses import heatmap_loss


@dataclass(frozen=True)
class HeatmapNoise:
    """How the incoming heatmaps are spoilt so that errors do not pile up: maps or joints dropped, peaks dimmed."""

    drop_all: float = 0.08
    drop_joint: float = 0.05
    dim: float = 0.3


@dataclass(frozen=True)
class PassingOn:
    """What followers hand to the next one: how it is spoilt, how raw output becomes heatmaps, and whether a follower
    also learns from the errors that its heatmaps cause in the ones after it (`through_time`)."""

    noise: HeatmapNoise = HeatmapNoise()
    output: str = "softmax"
    through_time: bool = False

    def heatmaps(self, raw: Tensor) -> Tensor:
        """The heatmaps (B, K, h, w) that the next follower gets of raw output."""
        return heatmaps_from_raw(raw if self.through_time else raw.detach(), self.output)


def carried(heatmaps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Heatmaps (B, K, h, w) re-aligned by row weights (B, h', h) and column weights (B, w', w)."""
    return rows[:, None] @ heatmaps @ columns.transpose(1, 2)[:, None]


def spoilt(heatmaps: Tensor, noise: HeatmapNoise, generator: torch.Generator) -> Tensor:
    """Heatmaps (B, K, h, w) with some joints or persons blanked and the rest dimmed at random."""
    people, keypoints = heatmaps.shape[:2]
    draws = torch.rand(3, people, keypoints, generator=generator).to(heatmaps.device)
    kept = (draws[0] >= noise.drop_joint) & (draws[1, :, :1] >= noise.drop_all)
    factor = kept * (1 - noise.dim * draws[2])
    return heatmaps * factor[..., None, None]


def unrolled_loss(
    key: Callable[[Tensor], Tensor],
    followers: list[Callable[[Tensor, Tensor], Tensor]],
    batch: ClipBatch,
    generator: torch.Generator,
    rules: PassingOn = PassingOn(),
) -> Tensor:
    """Mean loss of all followers of a clip; the key network is frozen.

    `key` gives heatmaps of images; each follower gives raw output of images and the previous heatmaps.
    """
    with torch.no_grad():
        heatmaps = key(network_input(batch.key_crops))
    total = torch.zeros((), device=heatmaps.device)
    for step, follower in enumerate(followers):
        previous = carried(heatmaps, batch.rows[step], batch.columns[step])
        raw = follower(network_input(batch.crops[step]), spoilt(previous, rules.noise, generator))
        total = total + heatmap_loss(raw, batch.points_crop[step], batch.weights[step], rules.output)
        heatmaps = rules.heatmaps(raw)
    return total / len(followers)
