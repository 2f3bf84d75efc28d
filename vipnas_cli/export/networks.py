"""Pose networks, detector and verifier as ONNX files; a file appears only after it gave torch's answers.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnx

from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.export.decoder import GraphDecoder, check_decoded
from vipnas_cli.export.int8 import Int8Figures, to_int8
from vipnas_cli.files import make_parent, write_bytes
from vipnas_cli.inference.metadata import PEOPLE
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.onnx.exporter import Deployed
from vipnas_cli.onnx.graph import Converted, FloatStorage, Graph, Speed, convert, described
from vipnas_cli.onnx.parity import (
    BOX_TOLERANCE,
    SCORE_TOLERANCE,
    Floats,
    Parity,
    compare_cells,
    compare_heatmaps,
    compare_verdicts,
    fixed_people,
    fixed_picture,
    pose_inputs,
)
from vipnas_cli.pose import HeatmapCodec
from vipnas_cli.spec import Plan
from vipnas_cli.spec.cost import plan_cost

CROPPING = "a box grown to the aspect ratio of the input, then by 1.25, sampled bilinearly, black outside the picture"
DECODING = (
    "cell (row, column) of a heatmap has its centre at crop pixel x 4 column + 1.5, y 4 row + 1.5, where (0, 0) is the "
    "centre of the first pixel; the point is where a Gaussian fitted to the 5 x 5 cells around the highest cell has "
    "its centre, its score the mass within two sigma of it, sigma 1/32 of the rows"
)
WeightStorage = Literal[FloatStorage, "int8"]


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


def export_pose(net: PoseNet, path: Path, about: dict[str, Any], options: ExportOptions = PLAIN) -> Exported:
    """Writes a pose network with inputs `images` (P, H, W, 3) uint8 and, with fusion, `previous_heatmaps`.

    Outputs are `heatmaps` (P, K, h, w) and, if wanted, `points` (P, K, 2) in crop pixels and `scores` (P, K).
    """
    plan = Plan(net.arch, net.fusion_spec)
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
    graph = _pose_graph(net, path.name, options.decode)
    if options.weights != "int8":
        return _written(path, convert(graph, path.name, facts, options.weights))
    whole = convert(graph, path.name, facts, "fp32")
    small, figures = to_int8(whole.data, plan, options.people, path.name)
    data = described(onnx.load_from_string(small), {**facts, "weights": "int8", "int8": asdict(figures)})
    speed = Speed(figures.ms_int8, whole.speed.torch_ms)
    make_parent(path)
    write_bytes(path, data)
    return Exported(path, _digest(data), len(data), "int8", whole.parity, whole.rounding, speed, figures)


def _pose_graph(net: PoseNet, name: str, decode: bool) -> Graph:
    """The graph of a pose network for any number of people; `name` is that of the file."""
    codec = HeatmapCodec(net.arch.height, net.arch.width)

    def compare(expected: tuple[Floats, ...], found: tuple[Floats, ...]) -> Parity:
        if decode:
            check_decoded(name, found, codec)
        return compare_heatmaps(expected[0], found[0], codec)

    inputs = pose_inputs(net)
    outputs = ("heatmaps", "points", "scores") if decode else ("heatmaps",)
    axes = {name: {0: PEOPLE} for name in (*inputs, *outputs)}
    return Graph(Deployed(net, GraphDecoder(codec) if decode else None), inputs, outputs, axes, compare)


def export_detector(net: PersonDetector, path: Path, about: dict[str, Any], weights: FloatStorage = "fp32") -> Exported:
    """Writes the detector with input `images` (1, H, W, 3) uint8, H and W any multiple of 32."""
    inputs = {"images": fixed_picture(320, 192)}
    axes = {
        "images": {1: "height", 2: "width"},
        "scores": {1: "rows", 2: "columns"},
        "boxes": {1: "rows", 2: "columns"},
    }
    facts = {**about, "kind": "detector", "arch": net.arch.to_json()}
    graph = Graph(Deployed(net), inputs, ("scores", "boxes"), axes, compare_cells, BOX_TOLERANCE)
    return _written(path, convert(graph, path.name, facts, weights))


def export_verifier(net: BoxVerifier, path: Path, about: dict[str, Any], weights: FloatStorage = "fp32") -> Exported:
    """Writes the verifier with input `images` (B, H, W, 3) uint8 and outputs `scores` (B,) and `places` (B, 4)."""
    crops, _ = fixed_people(net.arch.height, net.arch.width)
    facts = {**about, "kind": "verifier", "arch": net.arch.to_json()}
    axes = {name: {0: "boxes"} for name in ("images", "scores", "places")}
    graph = Graph(Deployed(net), {"images": crops}, ("scores", "places"), axes, compare_verdicts, SCORE_TOLERANCE)
    return _written(path, convert(graph, path.name, facts, weights))


def _written(path: Path, found: Converted) -> Exported:
    """What was converted, as a file."""
    make_parent(path)
    write_bytes(path, found.data)
    size = len(found.data)
    return Exported(path, _digest(found.data), size, found.weights, found.parity, found.rounding, found.speed)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
