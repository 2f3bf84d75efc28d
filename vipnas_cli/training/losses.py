"""Losses on heatmaps, and the targets they compare with, rendered on the device.

Shapes: B batch, K keypoints, h, w heatmap cells.
"""

import torch
from torch import Tensor

from vipnas_cli.distributed import mean_over_ranks
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, SIGMA_PER_ROW, heatmaps_from_raw
from vipnas_cli.spec.families import Output


def gaussian_targets(points_crop: Tensor, rows: int, columns: int) -> Tensor:
    """Heatmaps (B, K, rows, columns) with peak 1 at points (B, K, 2) in crop pixels, σ as the codec has it."""
    cells = (points_crop + 0.5) / HEATMAP_STRIDE - 0.5
    sigma = SIGMA_PER_ROW * rows
    x = torch.arange(columns, device=cells.device, dtype=cells.dtype)
    y = torch.arange(rows, device=cells.device, dtype=cells.dtype)
    across = torch.exp(-((x - cells[..., 0, None]) ** 2) / (2 * sigma**2))
    down = torch.exp(-((y - cells[..., 1, None]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def position_cross_entropy(raw: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy between the softmax over positions and the normalised target, mean over weighted joints.

    raw and targets (B, K, h, w), weights (B, K).
    """
    log_probability = raw.flatten(2).log_softmax(-1)
    wanted = targets.flatten(2)
    wanted = wanted / wanted.sum(-1, keepdim=True).clamp(min=1e-6)
    per_joint = -(wanted * log_probability).sum(-1)
    return (per_joint * weights).sum() / mean_over_ranks(weights.sum()).clamp(min=1)


def mean_squared_error(raw: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The paper's loss (section 2.5): squared difference of heatmaps, per joint weighted, mean over all."""
    return ((raw - targets) ** 2 * weights[..., None, None]).mean()


def heatmap_loss(raw: Tensor, points_crop: Tensor, weights: Tensor, output: Output) -> Tensor:
    """The loss that belongs to the family's way from the last layer to heatmaps."""
    return distance(raw, gaussian_targets(points_crop, raw.shape[2], raw.shape[3]), weights, output)


def distance(raw: Tensor, targets: Tensor, weights: Tensor, output: Output) -> Tensor:
    """How far raw output (B, K, h, w) is from heatmaps (B, K, h, w), joints weighted (B, K), as the family learns."""
    if output == "softmax":
        return position_cross_entropy(raw, targets, weights)
    return mean_squared_error(heatmaps_from_raw(raw, output), targets, weights)
