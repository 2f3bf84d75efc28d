"""A foreign person detector inside a graph of our own: RGB bytes in, scores and boxes of candidates out.

Shapes: N candidates, C columns, H, W picture pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from vipnas_cli.arrays import Numbers
from vipnas_cli.foreign.around import IMAGENET, PREFIX, Colour, Nodes, Normalisation, operator_set
from vipnas_cli.pose.letterbox import Letterbox

# Two corners; middle and size; or middle and logarithm of the size in cells of a grid (YOLOX, Ge et al. 2021).
BoxForm = Literal["xyxy", "cxcywh", "grid"]
GRID_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class DetectorSignature:
    """What a detector's input says: its name, layout and type, and height and width, None where they are left open."""

    input: str
    size: tuple[int, int] | None
    channels_last: bool = False
    dtype: int = TensorProto.FLOAT


@dataclass(frozen=True)
class Reading:
    """Which outputs, and which of their columns, are boxes, scores and classes.

    The score is the product of `score_columns`, of the output itself where it has no columns (None). Where there are
    `labels`, only those of the class `person` count. `shares`: boxes are shares of the picture; `columns_first`: the
    output is (C, N); `logits`: scores go through a sigmoid.
    """

    boxes: str
    scores: str
    form: BoxForm = "xyxy"
    score_columns: tuple[int, ...] | None = None
    labels: str = ""
    label_column: int | None = None
    person: int = 0
    shares: bool = False
    columns_first: bool = False
    logits: bool = False

    def __str__(self) -> str:
        unit = "shares" if self.shares else "pixels"
        boxes = "cells of 8, 16, 32 pixels" if self.form == "grid" else f"{self.form} in {unit}"
        columns = "" if self.score_columns is None else f" columns {' × '.join(map(str, self.score_columns))}"
        labels = f", class {self.person} of {self.labels}" if self.labels else ""
        return f"boxes {boxes} in {self.boxes}, scores in {self.scores}{columns}{labels}"


@dataclass(frozen=True)
class DetectorConventions:
    """What a file does not say: channel order, normalisation, how a frame becomes a picture, how outputs are read.

    `believed` is the detector's own score from which it is right more often than not; scores are raised to `power`, so
    that they mean what those of our own detector do.
    """

    reading: Reading
    letterbox: Letterbox
    colour: Colour = "bgr"
    normalisation: Normalisation = IMAGENET
    believed: float = 0.5
    power: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """The conventions as a file keeps them."""
        return {
            "reading": asdict(self.reading),
            "letterbox": asdict(self.letterbox),
            "colour": self.colour,
            "normalisation": {"mean": self.normalisation.mean, "std": self.normalisation.std},
            "believed": self.believed,
            "power": self.power,
        }


def with_bytes(model: Any, signature: DetectorSignature, colour: Colour, normalisation: Normalisation) -> Any:
    """The model with the input `images` (1, H, W, 3) uint8 RGB; its outputs as they are, with PREFIX before them."""
    operator_set(model)
    inner = compose.add_prefix(model, PREFIX)
    Nodes(inner.graph).prepare(signature, colour, normalisation)
    height, width = signature.size or ("height", "width")
    del inner.graph.input[:], inner.graph.value_info[:]
    inner.graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, [1, height, width, 3]))
    # What the file said of itself is not true of the whole.
    del inner.metadata_props[:]
    inner.producer_name = "vipnas"
    return inner


def wrapped_detector(model: Any, signature: DetectorSignature, conventions: DetectorConventions) -> Any:
    """A model with the input `images` (1, H, W, 3) and outputs `scores` (1, 1, N) and `boxes` (1, 1, N, 4).

    Boxes are xyxy in picture pixels. WeightsError if the operator set is too old for it.
    """
    inner = with_bytes(model, signature, conventions.colour, conventions.normalisation)
    del inner.graph.output[:]
    _read(_DetectorNodes(inner.graph, "read"), conventions.reading, conventions.letterbox, conventions.power)
    onnx.checker.check_model(inner)
    return inner


def reader_of(reading: Reading, letterbox: Letterbox, types: dict[str, int], opset: int) -> Any:
    """A model that only reads: from raw outputs, of types by name (of TensorProto), to `scores` and `boxes`."""
    used = dict.fromkeys(name for name in (reading.boxes, reading.scores, reading.labels) if name)
    inputs = [helper.make_tensor_value_info(PREFIX + name, types[name], None) for name in used]
    graph = helper.make_graph([], "reader", inputs, [])
    _read(_DetectorNodes(graph, "read"), reading, letterbox, 1.0)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def grid_cells(height: int, width: int) -> Numbers:
    """Column, row and stride (N, 3) of the cells of all strides, row by row, as YOLOX lists them."""
    parts = []
    for stride in GRID_STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        parts.append(np.stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)], -1))
    return np.concatenate(parts).astype(np.float32)


