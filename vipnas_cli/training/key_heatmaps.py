"""The heatmaps that followers get of key frames in training: those of frozen key networks, or drawn from the labels.

Shapes: B batch, n clips of one view, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vipnas_cli.inference.frozen import FrozenKey, load_key
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, SIGMA_PER_ROW
from vipnas_cli.pose import COCO17
from vipnas_cli.training.clip_batches import KeyView
from vipnas_cli.training.losses import gaussian_targets
from vipnas_cli.training.options import KeyErrors
from vipnas_cli.training.start import RunPlan, compiled

# How far away a second peak stands on average, as a share of the crop's height.
GHOST_DISTANCE = 0.15


def frozen_keys(plan: RunPlan) -> tuple[FrozenKey, ...]:
    """The frozen key networks that a training names, on its device."""
    return frozen_networks(plan.keys, plan)


def frozen_networks(paths: Sequence[Path], plan: RunPlan) -> tuple[FrozenKey, ...]:
    """Frozen key networks of files, on the device of a training and compiled as it is."""
    return tuple(load_key(path, plan.device, lambda run: compiled(run, plan)) for path in paths)


def crop_sizes(keys: Sequence[FrozenKey]) -> tuple[tuple[int, int], ...]:
    """The crop (height, width) of each key network."""
    return tuple((key.plan.arch.height, key.plan.arch.width) for key in keys)


def realign_heatmaps(heatmaps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Heatmaps (B, K, h, w) re-aligned by row weights (B, h', h) and column weights (B, w', w)."""
    return rows[:, None] @ heatmaps @ columns.transpose(1, 2)[:, None]


@torch.no_grad()
def key_heatmaps(
    views: Sequence[KeyView], keys: Sequence[FrozenKey], errors: KeyErrors, generator: torch.Generator
) -> Tensor:
    """Heatmaps (B, K, h', w') of the key frames as the first follower finds them."""
    found = []
    for view in views:
        if view.key is None:
            size = view.crops.shape[1] // HEATMAP_STRIDE, view.crops.shape[2] // HEATMAP_STRIDE
            heatmaps = gaussian_targets(view.points_crop, *size) * (view.weights > 0)[..., None, None]
            heatmaps = distorted(heatmaps, errors, generator)
        else:
            heatmaps = keys[view.key](view.crops)
            if errors.spoiled:
                chosen = torch.rand(len(heatmaps), generator=generator) < errors.spoiled
                spoiled = distorted(heatmaps, errors, generator)
                heatmaps = torch.where(chosen.to(heatmaps.device)[:, None, None, None], spoiled, heatmaps)
        found.append(realign_heatmaps(heatmaps, view.rows, view.columns))
    return torch.cat(found)


def distorted(heatmaps: Tensor, errors: KeyErrors, generator: torch.Generator) -> Tensor:
    """Heatmaps (n, K, h, w) with errors as key networks make them, joint by joint; their widths clip by clip."""
    people, keypoints, rows, _ = heatmaps.shape
    device = heatmaps.device
    widths, *draws = (torch.rand(people, keypoints, generator=generator).to(device) for _ in range(5))
    moves, jumps = (torch.randn(people, keypoints, 2, generator=generator).to(device) for _ in range(2))
    # The power of a Gaussian is a Gaussian of another width with the same peak.
    power = torch.exp(2 * errors.width * (2 * widths[:, :1] - 1))[..., None, None]
    maps = exchanged(heatmaps.clamp(min=0) ** power, draws[0] < errors.exchanged)
    maps = shifted(maps, moves * errors.jitter * SIGMA_PER_ROW * rows)
    ghosts = shifted(maps, jumps * GHOST_DISTANCE * rows) * ((draws[1] < errors.ghosts) * draws[2])[..., None, None]
    return torch.maximum(maps, ghosts) * (draws[3] >= errors.missed)[..., None, None]


def exchanged(heatmaps: Tensor, chosen: Tensor) -> Tensor:
    """Heatmaps (n, K, h, w) with left and right exchanged where the first of a pair is `chosen` (n, K)."""
    places = torch.arange(heatmaps.shape[1], device=heatmaps.device)
    others = torch.tensor(COCO17.flip_order, device=heatmaps.device)
    order = torch.where(chosen[:, torch.minimum(places, others)], others, places)
    return heatmaps.gather(1, order[..., None, None].expand_as(heatmaps))


def shifted(heatmaps: Tensor, cells: Tensor) -> Tensor:
    """Heatmaps (n, K, h, w), each moved by whole cells (n, K, 2) across and down; what comes in is empty."""
    for axis, moves in ((3, cells[..., 0]), (2, cells[..., 1])):
        size = heatmaps.shape[axis]
        source = torch.arange(size, device=heatmaps.device) - moves.round().long()[..., None]
        inside = (source >= 0) & (source < size)
        shape = (*heatmaps.shape[:2], 1, size) if axis == 3 else (*heatmaps.shape[:2], size, 1)
        index = source.clamp(0, size - 1).view(shape).expand_as(heatmaps)
        heatmaps = heatmaps.gather(axis, index) * inside.view(shape)
    return heatmaps
