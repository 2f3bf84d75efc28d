"""Heatmaps of one crop as another crop of the same person sees them.

Shapes: P people, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Numbers
from vipnas_cli.errors import SpecError
from vipnas_cli.pose.geometry import CropTransform, between
from vipnas_cli.pose.heatmaps import HeatmapCodec


def interpolation_weights(
    scale: NDArray[np.float64], offset: NDArray[np.float64], source_cells: int, target_cells: int
) -> NDArray[np.float32]:
    """Bilinear sampling along one axis as matrices (…, target_cells, source_cells); outside the source is zero.

    Target cell i takes its value at source position scale · i + offset; scale and offset are (…).
    """
    # Rounding takes away what inverting matrices adds, so that a crop that stayed gives weights of exactly 0 and 1.
    positions = np.round(scale[..., None] * np.arange(target_cells) + offset[..., None], 9).astype(np.float32)
    weights = positions[..., None] - np.arange(source_cells, dtype=np.float32)
    # In place, as these are as many numbers as all of the heatmaps.
    np.abs(weights, out=weights)
    np.subtract(1, weights, out=weights)
    return np.maximum(weights, 0, out=weights)


def realignment_weights(
    sources: Sequence[CropTransform], targets: Sequence[CropTransform], moves_frame: Numbers | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Row weights (P, h', h) and column weights (P, w', w) that carry heatmaps of `sources` to `targets`.

    With moves (P, K, 2) of each keypoint in the frame meanwhile they are (P, K, h', h) and (P, K, w', w). All sources
    are of one size and all targets of one size. The crops of a pair may differ in place and scale but not in rotation
    or mirroring; SpecError otherwise.
    """
    found = np.array([_look_up(source, target) for source, target in zip(sources, targets, strict=True)])
    scales, shifts = found[:, :2], found[:, 2:]
    old, new = (HeatmapCodec(crops[0].height, crops[0].width) for crops in (sources, targets))
    if moves_frame is not None:
        before = np.array([source.scale for source in sources])
        scales, shifts = scales[:, None], shifts[:, None] - moves_frame * before[:, None, None]
    origins = np.asarray(old.to_heatmap(new.to_crop(np.zeros(2)) * scales + shifts), np.float64)
    scales = np.broadcast_to(scales, origins.shape)
    return (
        interpolation_weights(scales[..., 1], origins[..., 1], old.rows, new.rows),
        interpolation_weights(scales[..., 0], origins[..., 0], old.columns, new.columns),
    )


def _look_up(source: CropTransform, target: CropTransform) -> tuple[float, float, float, float]:
    """Where in the source a target pixel looks: at scale · pixel + shift; scales along x and y, then shifts."""
    (across, turned, x), (turned_back, down, y) = between(target, source).tolist()
    if max(abs(turned), abs(turned_back)) > 1e-6:
        raise SpecError("heatmaps cannot be carried between crops that are rotated against each other")
    return across, down, x, y


def realign(
    heatmaps: NDArray[np.float32],
    sources: Sequence[CropTransform],
    targets: Sequence[CropTransform],
    moves_frame: Numbers | None = None,
) -> NDArray[np.float32]:
    """Heatmaps (P, K, h, w) of the crops `sources` as heatmaps (P, K, h', w') of the crops `targets`.

    moves_frame (P, K, 2): how far each keypoint moved in the frame meanwhile.
    """
    rows, columns = realignment_weights(sources, targets, moves_frame)
    if moves_frame is None:
        rows, columns = rows[:, None], columns[:, None]
    carried: NDArray[np.float32] = np.matmul(np.matmul(rows, heatmaps), columns.swapaxes(2, 3))
    return carried
