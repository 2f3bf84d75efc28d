"""Weights of an exported network at half precision on disk; the arithmetic stays what it was."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

# Biases and other small tensors stay exact: they are hardly any bytes.
SMALLEST = 256


def rounded(module: nn.Module) -> nn.Module:
    """A copy whose large tensors are the nearest numbers that half precision can hold."""
    found = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in found.parameters():
            half = parameter.half().float()
            if parameter.dim() >= 2 and parameter.numel() >= SMALLEST and bool(half.isfinite().all()):
                parameter.copy_(half)
    return found


def store_half(model: Any) -> int:
    """Stores the large tensors of an ONNX model as float16 with a cast before their use; returns how many.

    Only tensors that lose nothing are stored so. ONNX Runtime casts them once, when it loads the network.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < SMALLEST:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    return len(casts)
