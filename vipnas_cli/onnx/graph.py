"""Trained networks to ONNX files that say what they are; a file appears only after it gave the same answers.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vipnas_cli import __version__
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import make_parent, write_bytes
from vipnas_cli.inference.onnx import METADATA, RuntimeOptions, open_session
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.folding import fold_batch_norm
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.onnx.decoder import GraphDecoder, check_decoded
from vipnas_cli.onnx.int8 import Int8Figures, to_int8
from vipnas_cli.onnx.parity import (
    BOX_TOLERANCE,
    POINT_TOLERANCE,
    SCORE_TOLERANCE,
    Floats,
    Parity,
    Speed,
    compare_cells,
    compare_heatmaps,
    compare_verdicts,
    fixed_people,
    fixed_picture,
    one_thread_ms,
    pose_inputs,
    run_torch,
)
from vipnas_cli.onnx.weights import rounded, store_half
from vipnas_cli.pose import HeatmapCodec
from vipnas_cli.spec import Plan
from vipnas_cli.spec.cost import plan_cost

OPSET = 17
FACTS_FORMAT = 1
PREPROCESSING = "RGB bytes (people, height, width, 3), normalised inside the network"
CROPPING = "a box grown to the aspect ratio of the input, then by 1.25, sampled bilinearly, black outside the picture"
DECODING = (
    "cell (row, column) of a heatmap has its centre at crop pixel x 4 column + 1.5, y 4 row + 1.5, where (0, 0) is the "
    "centre of the first pixel; the point is where a Gaussian fitted to the 5 x 5 cells around the highest cell has "
    "its centre, its score the mass within two sigma of it, sigma 1/32 of the rows"
)
# fp16 holds the weights of trained networks well enough; `auto` looks whether it does.
WeightStorage = Literal["auto", "fp16", "fp32", "int8"]


@dataclass(frozen=True)
class ExportOptions:
    """How weights are stored, and whether the graph decodes heatmaps too.

    Arithmetic is that of fp32 except with int8, which needs `people` to calibrate on.
    """

    weights: WeightStorage = "fp32"
    decode: bool = False
    people: tuple[LabelledPerson, ...] = ()

    @property
    def key(self) -> str:
        """What decides how a file is written."""
        return f"{self.weights} {self.decode} {len(self.people)} {self.people[0].image if self.people else ''}"


PLAIN = ExportOptions()


@dataclass(frozen=True)
class Exported:
    """A written ONNX file and its checksum, how it compares with torch, and what rounded weights change."""

    path: Path
    sha256: str
    size: int
    weights: WeightStorage
    parity: Parity
    rounding: Parity
    speed: Speed
    int8: Int8Figures | None = None

    @property
    def difference(self) -> float:
        """The largest difference of its outputs from those of torch with the same weights."""
        return self.parity.outputs


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


class Deployed(nn.Module):
    """A network that takes RGB bytes (P, H, W, 3), so that users need no preprocessing, and may decode its heatmaps."""

    def __init__(self, net: nn.Module, decoder: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net
        self.decoder = decoder

    def forward(self, images: Tensor, previous_heatmaps: Tensor | None = None) -> Any:
        """What the network gives, and with a decoder also points and scores."""
        normalised = network_input(images)
        found = self.net(normalised) if previous_heatmaps is None else self.net(normalised, previous_heatmaps)
        return found if self.decoder is None else (found, *self.decoder(found))


def export_pose(net: PoseNet, path: Path, about: dict[str, Any], options: ExportOptions = PLAIN) -> Exported:
    """Writes a pose network with inputs `images` (P, H, W, 3) uint8 and, with fusion, `previous_heatmaps`.

    Outputs are `heatmaps` (P, K, h, w) and, if wanted, `points` (P, K, 2) in crop pixels and `scores` (P, K).
    """
    arch, plan = net.arch, Plan(net.arch, net.fusion_spec)
    codec = HeatmapCodec(arch.height, arch.width)
    cost = plan_cost(plan, net.final.out_channels)
    facts = {
        **about,
        "kind": "pose",
        "plan": plan.to_json(),
        "macs": cost.macs,
        "parameters": cost.parameters,
        "cropping": CROPPING,
        "decoding": DECODING,
        "decoded": options.decode,
    }
    outputs = ("heatmaps", "points", "scores") if options.decode else ("heatmaps",)

    def compare(expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Parity:
        if options.decode:
            check_decoded(path.name, found, codec)
        return compare_heatmaps(expected[0], found[0], codec)

    inputs = pose_inputs(net)
    axes = {name: {0: "people"} for name in (*inputs, *outputs)}
    module = Deployed(net, GraphDecoder(codec) if options.decode else None)
    graph = Graph(module, inputs, outputs, axes, compare)
    if options.weights != "int8":
        return _export(graph, path, facts, options.weights)
    with tempfile.TemporaryDirectory() as folder:
        whole = _export(graph, Path(folder) / path.name, facts, "fp32")
        data, figures = to_int8(whole.path.read_bytes(), plan, options.people, path.name)
    data = _described(onnx.load_from_string(data), {**_versions(), **facts, "weights": "int8", "int8": asdict(figures)})
    write_bytes(path, data)
    speed = Speed(figures.ms_int8, whole.speed.torch_ms)
    return replace(whole, path=path, sha256=_digest(data), size=len(data), weights="int8", speed=speed, int8=figures)


def export_detector(
    net: PersonDetector, path: Path, about: dict[str, Any], weights: WeightStorage = "fp32"
) -> Exported:
    """Writes the detector with input `images` (1, H, W, 3) uint8, H and W any multiple of 32."""
    inputs = {"images": fixed_picture(320, 192)}
    axes = {
        "images": {1: "height", 2: "width"},
        "scores": {1: "rows", 2: "columns"},
        "boxes": {1: "rows", 2: "columns"},
    }
    facts = {**about, "kind": "detector", "arch": net.arch.to_json()}
    graph = Graph(Deployed(net), inputs, ("scores", "boxes"), axes, compare_cells, BOX_TOLERANCE)
    return _export(graph, path, facts, weights)


def export_verifier(net: BoxVerifier, path: Path, about: dict[str, Any], weights: WeightStorage = "fp32") -> Exported:
    """Writes the verifier with input `images` (B, H, W, 3) uint8 and outputs `scores` (B,) and `places` (B, 4)."""
    crops, _ = fixed_people(net.arch.height, net.arch.width)
    facts = {**about, "kind": "verifier", "arch": net.arch.to_json()}
    axes = {name: {0: "boxes"} for name in ("images", "scores", "places")}
    graph = Graph(Deployed(net), {"images": crops}, ("scores", "places"), axes, compare_verdicts, SCORE_TOLERANCE)
    return _export(graph, path, facts, weights)


def _export(graph: Graph, path: Path, facts: dict[str, Any], weights: WeightStorage) -> Exported:
    make_parent(path)
    graph.module.eval()
    expected = run_torch(graph.module, graph.inputs)
    folded = copy.deepcopy(graph.module)
    fold_batch_norm(folded)
    rounding = Parity(0.0)
    if weights != "fp32":
        halved = rounded(folded)
        rounding = graph.compare(expected, run_torch(halved, graph.inputs))
        weights = _chosen(weights, rounding, graph.tolerance, path)
        if weights == "fp16":
            folded, expected = halved, run_torch(halved, graph.inputs)
    data = _onnx(graph, folded, {**_versions(), **facts, "weights": weights})
    session = open_session(data, path.name, RuntimeOptions(1, "cpu"))
    parity = graph.compare(expected, tuple(session.run(list(graph.outputs), dict(graph.inputs))))
    parity.check(path.name, graph.tolerance)
    one = {name: array[:1] for name, array in graph.inputs.items()}
    speed = one_thread_ms(graph.module, lambda: session.run(list(graph.outputs), one), one)
    write_bytes(path, data)
    return Exported(path, _digest(data), len(data), weights, parity, rounding, speed)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _chosen(weights: WeightStorage, rounding: Parity, tolerance: float, path: Path) -> WeightStorage:
    """fp16 if its points stay where they are; WeightsError if they do not and nothing else is allowed."""
    if rounding.usually <= tolerance and (rounding.compared or weights == "fp16"):
        return "fp16"
    if weights == "auto":
        return "fp32"
    raise WeightsError(
        f"{path.name} was not written: fp16 weights move places by {rounding.usually:.2g} pixels, "
        f"{tolerance:g} is allowed",
        "store fp32 weights",
    )


def _versions() -> dict[str, Any]:
    """What a file says of the software that wrote it."""
    software = {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    return {
        "format": FACTS_FORMAT,
        "vipnas": __version__,
        "opset": OPSET,
        "software": software,
        "preprocessing": PREPROCESSING,
    }


def _onnx(graph: Graph, module: nn.Module, facts: dict[str, Any]) -> bytes:
    """The ONNX file of a module as bytes, with what it says of itself."""
    tensors = tuple(torch.from_numpy(array) for array in graph.inputs.values())
    with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory(prefix="vipnas-") as folder:
        written = Path(folder) / "network.onnx"
        # The exporter based on tracing is the one that writes a single small file; torch calls it deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tensors,
            str(written),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes=dict(graph.axes),
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(str(written))
    if facts["weights"] == "fp16":
        store_half(model)
    return _described(model, facts)


def _described(model: Any, facts: dict[str, Any]) -> bytes:
    """A model with what it says of itself, as bytes."""
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA, value=json.dumps(facts, sort_keys=True))
    data: bytes = model.SerializeToString()
    return data
