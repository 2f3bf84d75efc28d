"""Trained networks to ONNX files that say what they are; a file appears only after it gave the same answers.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vipnas_cli.cost import plan_cost
from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.onnx_backend import METADATA, RuntimeOptions, open_session
from vipnas_cli.nets.blocks import ConvNorm
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, PoseNet, network_input
from vipnas_cli.spec import Plan

OPSET = 17
HEATMAP_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Exported:
    """A written ONNX file, its checksum, and the largest difference from torch."""

    path: Path
    sha256: str
    difference: float


class _Deployed(nn.Module):
    """A network that takes RGB bytes (P, H, W, 3), so that users need no preprocessing."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, previous_heatmaps: Tensor | None = None) -> Any:
        normalised = network_input(images)
        return self.net(normalised) if previous_heatmaps is None else self.net(normalised, previous_heatmaps)


def fold_batch_norm(module: nn.Module) -> None:
    """Merges each batch norm into the convolution before it, in place; the network must be in evaluation mode."""
    for child in module.modules():
        if isinstance(child, ConvNorm):
            conv, norm = child[0], child[1]
            assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
            assert isinstance(norm, nn.BatchNorm2d)
            _fold(conv, norm)
            child[1] = nn.Identity()


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    """Scales the filters and adds a bias; torch's own helper does not know grouped deconvolutions."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight
    if isinstance(conv, nn.ConvTranspose2d):
        # A deconvolution's filters are (input, output within the group, k, k).
        grouped = weight.view(conv.groups, -1, *weight.shape[1:]) * scale.view(conv.groups, 1, -1, 1, 1)
        folded = grouped.flatten(0, 1)
    else:
        folded = weight * scale[:, None, None, None]
    conv.weight = nn.Parameter(folded.detach())
    conv.bias = nn.Parameter((norm.bias - norm.running_mean * scale).detach())


def export_pose(net: PoseNet, path: Path, about: dict[str, Any]) -> Exported:
    """Writes a pose network with inputs `images` (P, H, W, 3) uint8 and, with fusion, `previous_heatmaps`."""
    arch, keypoints = net.arch, net.final.out_channels
    generator = np.random.default_rng(0)
    inputs = {"images": generator.integers(0, 256, (2, arch.height, arch.width, 3), np.uint8)}
    if net.fusion is not None:
        shape = (2, keypoints, arch.height // HEATMAP_STRIDE, arch.width // HEATMAP_STRIDE)
        inputs["previous_heatmaps"] = generator.random(shape, np.float32)
    plan = Plan(arch, net.fusion_spec)
    cost = plan_cost(plan, keypoints)
    facts = {**about, "plan": plan.to_json(), "macs": cost.macs, "parameters": cost.parameters}
    axes = {name: {0: "people"} for name in (*inputs, "heatmaps")}
    return _export(net, path, inputs, ["heatmaps"], axes, facts)


def export_detector(net: PersonDetector, path: Path, about: dict[str, Any]) -> Exported:
    """Writes the detector with input `images` (1, H, W, 3) uint8, H and W any multiple of 32."""
    inputs = {"images": np.random.default_rng(0).integers(0, 256, (1, 320, 192, 3), np.uint8)}
    axes = {
        "images": {1: "height", 2: "width"},
        "scores": {1: "rows", 2: "columns"},
        "boxes": {1: "rows", 2: "columns"},
    }
    facts = {**about, "arch": net.arch.to_json()}
    return _export(net, path, inputs, ["scores", "boxes"], axes, facts)


def _export(
    net: nn.Module,
    path: Path,
    inputs: dict[str, NDArray[Any]],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
    facts: dict[str, Any],
) -> Exported:
    net.eval()
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    with torch.no_grad():
        expected = _Deployed(net)(*tensors)
        fold_batch_norm(net)
        partial = path.with_name(f".{path.name}.partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # The exporter based on tracing is the one that writes a single small file; torch calls it deprecated.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Deployed(net).eval(),
                tensors,
                str(partial),
                input_names=list(inputs),
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    model = onnx.load(str(partial))
    facts = {"format": 1, "preprocessing": "RGB bytes, normalised inside the network", **facts}
    model.metadata_props.add(key=METADATA, value=json.dumps(facts, sort_keys=True))
    data = model.SerializeToString()
    partial.unlink()
    results = open_session(data, str(path), RuntimeOptions()).run(outputs, inputs)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    # Boxes are in pixels of a large picture, so the difference is relative where values exceed 1.
    difference = max(
        float((np.abs(got - want.numpy()) / np.maximum(1, np.abs(want.numpy()))).max())
        for got, want in zip(results, wanted, strict=True)
    )
    if difference > HEATMAP_TOLERANCE:
        raise WeightsError(f"{path} was not written: ONNX Runtime differs from torch by {difference:.2g}", "report it")
    partial.write_bytes(data)
    partial.replace(path)
    return Exported(path, hashlib.sha256(data).hexdigest(), difference)
