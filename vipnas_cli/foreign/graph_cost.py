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

from vipnas_cli.errors import WeightsError

# Convolutions and matrix products, also those of quantised and of optimised graphs, and at which inputs their two
# factors are: pictures or features, then weights.
CONVOLUTIONS = {"Conv": (0, 1), "FusedConv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
PRODUCTS = {
    **{"Gemm": (0, 1), "FusedGemm": (0, 1), "QGemm": (0, 3)},
    **{"MatMul": (0, 1), "FusedMatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)},
    **{"DynamicQuantizeMatMul": (0, 1), "MatMulIntegerToFloat": (0, 1)},
}
TRANSPOSED = {"ConvTranspose": (0, 1)}
COUNTED = {**CONVOLUTIONS, **PRODUCTS, **TRANSPOSED}


@dataclass(frozen=True)
class GraphCost:
    """Multiply-accumulates of one run (convolutions and matrix products) and the numbers in the weights."""

    macs: int
    parameters: int


def graph_cost(model: Any, inputs: dict[str, NDArray[Any]]) -> GraphCost:
    """The cost of one run of an ONNX model on `inputs`, from the shapes that its tensors then have; WeightsError as of
    `check_countable`.

    Shape inference alone does not get through graphs that compute shapes as they run, as many exports do.
    """
    check_countable(model)
    counted = [node for node in model.graph.node if node.op_type in COUNTED]
    wanted = list(dict.fromkeys(name for node in counted for name in (*_factors(node), node.output[0])))
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes = {**constants, **_shapes(model, [name for name in wanted if name not in constants], inputs)}
    macs = sum(_macs(node, shapes) for node in counted)
    parameters = sum(math.prod(t.dims) for t in model.graph.initializer if t.data_type in _NUMBERS)
    return GraphCost(macs, parameters)


def check_countable(model: Any) -> None:
    """WeightsError for a graph without anything that is counted, whose cost nobody would know."""
    if not any(node.op_type in COUNTED for node in model.graph.node):
        raise WeightsError(
            "the network has no convolution and no matrix product that can be counted", "export it without fused nodes"
        )


_KIND = onnx.TensorProto
# Whole numbers of 32 and 64 bits are shapes and indices.
_NUMBERS = (_KIND.FLOAT, _KIND.FLOAT16, _KIND.BFLOAT16, _KIND.DOUBLE, _KIND.INT8, _KIND.UINT8)


def _factors(node: Any) -> tuple[str, str]:
    """The names of what is multiplied: features and weights."""
    first, second = COUNTED[node.op_type]
    return node.input[first], node.input[second]


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
    features, weights = _factors(node)
    first, second, out = shapes[features], shapes[weights], shapes[node.output[0]]
    if node.op_type in CONVOLUTIONS:
        # Weights are (outputs, inputs within a group, kernel).
        return math.prod(out) * math.prod(second[1:])
    if node.op_type in TRANSPOSED:
        # Weights are (inputs, outputs within a group, kernel).
        return math.prod(first) * math.prod(second[1:])
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    inner = first[-2] if turned else first[-1]
    return math.prod(out) * inner
