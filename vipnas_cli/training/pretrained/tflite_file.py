"""Reads the convolutions of a TensorFlow Lite file, weights and how they are joined; nothing of it is ever run.

The file is a FlatBuffer (schema of TensorFlow Lite, version 3): tables that point at each other by offsets. Every
offset is checked, so a damaged file gives an error and never more than its own bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import WeightsError

IDENTIFIER = b"TFL3"
# Numbers of the schema: operators, types of numbers, activations.
_OPERATORS = {0: "add", 3: "convolution", 4: "depthwise", 6: "dequantize", 34: "pad"}
_NUMBERS: dict[int, np.dtype[np.floating]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
_ACTIVATIONS = {0: "none", 3: "relu6"}


@dataclass(frozen=True)
class Layer:
    """An operator with the numbers of the tensors that it reads and writes; `kind` is "other" for unknown ones.

    Convolutions have weights as torch has them, (out, in, k, k) or depthwise (C, 1, k, k), a bias and a stride.
    """

    kind: str
    reads: tuple[int, ...]
    writes: int
    activation: str = "none"
    stride: int = 1
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Table:
    """A table of a FlatBuffer: its place, and the fields that the schema numbers."""

    data: bytes
    place: int

    def _field(self, number: int) -> int:
        """Where a field lies, 0 if it has its default."""
        table = self.place - self._read("<i", self.place)
        size = self._read("<H", table)
        entry = 4 + 2 * number
        offset = self._read("<H", table + entry) if entry + 2 <= size else 0
        return self.place + offset if offset else 0

    def _read(self, form: str, place: int) -> int:
        if place < 0:
            raise ValueError("an offset leads out of the file")
        value: int = struct.unpack_from(form, self.data, place)[0]
        return value

    def number(self, field: int, form: str) -> int:
        """A whole number, 0 by default."""
        place = self._field(field)
        return self._read(form, place) if place else 0

    def table(self, field: int) -> _Table:
        """A table that this one points at."""
        place = self._field(field)
        if not place:
            raise ValueError(f"field {field} is missing")
        return _Table(self.data, place + self._read("<I", place))

    def _vector(self, field: int) -> tuple[int, int]:
        """Place and length of a vector, (0, 0) if it is missing."""
        place = self._field(field)
        if not place:
            return 0, 0
        place += self._read("<I", place)
        return place + 4, self._read("<I", place)

    def tables(self, field: int) -> list[_Table]:
        """A vector of tables."""
        start, length = self._vector(field)
        if start + 4 * length > len(self.data):
            raise ValueError("a list leads out of the file")
        places = range(start, start + 4 * length, 4)
        return [_Table(self.data, place + self._read("<I", place)) for place in places]

    def values(self, field: int, kind: np.dtype[np.generic]) -> NDArray[np.generic]:
        """A vector of numbers."""
        start, length = self._vector(field)
        return np.frombuffer(self.data, kind, length, start) if length else np.zeros(0, kind)


def read_layers(path: Path) -> list[Layer]:
    """The operators of a file's first graph in their order; WeightsError if it is no TensorFlow Lite file."""
    try:
        data = path.read_bytes()
        if data[4:8] != IDENTIFIER:
            raise ValueError("it does not begin as such files do")
        return _layers(_Table(data, struct.unpack_from("<I", data)[0]))
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise WeightsError(f"{path} is not a usable TensorFlow Lite file: {error}", "get the file anew") from error


def _layers(model: _Table) -> list[Layer]:
    buffers, graph = model.tables(4), model.tables(2)[0]
    # Since version 3a of the schema large operator numbers have a field of their own.
    codes = [max(code.number(0, "<b"), code.number(3, "<i")) for code in model.tables(1)]
    tensors, whole = graph.tables(0), np.dtype("<i4")
    constants: dict[int, NDArray[np.float32]] = {}
    found = []
    for operator in graph.tables(3):
        kind = _OPERATORS.get(codes[operator.number(0, "<I")], "other")
        reads = tuple(int(value) for value in operator.values(1, whole))
        writes = int(operator.values(2, whole)[0])
        if kind == "dequantize":
            constants[writes] = _constant(tensors[reads[0]], buffers)
        elif kind in ("convolution", "depthwise"):
            weights = [constants[i] if i in constants else _constant(tensors[i], buffers) for i in reads[1:3]]
            found.append(_convolution(kind, (reads[0],), writes, operator.table(4), weights))
        else:
            found.append(Layer(kind, reads, writes))
    return found


def _constant(tensor: _Table, buffers: list[_Table]) -> NDArray[np.float32]:
    data = buffers[tensor.number(2, "<I")].values(0, np.dtype("u1")).tobytes()
    values = np.frombuffer(data, _NUMBERS[tensor.number(1, "<b")]).astype(np.float32)
    return values.reshape([int(size) for size in tensor.values(0, np.dtype("<i4"))])


def _convolution(
    kind: str, reads: tuple[int, ...], writes: int, options: _Table, weights: list[NDArray[np.float32]]
) -> Layer:
    weight, bias = weights
    depthwise = kind == "depthwise"
    activation = _ACTIVATIONS[options.number(4 if depthwise else 3, "<b")]
    turned = weight.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    return Layer(kind, reads, writes, activation, options.number(2, "<i"), np.ascontiguousarray(turned), bias)
