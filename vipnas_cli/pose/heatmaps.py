"""Keypoints to heatmaps and back.

Shapes: P people, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import SpecError

Floats = NDArray[np.floating[Any]]
Decoding = Literal["quarter", "gaussian"]


@dataclass(frozen=True)
class HeatmapCodec:
    """Gaussian heatmaps of a crop of `height` × `width` pixels at stride 4.

    Cell (i, j) covers the 4 × 4 pixels around (4j + 1.5, 4i + 1.5), so that a mirrored crop has the mirrored heatmap.
    σ is 2 cells for 64 rows (paper section 1.4) and keeps its share of the crop at other sizes.
    """

    height: int
    width: int
    decoding: Decoding = "gaussian"
    stride: int = 4
    sigma_per_row: ClassVar[float] = 2 / 64

    def __post_init__(self) -> None:
        if self.height % self.stride or self.width % self.stride:
            raise SpecError(f"crop {self.height}×{self.width} is not a multiple of the heatmap stride {self.stride}")

    @property
    def rows(self) -> int:
        """Heatmap rows h."""
        return self.height // self.stride

    @property
    def columns(self) -> int:
        """Heatmap columns w."""
        return self.width // self.stride

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian in cells."""
        return self.sigma_per_row * self.rows

    def to_heatmap(self, points_crop: Floats) -> Floats:
        """Crop pixels (…, 2) in heatmap cells."""
        return (points_crop + 0.5) / self.stride - 0.5

    def to_crop(self, points_heatmap: Floats) -> Floats:
        """Heatmap cells (…, 2) in crop pixels."""
        return (points_heatmap + 0.5) * self.stride - 0.5

    def encode(self, points_crop: Floats) -> NDArray[np.float32]:
        """Gaussians (…, K, h, w) with peak 1 at points (…, K, 2); a point far outside gives zeros."""
        cells = self.to_heatmap(points_crop)[..., None]
        x = np.exp(-((np.arange(self.columns) - cells[..., 0, :]) ** 2) / (2 * self.sigma**2))
        y = np.exp(-((np.arange(self.rows) - cells[..., 1, :]) ** 2) / (2 * self.sigma**2))
        return (y[..., :, None] * x[..., None, :]).astype(np.float32)

    def decode(self, heatmaps: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (P, K, 2) in crop pixels and scores (P, K) in 0–1 from heatmaps (P, K, h, w).

        The score is the heatmap's mass within 2σ of the peak as a share of what a sure keypoint has there: of a softmax
        heatmap about the probability that the keypoint is there. Where the border cuts a Gaussian, its peak counts.
        """
        people, keypoints, rows, columns = heatmaps.shape
        flat = heatmaps.reshape(people, keypoints, rows * columns)
        best = flat.argmax(-1)
        heights = np.take_along_axis(flat, best[..., None], -1)[..., 0]
        peaks = np.stack([best % columns, best // columns], -1)
        shift = _gaussian_shift if self.decoding == "gaussian" else _quarter_shift
        cells = peaks + shift(heatmaps, peaks)
        scores = np.maximum(heights, self._mass(heatmaps, peaks))
        return self.to_crop(cells).astype(np.float32), np.clip(scores, 0, 1).astype(np.float32)

    def _mass(self, heatmaps: Floats, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sum of each heatmap (P, K) within 2σ of its peak, divided by that of a Gaussian of peak 1."""
        people, keypoints, rows, columns = heatmaps.shape
        reach = round(2 * self.sigma)
        around = _patches(heatmaps.reshape(-1, rows, columns), peaks.reshape(-1, 2), reach)
        profile = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * self.sigma**2)).sum()
        mass: NDArray[np.float64] = around.sum((1, 2)) / profile**2
        return mass.reshape(people, keypoints)


def _patches(maps: Floats, peaks: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
    """The cells (N, 2·reach + 1, 2·reach + 1) around a cell x, y of each map (N, h, w); 0 beyond the border."""
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    offsets = np.arange(2 * reach + 1)
    rows = peaks[:, 1, None, None] + offsets[:, None]
    columns = peaks[:, 0, None, None] + offsets
    patches: NDArray[np.float64] = padded[np.arange(len(maps))[:, None, None], rows, columns].astype(np.float64)
    return patches


def _gaussian_shift(heatmaps: Floats, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where a round Gaussian fitted to the 5 × 5 cells around each peak has its centre.

    log h = c + bx·x + by·y − k·(x² + y²) is linear in c, b, k; the squared height is the weight, as the logarithm's
    noise grows with 1/h. It does what DARK's Newton step does, without its blur, and up to the border.
    """
    people, keypoints, rows, columns = heatmaps.shape
    patches = _patches(heatmaps.reshape(-1, rows, columns), peaks.reshape(-1, 2), 2).reshape(-1, 25)
    x, y = np.tile(np.arange(-2.0, 3), 5), np.repeat(np.arange(-2.0, 3), 5)
    design = np.stack([np.ones(25), x, y, -(x**2 + y**2)], -1)
    top = np.maximum(patches.max(-1, keepdims=True), 1e-12)
    relative = np.maximum(patches, 0) / top
    weights = relative**2
    normal = np.einsum("nc,ci,cj->nij", weights, design, design) + 1e-9 * np.eye(4)
    target = np.einsum("nc,ci->ni", weights * np.log(np.maximum(relative, 1e-12)), design)
    _, slope_x, slope_y, curve = np.linalg.solve(normal, target[..., None])[..., 0].T
    good = curve > 1e-3
    step = np.stack([slope_x, slope_y], -1) / (2 * np.where(good, curve, 1))[:, None]
    # More than a cell away it is no refinement of this peak any more.
    return np.clip(np.where(good[:, None], step, 0), -1, 1).reshape(people, keypoints, 2)


def _quarter_shift(heatmaps: Floats, peaks: NDArray[np.int64]) -> NDArray[np.float64]:
    """A quarter cell towards the higher neighbour, per axis, inside the border (paper section 7)."""
    people, keypoints, rows, columns = heatmaps.shape
    patches = _patches(heatmaps.reshape(-1, rows, columns), peaks.reshape(-1, 2), 2)
    step = np.stack([patches[:, 2, 3] - patches[:, 2, 1], patches[:, 3, 2] - patches[:, 1, 2]], -1)
    inside = (peaks.reshape(-1, 2) > 0) & (peaks.reshape(-1, 2) < np.array([columns, rows]) - 1)
    return np.where(inside, 0.25 * np.sign(step), 0).reshape(people, keypoints, 2)
