"""What the inputs and outputs of a foreign pose network say, or a sentence on what was found instead.

Shapes: P people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vipnas_cli.errors import WeightsError
from vipnas_cli.foreign.pose_graph import Signature
from vipnas_cli.inference.onnx_file import has_external_data
from vipnas_cli.pose import COCO17

UNDERSTOOD = (
    "understood are networks with one picture as input, (people, 3, height, width) or channels last, and as outputs "
    "heatmaps (people, keypoints, rows, columns), or the two distributions of SimCC (people, keypoints, bins); the "
    "first 17 keypoints are COCO's"
)
# What the runtime raises for a network that it cannot load or run.
RUNTIME_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)
# A longer side than this is no crop of a person.
LARGEST_SIDE = 1024


@dataclass(frozen=True)
class Output:
    """An output of a network in one run: its name and shape."""

    name: str
    shape: tuple[int, ...]


def read_signature(model: Any, name: str, size: tuple[int, int] | None = None) -> Signature:
    """The signature of an ONNX model; `size` (height, width) is needed where the file leaves it open.

    WeightsError says what was found and what is understood.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise WeightsError(f"{name} has {len(inputs)} inputs: {', '.join(v.name for v in inputs)}", UNDERSTOOD)
    found = _input(inputs[0], name, size)
    shapes = run_shapes(model, found, 1)
    head = _head(shapes, found, name)
    return replace(head, people=_takes_several(model, head))


def _input(value: Any, name: str, size: tuple[int, int] | None) -> Signature:
    """A signature of which only the input is known."""
    kind = value.type.tensor_type
    dims = [dim.dim_value for dim in kind.shape.dim]
    shown = "x".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
    if len(dims) != 4 or 3 not in (dims[1], dims[3]):
        raise WeightsError(f"{name} takes {value.name} of shape {shown}", UNDERSTOOD)
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8):
        raise WeightsError(f"{name} takes numbers of type {TensorProto.DataType.Name(kind.elem_type)}", UNDERSTOOD)
    last = dims[1] != 3
    height, width = (dims[1:3] if last else dims[2:4]) if size is None else size
    if not height or not width:
        raise WeightsError(f"{name} leaves the size of its crops open ({shown})", "state it, such as --size 256x192")
    if height % 4 or width % 4 or not min(height, width) >= 32 or max(height, width) > LARGEST_SIDE:
        raise WeightsError(
            f"{name} takes crops of {height}x{width}", f"sides are multiples of 4 between 32 and {LARGEST_SIDE}"
        )
    return Signature(value.name, (), "heatmaps", height, width, 0, 0, 0, last, kind.elem_type)


def _head(shapes: list[Output], found: Signature, name: str) -> Signature:
    """The signature completed by what the outputs look like."""
    least, told = len(COCO17.keypoints), ", ".join(f"{o.name} {'x'.join(map(str, o.shape))}" for o in shapes)
    maps = [o for o in shapes if len(o.shape) == 4 and o.shape[1] >= least and min(o.shape[2:]) >= 8]
    if len(maps) == 1:
        _, keypoints, rows, columns = maps[0].shape
        return replace(found, outputs=(maps[0].name,), keypoints=keypoints, rows=rows, columns=columns)
    lines = [o for o in shapes if len(o.shape) == 3 and o.shape[1] >= least and o.shape[2] >= 32]
    if not maps and len(lines) == 2 and lines[0].shape[1] == lines[1].shape[1]:
        x, y = lines if _fits(lines[0], lines[1], found) else lines[::-1]
        if _fits(x, y, found):
            outputs, keypoints = (x.name, y.name), x.shape[1]
            sides = replace(found, columns=x.shape[2], rows=y.shape[2])
            return replace(sides, outputs=outputs, head="simcc", keypoints=keypoints)
    raise WeightsError(f"the outputs of {name} are {told}", UNDERSTOOD)


def _fits(x: Output, y: Output, found: Signature) -> bool:
    """Whether two distributions divide width and height alike."""
    return abs(x.shape[2] / found.width - y.shape[2] / found.height) < 0.01


def run_shapes(model: Any, signature: Signature, people: int) -> list[Output]:
    """The outputs of one run on so many black crops; WeightsError if the network does not run."""
    session = open_foreign(model)
    shape = (signature.height, signature.width)
    crops = np.zeros((people, *shape, 3) if signature.channels_last else (people, 3, *shape), np.float32)
    found = run_foreign(session, {signature.input: crops.astype(helper.tensor_dtype_to_np_dtype(signature.dtype))})
    return [Output(o.name, np.shape(array)) for o, array in zip(session.get_outputs(), found, strict=True)]


def open_foreign(model: Any) -> ort.InferenceSession:
    """A session of a foreign model on the CPU; WeightsError if the runtime refuses it."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    # Threads that wait by spinning take each other's time where other programs run.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise WeightsError(f"ONNX Runtime cannot load the network: {_first_line(error)}", "export it again") from error


def run_foreign(session: ort.InferenceSession, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """All outputs; WeightsError if the network fails."""
    try:
        found: list[NDArray[Any]] = session.run(None, inputs)
    except RUNTIME_ERRORS as error:
        raise WeightsError(f"the network does not run: {_first_line(error)}", "export it again") from error
    return found


def _takes_several(model: Any, signature: Signature) -> bool:
    """Whether the network takes several crops at once, and each as if it were alone."""
    session = open_foreign(model)
    first = session.get_inputs()[0].shape[0]
    if isinstance(first, int) and first == 1:
        return False
    generator = np.random.default_rng(0)
    shape = (signature.height, signature.width)
    crops = generator.uniform(0, 1, (3, *shape, 3) if signature.channels_last else (3, 3, *shape))
    crops = crops.astype(helper.tensor_dtype_to_np_dtype(signature.dtype))
    try:
        together = session.run(list(signature.outputs), {signature.input: crops})
    except RUNTIME_ERRORS:
        return False
    alone = [session.run(list(signature.outputs), {signature.input: crops[i : i + 1]}) for i in range(len(crops))]
    joined = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
    return all(a.shape == b.shape and np.allclose(a, b, atol=1e-3) for a, b in zip(together, joined, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def load_foreign(data: bytes, name: str) -> Any:
    """The model of a file's bytes; WeightsError if it is no ONNX file or keeps weights in other files."""
    try:
        if has_external_data(data):
            raise WeightsError(f"{name} keeps its weights in other files", "export it as one file")
        model = onnx.load_from_string(data)
    except (ValueError, DecodeError) as error:
        raise WeightsError(f"{name} is no ONNX file", "name one") from error
    if not model.graph.output:
        raise WeightsError(f"{name} is no ONNX network: it has no outputs", "name one")
    return model
