"""The decoding of heatmaps as part of an exported graph, for runtimes that know nothing of this package.

Shapes: P people, K keypoints, h, w heatmap cells, R = 2·reach + 1.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError
from vipnas_cli.onnx.parity import Floats, stands_out
from vipnas_cli.pose import HeatmapCodec

POINT_TOLERANCE = 0.05
SCORE_TOLERANCE = 1e-3
_FIT_REACH = 2
# Peaks of one or two cells alone leave the fit open; in fp32 less than this does not close it.
_RIDGE = 1e-5


class GraphDecoder(nn.Module):
    """What HeatmapCodec.decode does with its Gaussian fit, in operations that every runtime has, in fp32."""

    def __init__(self, codec: HeatmapCodec) -> None:
        super().__init__()
        self.codec = codec
        self.reach = round(2 * codec.sigma)
        axis = torch.arange(-_FIT_REACH, _FIT_REACH + 1, dtype=torch.float32)
        x, y = axis.repeat(len(axis)), axis.repeat_interleave(len(axis))
        self.register_buffer("design", torch.stack([torch.ones_like(x), x, y, -(x**2 + y**2)]), persistent=False)

    def forward(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Points (P, K, 2) in crop pixels and scores (P, K) of heatmaps (P, K, h, w)."""
        codec = self.codec
        flat = heatmaps.flatten(2)
        best = flat.argmax(-1, keepdim=True)
        row = torch.div(best, codec.columns, rounding_mode="floor")
        column = best - row * codec.columns
        cell = torch.cat([column, row], -1).float() + self._shift(_window(heatmaps, row, column, _FIT_REACH))
        points = (cell + 0.5) * codec.stride - 0.5
        steps = np.arange(-self.reach, self.reach + 1)
        profile = float(np.exp(-(steps**2) / (2 * codec.sigma**2)).sum())
        mass = _window(heatmaps, row, column, self.reach).sum(-1) / profile**2
        return points, torch.maximum(flat.amax(-1), mass).clamp(0, 1)

    def _shift(self, patches: Tensor) -> Tensor:
        """Where a round Gaussian fitted to patches (P, K, 25) has its centre, (P, K, 2) cells from theirs."""
        top = patches.amax(-1, keepdim=True).clamp(min=1e-12)
        relative = patches.clamp(min=0) / top
        weights = relative**2
        target = weights * relative.clamp(min=1e-12).log()
        design = list(self.get_buffer("design"))
        normal = [[(weights * a * b).sum(-1) for b in design] for a in design]
        right = [(target * a).sum(-1) for a in design]
        _, slope_x, slope_y, curve = _solve(normal, right)
        good = curve > 1e-3
        step = torch.stack([slope_x, slope_y], -1) / (2 * torch.where(good, curve, torch.ones_like(curve)))[..., None]
        return torch.where(good[..., None], step, torch.zeros_like(step)).clamp(-1, 1)


def _window(heatmaps: Tensor, row: Tensor, column: Tensor, reach: int) -> Tensor:
    """The cells (P, K, R·R) around a cell (P, K, 1) of each heatmap; 0 beyond the border."""
    padded = F.pad(heatmaps, (reach, reach, reach, reach))
    across = heatmaps.shape[3] + 2 * reach
    offsets = torch.arange(2 * reach + 1)
    around = (offsets[:, None] * across + offsets).flatten()
    return padded.flatten(2).gather(2, row * across + column + around)


def _solve(normal: list[list[Tensor]], right: list[Tensor]) -> list[Tensor]:
    """The solution of symmetric positive linear equations, by elimination without pivots."""
    count = len(right)
    rows = [list(row) for row in normal]
    values = list(right)
    for i in range(count):
        rows[i][i] = rows[i][i] + _RIDGE
    for i in range(count):
        for j in range(i + 1, count):
            factor = rows[j][i] / rows[i][i]
            for k in range(i + 1, count):
                rows[j][k] = rows[j][k] - factor * rows[i][k]
            values[j] = values[j] - factor * values[i]
    solution: list[Tensor] = [values[0]] * count
    for i in reversed(range(count)):
        known = values[i]
        for k in range(i + 1, count):
            known = known - rows[i][k] * solution[k]
        solution[i] = known / rows[i][i]
    return solution


def _has_shape(heatmaps: Floats) -> NDArray[np.bool_]:
    """Which heatmaps (P, K, h, w) have a peak wider than its cell both ways; else the fit is up to the last digits."""
    people, keypoints, _, columns = heatmaps.shape
    row, column = np.divmod(heatmaps.reshape(people, keypoints, -1).argmax(-1), columns)
    padded = np.pad(heatmaps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    person, keypoint = np.ogrid[:people, :keypoints]
    up, left, peak, right, down = (
        padded[person, keypoint, row + 1 + y, column + 1 + x] for y, x in ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))
    )
    return np.asarray(np.minimum(np.maximum(up, down), np.maximum(left, right)) >= 0.05 * peak)


def check_decoded(name: str, found: tuple[Floats, Floats, Floats] | tuple[Floats, ...], codec: HeatmapCodec) -> None:
    """WeightsError if points and scores of a graph are not those that HeatmapCodec finds in its heatmaps."""
    heatmaps, points, scores = found
    wanted, wanted_scores = codec.decode(heatmaps)
    moved = np.linalg.norm(points - wanted, axis=-1)[stands_out(heatmaps, 0) & _has_shape(heatmaps)].max(initial=0)
    changed = np.abs(scores - wanted_scores).max()
    if not (moved <= POINT_TOLERANCE and changed <= SCORE_TOLERANCE):
        raise WeightsError(
            f"{name} was not written: decoded in its graph, points differ by {moved:.2g} crop pixels and scores by "
            f"{changed:.2g}",
            "report it",
        )
