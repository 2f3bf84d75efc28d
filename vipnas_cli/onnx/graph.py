"""Trained networks as ONNX files that say what they are, made only of graphs that give torch's answers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from vipnas_cli import __version__
from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.metadata import to_metadata
from vipnas_cli.inference.sessions import RuntimeOptions, open_session
from vipnas_cli.nets.folding import fold_batch_norm
from vipnas_cli.onnx.exporter import OPSET, to_onnx
from vipnas_cli.onnx.parity import POINT_TOLERANCE, Floats, Parity, run_torch
from vipnas_cli.onnx.weights import rounded, store_half
from vipnas_cli.timing import in_turn_ms

FACTS_FORMAT = 1
PREPROCESSING = "RGB bytes (people, height, width, 3), normalised inside the network"
# fp16 holds the weights of trained networks well enough; `auto` looks whether it does.
FloatStorage = Literal["auto", "fp16", "fp32"]
_REPEATS = 9


@dataclass(frozen=True)
class Graph:
    """What is exported: a module, inputs to compare it on, names of outputs, dynamic axes.

    `compare` judges outputs against those expected; places may move by `tolerance` pixels.
    """

    module: nn.Module
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    axes: Mapping[str, dict[int, str]]
    compare: Callable[[tuple[Floats, ...], tuple[Floats, ...]], Parity]
    tolerance: float = POINT_TOLERANCE


@dataclass(frozen=True)
class Speed:
    """Mean milliseconds of processor time of one crop with one thread."""

    onnx_ms: float
    torch_ms: float


@dataclass(frozen=True)
class Converted:
    """The content of an ONNX file, how it compares with torch, and what rounded weights change."""

    data: bytes
    weights: Literal["fp16", "fp32"]
    parity: Parity
    rounding: Parity
    speed: Speed


def convert(graph: Graph, name: str, facts: dict[str, Any], weights: FloatStorage) -> Converted:
    """The ONNX file of a graph with `facts` as its metadata; WeightsError, which names the file, if it differs."""
    module = graph.module.eval()
    expected = run_torch(module, graph.inputs)
    folded = copy.deepcopy(module)
    fold_batch_norm(folded)
    rounding, stored = Parity(0.0), "fp32"
    if weights != "fp32":
        halved = rounded(folded)
        outputs = run_torch(halved, graph.inputs)
        rounding = graph.compare(expected, outputs)
        if _may_be_half(rounding, graph.tolerance, weights, name):
            folded, expected, stored = halved, outputs, "fp16"
    tensors = {name: torch.from_numpy(array) for name, array in graph.inputs.items()}
    model = onnx.load_from_string(to_onnx(folded, tensors, graph.outputs, graph.axes))
    if stored == "fp16":
        store_half(model)
    data = described(model, {**facts, "weights": stored})
    session = open_session(data, name, RuntimeOptions(1, "cpu"))
    parity = graph.compare(expected, tuple(session.run(list(graph.outputs), dict(graph.inputs))))
    parity.check(name, graph.tolerance)
    one = {name: array[:1] for name, array in graph.inputs.items()}
    speed = _speed(lambda: session.run(list(graph.outputs), one), lambda: run_torch(module, one))
    return Converted(data, "fp16" if stored == "fp16" else "fp32", parity, rounding, speed)


def described(model: Any, facts: dict[str, Any]) -> bytes:
    """An ONNX model as bytes, with facts and the versions of the software that wrote it as its metadata."""
    software = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    about = {
        "format": FACTS_FORMAT,
        "vipnas": __version__,
        "opset": OPSET,
        "software": software,
        "preprocessing": PREPROCESSING,
        **facts,
    }
    del model.metadata_props[:]
    for key, value in to_metadata(about).items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    return data


def _may_be_half(rounding: Parity, tolerance: float, weights: FloatStorage, name: str) -> bool:
    """Whether fp16 weights leave points where they are; WeightsError if they do not and nothing else is allowed."""
    if rounding.usually <= tolerance and (rounding.compared or weights == "fp16"):
        return True
    if weights == "auto":
        return False
    raise WeightsError(
        f"{name} was not written: fp16 weights move places by {rounding.usually:.2g} pixels, {tolerance:g} is allowed",
        "store fp32 weights",
    )


def _speed(session: Callable[[], object], module: Callable[[], object]) -> Speed:
    """The times of an exported network and of its module, in processor time, which other programs lengthen less."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        onnx_ms, torch_ms = in_turn_ms((session, module), _REPEATS, clock=time.process_time_ns)
    finally:
        torch.set_num_threads(before)
    return Speed(fmean(onnx_ms), fmean(torch_ms))
