"""A foreign pose network inside a graph of our own: RGB bytes in, heatmaps on our grid out.

Everything that differs between publishers is done by nodes around the network: channel order, normalisation, layout,
the choice of keypoints, and where the centre of a cell lies. Shapes: P people, K keypoints, H, W crop pixels, h, w our
cells, g, f the network's rows and columns (of heatmaps or of its two distributions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper

from vipnas_cli.arrays import Reals
from vipnas_cli.foreign.around import IMAGENET, PREFIX, Colour, Nodes, Normalisation, operator_set
from vipnas_cli.inference.metadata import PEOPLE
from vipnas_cli.pose import COCO17, HeatmapCodec
from vipnas_cli.pose.geometry import PADDING
from vipnas_cli.pose.resampling import cubic_kernel

Matrix = NDArray[np.float32]
Grid = Literal["corner", "centre", "edges"]
Head = Literal["heatmaps", "simcc"]
# SimCC tells places by two distributions; as heatmaps they get the width that followers know, in cells of 64 rows.
SIMCC_SIGMA = 2.0


@dataclass(frozen=True)
class Signature:
    """What a network's inputs and outputs say: the crop's size, its layout, and what kind of head it has.

    `rows` and `columns` are those of heatmaps, or the lengths of the two distributions of SimCC; `outputs` are the
    heatmaps, or the distributions along x and y. `people` is False where one crop at a time is all it takes.
    """

    input: str
    outputs: tuple[str, ...]
    head: Head
    height: int
    width: int
    keypoints: int
    rows: int
    columns: int
    channels_last: bool = False
    dtype: int = TensorProto.FLOAT
    people: bool = True


@dataclass(frozen=True)
class Conventions:
    """What a file does not say: channel order, normalisation, where cells lie, the height of a sure peak, and how much
    larger than a person's box the crop is.

    `grid` tells at which crop pixel cell c of n has its centre, s being pixels per cell: `corner` at s c, `centre` at
    s c + (s - 1) / 2, `edges` at c (size - 1) / (n - 1). Heatmaps are multiplied by `gain`.
    """

    colour: Colour = "rgb"
    normalisation: Normalisation = IMAGENET
    grid: Grid = "corner"
    gain: float = 1.0
    padding: float = PADDING

    def to_json(self) -> dict[str, Any]:
        """The conventions as a file keeps them."""
        return {
            "colour": self.colour,
            "normalisation": {"mean": self.normalisation.mean, "std": self.normalisation.std},
            "grid": self.grid,
            "gain": self.gain,
            "padding": self.padding,
        }


def cell_centres(grid: Grid, cells: int, pixels: int) -> Reals:
    """The crop pixels (cells,) where a network's cells along one side have their centres."""
    step = pixels / cells
    if grid == "edges":
        return np.linspace(0, pixels - 1, cells)
    offset = (step - 1) / 2 if grid == "centre" else 0.0
    return np.asarray(np.arange(cells) * step + offset, np.float64)


