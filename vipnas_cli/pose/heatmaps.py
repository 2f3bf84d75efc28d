"""Keypoints to heatmaps and back.

Shapes: P people, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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

    @classmethod
    def of(cls, heatmaps: Floats) -> HeatmapCodec:
        """The codec of the crops that heatmaps (…, h, w) are of."""
        rows, columns = heatmaps.shape[-2:]
        return cls(rows * cls.stride, columns * cls.stride)

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
        points, scores = self._read(*self._peaks(heatmaps))
        return points.reshape(*heatmaps.shape[:2], 2), scores.reshape(heatmaps.shape[:2])

    def points(self, heatmaps: Floats) -> NDArray[np.float32]:
        """The points (P, K, 2) of `decode` alone."""
        maps, cells = self._peaks(heatmaps)
        places = self._places(cells)
        return self._points(places, _patches(maps, places, 2)).reshape(*heatmaps.shape[:2], 2)

    def decode_near(
        self, heatmaps: Floats, points_crop: Floats, reach: Floats
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (N, 2) and scores (N,) as in `decode` of the best cell of each map (N, h, w) near a point (N, 2).

        Cells within `reach` (N,) crop pixels count, the less the farther away they are; without any, the score is 0.
        """
        cells, reach = self.to_heatmap(points_crop).astype(np.float64), np.asarray(reach, np.float64) / self.stride
        (y, tops), (x, lefts) = (
            _near_cells(cells[:, 1], reach, self.rows),
            _near_cells(cells[:, 0], reach, self.columns),
        )
        maps = heatmaps.reshape(len(heatmaps), -1)
        around = maps[np.arange(len(maps))[:, None, None], tops[:, :, None] * self.columns + lefts[:, None]]
        distances = (x[:, None] ** 2 + y[:, :, None] ** 2) / reach[:, None, None] ** 2
        # Two standard deviations lie within reach.
        near = np.where(distances <= 1, np.exp(-2 * distances), 0) * np.maximum(around, 0)
        rows, columns = np.divmod(near.reshape(len(near), -1).argmax(-1), near.shape[2])
        each = np.arange(len(near))
        points, scores = self._read(heatmaps, tops[each, rows] * self.columns + lefts[each, columns])
        return points, np.where(near[each, rows, columns] > 0, scores, 0).astype(np.float32)

    def near(self, points_crop: Floats, reach: Floats) -> NDArray[np.float64]:
        """Squared distances (N, h, w) of all cells from points (N, 2), in units of `reach` (N,) crop pixels."""
        cells = self.to_heatmap(points_crop).astype(np.float64)
        x, y = np.arange(self.columns) - cells[:, :1], np.arange(self.rows) - cells[:, 1:]
        distances: NDArray[np.float64] = x[:, None] ** 2 + y[:, :, None] ** 2
        return distances / (np.asarray(reach, np.float64)[:, None, None] / self.stride) ** 2

    @property
    def _reach(self) -> int:
        """Cells of two standard deviations."""
        return round(2 * self.sigma)

    def _peaks(self, heatmaps: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Heatmaps (P, K, h, w) as maps (P · K, h, w), and the number of the highest cell of each."""
        flat = heatmaps.reshape(-1, self.rows * self.columns)
        return flat.reshape(-1, self.rows, self.columns), flat.argmax(-1)

    def _read(self, maps: Floats, cells: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (N, 2) and scores (N,) at one cell (N,) of each map (N, h, w)."""
        places, reach = self._places(cells), self._reach
        around = _patches(maps, places, max(reach, 2))
        return self._points(places, _centre(around, 2)), self._scores(_centre(around, reach))

    def _points(self, places: NDArray[np.int64], around: NDArray[np.float64]) -> NDArray[np.float32]:
        """Points (N, 2) in crop pixels at cells (N, 2) with 5 × 5 cells (N, 5, 5) around them."""
        if self.decoding == "gaussian":
            shift = _gaussian_shift(around)
        else:
            shift = _quarter_shift(around, places, (self.rows, self.columns))
        return self.to_crop(places + shift).astype(np.float32)

    def _scores(self, around: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores (N,) of cells with those (N, s, s) around them that are within two standard deviations."""
        mass, heights = around.sum((1, 2)) / _profile(self._reach, self.sigma) ** 2, around[:, self._reach, self._reach]
        scores: NDArray[np.float32] = np.minimum(np.maximum(heights, np.maximum(mass, 0)), 1).astype(np.float32)
        return scores

    def _places(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Column and row (N, 2) of cells (N,) of flat maps."""
        places = np.empty((len(cells), 2), np.int64)
        np.divmod(cells, self.columns, out=(places[:, 1], places[:, 0]))
        return places


@lru_cache(maxsize=8)
def _profile(reach: int, sigma: float) -> float:
    """The sum of a Gaussian of peak 1 over the cells of one axis within reach."""
    return float(np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).sum())


def _near_cells(
    places: NDArray[np.float64], reach: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Along an axis of so many cells, as many (N, s) as hold those within reach (N,) of places (N,): how far they are
    off, and which they are."""
    size = min(int(2 * reach.max(initial=0)) + 1, cells)
    first = np.clip(np.ceil(places - reach), 0, cells - size).astype(np.int64)
    near = first[:, None] + np.arange(size)
    return near - places[:, None], near


# Column and row of the 5 × 5 cells around a peak, and the terms of a round Gaussian's logarithm there (25, 4).
_X, _Y = np.tile(np.arange(-2.0, 3), 5), np.repeat(np.arange(-2.0, 3), 5)
_TERMS = np.stack([np.ones(25), _X, _Y, -(_X**2 + _Y**2)], -1)
_PRODUCTS = (_TERMS[:, :, None] * _TERMS[:, None]).reshape(25, 16)
_RIDGE = 1e-9 * np.eye(4)[..., None]


def _patches(maps: Floats, peaks: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
    """The cells (N, 2·reach + 1, 2·reach + 1) around a cell x, y of each map (N, h, w); 0 beyond the border."""
    count, rows, columns = maps.shape
    offsets = np.arange(-reach, reach + 1)
    y, x = peaks[:, 1, None] + offsets, peaks[:, 0, None] + offsets
    near_y, near_x = np.minimum(np.maximum(y, 0), rows - 1), np.minimum(np.maximum(x, 0), columns - 1)
    starts = np.arange(0, count * rows * columns, rows * columns)[:, None] + near_y * columns
    patches: NDArray[np.float64] = maps.reshape(-1)[starts[:, :, None] + near_x[:, None]].astype(np.float64)
    patches *= (y == near_y)[:, :, None]
    patches *= (x == near_x)[:, None]
    return patches


def _centre(patches: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """The inner cells (N, 2·reach + 1, 2·reach + 1) of patches (N, s, s) that reach at least as far."""
    cut = patches.shape[1] // 2 - reach
    return patches[:, cut : patches.shape[1] - cut, cut : patches.shape[2] - cut]


def _gaussian_shift(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where (N, 2) a round Gaussian fitted to the 5 × 5 cells (N, 5, 5) around each peak has its centre.

    log h = c + bx·x + by·y − k·(x² + y²) is linear in c, b, k; the squared height is the weight, as the logarithm's
    noise grows with 1/h. It does what DARK's Newton step does, without its blur, and up to the border.
    """
    cells = patches.reshape(-1, 25)
    relative = np.maximum(cells, 0) / np.maximum(cells.max(-1, keepdims=True), 1e-12)
    weights = relative**2
    system = np.empty((4, 5, len(cells)))
    system[:, :4] = (weights @ _PRODUCTS).T.reshape(4, 4, -1) + _RIDGE
    system[:, 4] = ((weights * np.log(np.maximum(relative, 1e-12))) @ _TERMS).T
    slopes, curve = _slopes_and_curve(system)
    good = curve > 1e-3
    step = np.where(good, slopes, 0) / (2 * np.where(good, curve, 1))
    # More than a cell away it is no refinement of this peak any more.
    shift: NDArray[np.float64] = np.minimum(np.maximum(step, -1), 1).T
    return shift


def _slopes_and_curve(system: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """bx and by (2, N) and k (N,) of normal equations (4, 5, N) of c, bx, by, k with their right sides; overwritten.

    Elimination, all fits at once, and without exchanging rows: the equations are symmetric and positive definite.
    """
    for row in range(3):
        system[row + 1 :] -= system[row + 1 :, row : row + 1] / system[row, row] * system[row]
    curve = system[3, 4] / system[3, 3]
    slopes = np.empty((2, system.shape[2]))
    slopes[1] = (system[2, 4] - system[2, 3] * curve) / system[2, 2]
    slopes[0] = (system[1, 4] - system[1, 3] * curve - system[1, 2] * slopes[1]) / system[1, 1]
    return slopes, curve


def _quarter_shift(
    patches: NDArray[np.float64], peaks: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """A quarter cell (N, 2) towards the higher neighbour, per axis, inside the border (paper section 7)."""
    step = np.stack([patches[:, 2, 3] - patches[:, 2, 1], patches[:, 3, 2] - patches[:, 1, 2]], -1)
    inside = (peaks > 0) & (peaks < np.array(size[::-1]) - 1)
    return np.where(inside, 0.25 * np.sign(step), 0)
