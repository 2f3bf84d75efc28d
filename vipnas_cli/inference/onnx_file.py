"""What an ONNX file says of where its weights are, read without the package onnx: protocol buffers, field by field.

A tensor may name another file for its data. The checksum of a network would not cover that file, and it may be any.
"""

from __future__ import annotations

from collections.abc import Iterator

# Messages in which tensors occur, by the numbers of their fields; see onnx.proto3 of ONNX.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
# A tensor's fields: where its data are, and whether they are in this file (0).
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Graphs lie in attributes of graphs; no exporter nests more.
_DEEPEST = 50


def has_external_data(data: bytes) -> bool:
    """Whether a tensor of an ONNX file has its data in another file; ValueError for what is no ONNX file."""
    return _any_external(memoryview(data), "model", 0)


def _any_external(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError("graphs are nested too deep")
    inner = _MESSAGES[kind]
    for number, value in _fields(message):
        if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            return True
        if number in inner and isinstance(value, memoryview) and _any_external(value, inner[number], depth + 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: their numbers, and their content, a whole number or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        value: int | memoryview
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, 0)
            if kind == _BYTES:
                size, place = _varint(message, place)
            elif not size:
                raise ValueError("it is no protocol buffer")
            if place + size > len(message):
                raise ValueError("it is cut off")
            value, place = message[place : place + size], place + size
        yield key >> 3, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, and the place behind it."""
    found = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("it is cut off")
        byte = message[place]
        place += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, place
    raise ValueError("it is no protocol buffer")