def _read(graph: _DetectorNodes, reading: Reading, letterbox: Letterbox, power: float) -> None:
    """Adds what turns the raw outputs into `scores` and `boxes`, and names these as the outputs."""
    graph.read_scores(reading, power)
    graph.read_boxes(reading, letterbox)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, "candidates"])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 1, "candidates", 4])
    graph.graph.output.extend([scores, boxes])


class _DetectorNodes(Nodes):
    """The nodes that make boxes and scores of what a detector gives."""

    def read_scores(self, reading: Reading, power: float) -> None:
        """`scores` (1, 1, N) in 0–1."""
        columns = [None] if reading.score_columns is None else list(reading.score_columns)
        score = ""
        for column in columns:
            part = self._column(reading.scores, column, reading.columns_first)
            part = self.after("Sigmoid", [part]) if reading.logits else part
            score = self.after("Mul", [score, part]) if score else part
        if reading.labels:
            labels = self._column(reading.labels, reading.label_column, reading.columns_first)
            labels = self.after("Cast", [labels], to=TensorProto.INT64)
            meant = self.after("Equal", [labels, self.constant(np.array([reading.person], np.int64))])
            score = self.after("Mul", [score, self.after("Cast", [meant], to=TensorProto.FLOAT)])
        score = self.after("Relu", [score])
        self.after("Pow", [score, self.constant(np.array([power], np.float32))], "scores")

    def read_boxes(self, reading: Reading, letterbox: Letterbox) -> None:
        """`boxes` (1, 1, N, 4) xyxy in picture pixels."""
        if reading.form == "xyxy":
            boxes = self._columns(reading.boxes, [0, 1, 2, 3], reading.columns_first)
        else:
            middle = self._columns(reading.boxes, [0, 1], reading.columns_first)
            sides = self._columns(reading.boxes, [2, 3], reading.columns_first)
            if reading.form == "grid":
                height, width = letterbox.size or (letterbox.side, letterbox.side)
                cells = grid_cells(height, width)
                stride = self.constant(np.ascontiguousarray(cells[None, :, 2:]))
                middle = self.after("Add", [middle, self.constant(np.ascontiguousarray(cells[None, :, :2]))])
                middle = self.after("Mul", [middle, stride])
                sides = self.after("Mul", [self.after("Exp", [sides]), stride])
            half = self.after("Mul", [sides, self.constant(np.array([0.5], np.float32))])
            corners = [self.after(kind, [middle, half]) for kind in ("Sub", "Add")]
            boxes = self.after("Concat", corners, axis=2)
        if reading.shares:
            height, width = letterbox.size or (letterbox.side, letterbox.side)
            boxes = self.after("Mul", [boxes, self.constant(np.array([width, height] * 2, np.float32))])
        self.after("Reshape", [boxes, self.constant(np.array([1, 1, -1, 4], np.int64))], "boxes")

    def _column(self, name: str, column: int | None, columns_first: bool) -> str:
        """One column of an output, or all of one without columns, as fp32 (1, 1, N)."""
        whole = self.after("Cast", [PREFIX + name], to=TensorProto.FLOAT)
        if column is not None:
            chosen = self.constant(np.array([column], np.int64))
            whole = self.after("Gather", [whole, chosen], axis=-2 if columns_first else -1)
        return self.after("Reshape", [whole, self.constant(np.array([1, 1, -1], np.int64))])

    def _columns(self, name: str, columns: list[int], columns_first: bool) -> str:
        """Some columns of an output as fp32 (1, N, columns)."""
        whole = self.after("Cast", [PREFIX + name], to=TensorProto.FLOAT)
        chosen = self.constant(np.array(columns, np.int64))
        found = self.after("Gather", [whole, chosen], axis=-2 if columns_first else -1)
        if not columns_first:
            return self.after("Reshape", [found, self.constant(np.array([1, -1, len(columns)], np.int64))])
        rows = self.after("Reshape", [found, self.constant(np.array([1, len(columns), -1], np.int64))])
        return self.after("Transpose", [rows], perm=[0, 2, 1])
