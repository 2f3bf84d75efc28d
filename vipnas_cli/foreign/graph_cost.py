"""What an ONNX graph costs, counted on the graph itself."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class GraphCost:
    """Multiply-accumulates of one run (convolutions and matrix products) and the numbers in the weights."""

    macs: int
    parameters: int


def graph_cost(model: Any, inputs: dict[str, NDArray[Any]]) -> GraphCost:
    """The cost of one run of an ONNX model on `inputs`, from the shapes that its tensors then have.

    Shape inference alone does not get through graphs that compute shapes as they run, as many exports do.
    """
    counted = [node for node in model.graph.node if node.op_type in COUNTED]
    wanted = list(dict.fromkeys(name for node in counted for name in (*node.input[:2], node.output[0]) if name))
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = {**constants, **_shapes(model, [name for name in wanted if name not in constants], inputs)}
    macs = sum(_macs(node, shapes) for node in counted)
    parameters = sum(math.prod(t.dims) for t in model.graph.initializer if t.data_type in _FLOATS)
    return GraphCost(macs, parameters)


_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def _shapes(model: Any, names: list[str], inputs: dict[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes that tensors have in one run."""
    shown = copy.deepcopy(model)
    known = {value.name for value in (*shown.graph.output, *shown.graph.input)}
    given = {name: array.shape for name, array in inputs.items()}
    asked = [name for name in names if name not in given]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked if name not in known)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    session = ort.InferenceSession(shown.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    found = session.run(asked, inputs) if asked else []
    return {**given, **{name: np.shape(array) for name, array in zip(asked, found, strict=True)}}


def _macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        # Weights are (outputs, inputs within a group, kernel).
        return math.prod(out) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        # Weights are (inputs, outputs within a group, kernel).
        return math.prod(first) * math.prod(second[1:])
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    inner = first[0] if node.op_type == "Gemm" and turned else first[-1]
    return math.prod(out) * inner