def resampling(grid: Grid, cells: int, pixels: int) -> Matrix:
    """The matrix (own cells, cells) from values at a network's cells along one side to values at ours."""
    centres = cell_centres(grid, cells, pixels)
    codec = HeatmapCodec(pixels, pixels)
    ours = codec.to_crop(np.arange(pixels // codec.stride, dtype=np.float64))
    spacing = centres[1] - centres[0]
    # Finer maps are averaged down by a wider kernel.
    reach = max(spacing, codec.stride)
    weights = cubic_kernel((ours[:, None] - centres) / reach)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def blurring(grid: Grid, bins: int, pixels: int, sigma_pixels: float) -> Matrix:
    """The matrix (own cells, bins) from a distribution along one side to Gaussian bumps at our cells."""
    centres = cell_centres(grid, bins, pixels)
    codec = HeatmapCodec(pixels, pixels)
    ours = codec.to_crop(np.arange(pixels // codec.stride, dtype=np.float64))
    weights = np.exp(-((ours[:, None] - centres) ** 2) / (2 * sigma_pixels**2))
    return np.asarray(weights, np.float32)


def wrapped(model: Any, signature: Signature, conventions: Conventions) -> Any:
    """A model with input `images` (P, H, W, 3) uint8 RGB and output `heatmaps` (P, 17, h, w) around a foreign one.

    WeightsError if the operator set is too old for it.
    """
    operator_set(model)
    inner = compose.add_prefix(model, PREFIX)
    graph = _PoseNodes(inner.graph)
    graph.prepare(signature, conventions.colour, conventions.normalisation)
    if signature.head == "simcc":
        graph.draw(signature, conventions)
    else:
        graph.resample(signature, conventions)
    people = PEOPLE if signature.people else 1
    size = (signature.height, signature.width)
    codec = HeatmapCodec(*size)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, [people, *size, 3])
    shape = [people, len(COCO17.keypoints), codec.rows, codec.columns]
    heatmaps = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, shape)
    del inner.graph.input[:], inner.graph.output[:], inner.graph.value_info[:]
    inner.graph.input.append(images)
    inner.graph.output.append(heatmaps)
    # What the file said of itself is not true of the whole.
    del inner.metadata_props[:]
    inner.producer_name = "vipnas"
    onnx.checker.check_model(inner)
    return inner


class _PoseNodes(Nodes):
    """The nodes that make our heatmaps of what a pose network gives."""

    def resample(self, signature: Signature, conventions: Conventions) -> None:
        """Heatmaps (P, K, g, f) to ours (P, 17, h, w)."""
        found = self._chosen(PREFIX + signature.outputs[0], signature)
        rows = resampling(conventions.grid, signature.rows, signature.height) * np.float32(conventions.gain)
        columns = resampling(conventions.grid, signature.columns, signature.width)
        upright = self.after("MatMul", [self.constant(rows), found])
        across = self.after("MatMul", [upright, self.constant(np.ascontiguousarray(columns.T))])
        self.after("Relu", [across], "heatmaps")

    def draw(self, signature: Signature, conventions: Conventions) -> None:
        """Two distributions (P, K, f) and (P, K, g) to heatmaps (P, 17, h, w) as high as the geometric mean of both."""
        sigma = SIMCC_SIGMA / 64 * signature.height
        sides = []
        for name, bins, pixels in zip(
            signature.outputs, (signature.columns, signature.rows), (signature.width, signature.height), strict=True
        ):
            kernel = blurring(conventions.grid, bins, pixels, sigma).T.copy()
            found = self.after("Relu", [self._chosen(PREFIX + name, signature)])
            top = self.after("GlobalMaxPool", [found])
            bump = self.after("MatMul", [found, self.constant(kernel)])
            # Any width of distribution becomes a bump whose height is the distribution's.
            high = self.after(
                "Max", [self.after("GlobalMaxPool", [bump]), self.constant(np.array([1e-12], np.float32))]
            )
            height = self.after("Sqrt", [top])
            sides.append(self.after("Mul", [self.after("Div", [bump, high]), height]))
        codec = HeatmapCodec(signature.height, signature.width)
        count = len(COCO17.keypoints)
        wide = self.constant(np.array([-1, count, 1, codec.columns], np.int64))
        tall = self.constant(np.array([-1, count, codec.rows, 1], np.int64))
        across, down = (self.after("Reshape", [s, shape]) for s, shape in zip(sides, (wide, tall), strict=True))
        drawn = self.after("Mul", [down, across])
        self.after("Mul", [drawn, self.constant(np.array([conventions.gain], np.float32))], "heatmaps")

    def _chosen(self, name: str, signature: Signature) -> str:
        """The first 17 keypoints of an output, as fp32."""
        whole = self.after("Cast", [name], to=TensorProto.FLOAT)
        if signature.keypoints == len(COCO17.keypoints):
            return whole
        return self.after("Gather", [whole, self.constant(np.arange(len(COCO17.keypoints)))], axis=1)
