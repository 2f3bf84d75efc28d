"""What the input and outputs of a foreign detector say, or a sentence on what was found instead.

Shapes: N candidates, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from vipnas_cli.errors import WeightsError
from vipnas_cli.foreign.detector_graph import BoxForm, DetectorSignature, Reading, grid_cells

UNDERSTOOD = (
    "understood are detectors with one picture as input, (1, 3, height, width) or channels last, and as outputs boxes "
    "with a score (dets and labels of mmdeploy), boxes, scores and labels apart, the rows of YOLO with a score for "
    "each class, or the raw grid of YOLOX; a person is class 0 or 1"
)
LARGEST_SIDE = 2048
# COCO counts people as 0, or as 1 where 0 is the background.
PEOPLE = (0, 1)
BOX, BOX_SCORE = 4, 5
# A table of fewer columns than rows, and of at least so many columns, has its candidates side by side.
SIDE_BY_SIDE = 100
# Boxes whose largest edge is below this are shares of the picture.
LARGEST_SHARE = 2.0


@dataclass(frozen=True)
class RawOutput:
    """An output of a detector for each of several pictures; `arrays` without the batch dimension."""

    name: str
    arrays: tuple[NDArray[Any], ...]

    @property
    def columns(self) -> int:
        """Columns of a table (N, C); 0 of a list (N,)."""
        return self.arrays[0].shape[-1] if self.arrays[0].ndim == 2 else 0

    @property
    def rows(self) -> set[int]:
        """The numbers of candidates."""
        return {len(array) for array in self.arrays}

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers, as those of classes are."""
        return all(np.equal(np.mod(array, 1), 0).all() for array in self.arrays)


def read_input(model: Any, name: str) -> DetectorSignature:
    """The input of an ONNX detector; WeightsError says what was found and what is understood."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise WeightsError(f"{name} has {len(inputs)} inputs: {', '.join(v.name for v in inputs)}", UNDERSTOOD)
    kind = inputs[0].type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    shown = "x".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
    if len(dims) != 4 or 3 not in (dims[1], dims[3]) or dims[0] > 1:
        raise WeightsError(f"{name} takes {inputs[0].name} of shape {shown}", UNDERSTOOD)
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        raise WeightsError(f"{name} takes numbers of type {TensorProto.DataType.Name(kind.elem_type)}", UNDERSTOOD)
    last = dims[1] != 3
    height, width = dims[1:3] if last else dims[2:4]
    if max(height, width) > LARGEST_SIDE:
        raise WeightsError(f"{name} takes pictures of {height}x{width}", f"sides are at most {LARGEST_SIDE}")
    return DetectorSignature(inputs[0].name, (height, width) if height and width else None, last, kind.elem_type)


def raw_outputs(names: Sequence[str], runs: Sequence[Sequence[NDArray[Any]]]) -> tuple[RawOutput, ...]:
    """The outputs of several runs without their batch dimension; counts of detections are left out."""
    found = []
    for index, name in enumerate(names):
        arrays = [np.asarray(run[index]) for run in runs]
        if all(array.ndim > 1 and len(array) == 1 for array in arrays):
            arrays = [array[0] for array in arrays]
        if all(array.ndim in (1, 2) for array in arrays) and any(array.size > 1 for array in arrays):
            found.append(RawOutput(name, tuple(arrays)))
    return tuple(found)


def readings(
    outputs: Sequence[RawOutput], size: tuple[int, int], person: int | None, name: str, told: str
) -> tuple[Reading, ...]:
    """All ways in which outputs for pictures of a size (height, width) can be read; WeightsError if there is none.

    `person` is the class that means people, None to try the usual ones; `told` the shapes of all outputs.
    """
    people = PEOPLE if person is None else (person,)
    found = [*_tables(outputs, size, people), *_apart(outputs, people)]
    if not found:
        raise WeightsError(f"the outputs of {name} are {told}", UNDERSTOOD)
    return tuple(_as_valued(reading, {output.name: output for output in outputs}) for reading in found)


def _tables(outputs: Sequence[RawOutput], size: tuple[int, int], people: Sequence[int]) -> Iterator[Reading]:
    """Readings of one table with boxes and scores, and perhaps a list of classes beside it."""
    tables = [output for output in outputs if output.columns >= BOX_SCORE]
    labels = [output for output in outputs if not output.columns and output.whole]
    if len(tables) != 1:
        return
    table, columns = tables[0], tables[0].columns
    rows = {array.shape[0] for array in table.arrays}
    if max(rows) < columns and columns >= SIDE_BY_SIDE:
        (channels,) = rows if len(rows) == 1 else (0,)
        classes = people if channels > BOX_SCORE else people[:1]
        for person in classes if channels >= BOX_SCORE else ():
            yield Reading(table.name, table.name, "cxcywh", (BOX + person,), columns_first=True, person=person)
        return
    forms: tuple[BoxForm, ...] = ("xyxy", "cxcywh")
    if columns == BOX_SCORE:
        for form in forms:
            if not labels:
                yield Reading(table.name, table.name, form, (BOX,))
            for person in people if labels else ():
                yield Reading(table.name, table.name, form, (BOX,), labels[0].name, person=person)
        return
    if columns == BOX_SCORE + 1:
        # Score and class of what the network has suppressed already.
        for person in people:
            yield Reading(table.name, table.name, "xyxy", (BOX,), table.name, BOX_SCORE, person)
    classes = people if columns > BOX_SCORE + 1 else people[:1]
    grid = len(grid_cells(*size))
    for form, person in ((f, p) for f in ("cxcywh", "grid") for p in classes):
        if form == "cxcywh" or rows == {grid}:
            # A class at a place counts as far as anything is there at all.
            yield Reading(table.name, table.name, form, (BOX, BOX_SCORE + person), person=person)


def _apart(outputs: Sequence[RawOutput], people: Sequence[int]) -> Iterator[Reading]:
    """Readings of boxes (N, 4) with scores (N,) and classes (N,), or with scores (N, C) of each class."""
    boxes = [output for output in outputs if output.columns == BOX]
    if len(boxes) != 1:
        return
    name, rows = boxes[0].name, boxes[0].rows
    beside = [output for output in outputs if output is not boxes[0] and output.rows == rows]
    lists = [output for output in beside if not output.columns]
    labels = [output for output in lists if output.whole]
    scores = [output for output in lists if not output.whole]
    forms: tuple[BoxForm, ...] = ("xyxy", "cxcywh")
    for form in forms:
        if len(scores) == 1:
            for person in people if labels else people[:1]:
                yield Reading(name, scores[0].name, form, labels=labels[0].name if labels else "", person=person)
        for table in (output for output in beside if output.columns):
            for person in (person for person in people if person < table.columns):
                yield Reading(name, table.name, form, (person,), person=person)


def _as_valued(reading: Reading, outputs: dict[str, RawOutput]) -> Reading:
    """The reading with what the values tell: whether boxes are shares of the picture, and scores logits."""
    axis = -2 if reading.columns_first else -1
    boxes = [np.take(array, range(BOX), axis) for array in outputs[reading.boxes].arrays if array.size]
    scores = [
        array if reading.score_columns is None else np.take(array, reading.score_columns, axis)
        for array in outputs[reading.scores].arrays
        if array.size
    ]
    shares = reading.form != "grid" and max((float(np.abs(a).max()) for a in boxes), default=9) < LARGEST_SHARE
    logits = any(float(a.min()) < -1e-3 or float(a.max()) > 1 + 1e-3 for a in scores)
    return replace(reading, shares=shares, logits=logits)
