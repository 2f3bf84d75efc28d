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
from onnx import TensorProto, compose, helper, numpy_helper

from vipnas_cli.arrays import Reals
from vipnas_cli.errors import WeightsError
from vipnas_cli.pose import COCO17, HeatmapCodec
from vipnas_cli.pose.resampling import cubic_kernel
from vipnas_cli.spec.families import IMAGENET_MEAN, IMAGENET_STD

Matrix = NDArray[np.float32]
Grid = Literal["corner", "centre", "edges"]
Head = Literal["heatmaps", "simcc"]
Colour = Literal["rgb", "bgr"]
# What the parts of a foreign graph are called inside ours.
PREFIX = "network/"
# SimCC tells places by two distributions; as heatmaps they get the width that followers know, in cells of 64 rows.
SIMCC_SIGMA = 2.0


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each byte of red, green and blue, and what the rest is divided by."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalisation("imagenet", IMAGENET_MEAN, IMAGENET_STD)
UNIT = Normalisation("0..1", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
SIGNED = Normalisation("-1..1", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
BYTES = Normalisation("0..255", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
NORMALISATIONS = (IMAGENET, UNIT, SIGNED, BYTES)


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
    """What a file does not say: channel order, normalisation, where cells lie, and the height of a sure peak.

    `grid` tells at which crop pixel cell c of n has its centre, s being pixels per cell: `corner` at s c, `centre` at
    s c + (s - 1) / 2, `edges` at c (size - 1) / (n - 1). Heatmaps are multiplied by `gain`.
    """

    colour: Colour = "rgb"
    normalisation: Normalisation = IMAGENET
    grid: Grid = "corner"
    gain: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The conventions as a file keeps them."""
        return {
            "colour": self.colour,
            "normalisation": {"mean": self.normalisation.mean, "std": self.normalisation.std},
            "grid": self.grid,
            "gain": self.gain,
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
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < 11:
        raise WeightsError(f"the network is written for ONNX operator set {opset}", "export it with 11 or newer")
    inner = compose.add_prefix(model, PREFIX)
    graph = _Nodes(inner.graph)
    graph.prepare(signature, conventions)
    if signature.head == "simcc":
        graph.draw(signature, conventions)
    else:
        graph.resample(signature, conventions)
    people = "people" if signature.people else 1
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


class _Nodes:
    """Adds nodes and constants around a graph, in place."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self._count = 0

    def constant(self, values: NDArray[Any]) -> str:
        self._count += 1
        name = f"around/{self._count}"
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> Any:
        self._count += 1
        return helper.make_node(
            kind, inputs, [name or f"around/{self._count}"], f"around/node{self._count}", **attributes
        )

    def prepare(self, signature: Signature, conventions: Conventions) -> None:
        """RGB bytes (P, H, W, 3) to what the network takes."""
        first = [self.node("Cast", ["images"], to=TensorProto.FLOAT)]
        if conventions.colour == "bgr":
            order = self.constant(np.array([2, 1, 0], np.int64))
            first.append(self.node("Gather", [first[-1].output[0], order], axis=3))
        # Mean and deviation are those of red, green and blue, whichever comes first.
        turn = slice(None, None, -1) if conventions.colour == "bgr" else slice(None)
        mean = np.array(conventions.normalisation.mean, np.float32)[turn]
        share = 1 / np.array(conventions.normalisation.std, np.float32)[turn]
        if mean.any():
            first.append(self.node("Sub", [first[-1].output[0], self.constant(mean.copy())]))
        if (share != 1).any():
            first.append(self.node("Mul", [first[-1].output[0], self.constant(share.copy())]))
        if not signature.channels_last:
            first.append(self.node("Transpose", [first[-1].output[0]], perm=[0, 3, 1, 2]))
        last = self.node("Cast", [first[-1].output[0]], PREFIX + signature.input, to=signature.dtype)
        self._before([*first, last])

    def resample(self, signature: Signature, conventions: Conventions) -> None:
        """Heatmaps (P, K, g, f) to ours (P, 17, h, w)."""
        found = self._chosen(PREFIX + signature.outputs[0], signature)
        rows = resampling(conventions.grid, signature.rows, signature.height) * np.float32(conventions.gain)
        columns = resampling(conventions.grid, signature.columns, signature.width)
        upright = self._after("MatMul", [self.constant(rows), found])
        across = self._after("MatMul", [upright, self.constant(np.ascontiguousarray(columns.T))])
        self._after("Relu", [across], "heatmaps")

    def draw(self, signature: Signature, conventions: Conventions) -> None:
        """Two distributions (P, K, f) and (P, K, g) to heatmaps (P, 17, h, w) as high as the geometric mean of both."""
        sigma = SIMCC_SIGMA / 64 * signature.height
        sides = []
        for name, bins, pixels in zip(
            signature.outputs, (signature.columns, signature.rows), (signature.width, signature.height), strict=True
        ):
            kernel = blurring(conventions.grid, bins, pixels, sigma).T.copy()
            found = self._after("Relu", [self._chosen(PREFIX + name, signature)])
            top = self._after("GlobalMaxPool", [found])
            bump = self._after("MatMul", [found, self.constant(kernel)])
            # Any width of distribution becomes a bump whose height is the distribution's.
            high = self._after(
                "Max", [self._after("GlobalMaxPool", [bump]), self.constant(np.array([1e-12], np.float32))]
            )
            height = self._after("Sqrt", [top])
            sides.append(self._after("Mul", [self._after("Div", [bump, high]), height]))
        codec = HeatmapCodec(signature.height, signature.width)
        count = len(COCO17.keypoints)
        wide = self.constant(np.array([-1, count, 1, codec.columns], np.int64))
        tall = self.constant(np.array([-1, count, codec.rows, 1], np.int64))
        across, down = (self._after("Reshape", [s, shape]) for s, shape in zip(sides, (wide, tall), strict=True))
        drawn = self._after("Mul", [down, across])
        self._after("Mul", [drawn, self.constant(np.array([conventions.gain], np.float32))], "heatmaps")

    def _chosen(self, name: str, signature: Signature) -> str:
        """The first 17 keypoints of an output, as fp32."""
        whole = self._after("Cast", [name], to=TensorProto.FLOAT)
        if signature.keypoints == len(COCO17.keypoints):
            return whole
        return self._after("Gather", [whole, self.constant(np.arange(len(COCO17.keypoints)))], axis=1)

    def _before(self, nodes: list[Any]) -> None:
        own = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*nodes, *own])

    def _after(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        node = self.node(kind, inputs, name, **attributes)
        self.graph.node.append(node)
        result: str = node.output[0]
        return result
