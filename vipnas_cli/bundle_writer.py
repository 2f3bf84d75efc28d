"""Writes a bundle: every distinct network once as ONNX, then the manifest that names them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli.bundle import FORMAT, MANIFEST
from vipnas_cli.checkpoints import load_checkpoint, load_detector, load_pose_net
from vipnas_cli.cost import detector_cost, plan_cost
from vipnas_cli.export import export_detector, export_pose
from vipnas_cli.spec import Plan

LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class PipelineParts:
    """A name, one checkpoint per position of the cycle, and the scores to record."""

    name: str
    cycle: tuple[Path, ...]
    scores: dict[str, float]


@dataclass(frozen=True)
class DetectorParts:
    """The detector's checkpoint, its score threshold, and the scores to record."""

    checkpoint: Path
    threshold: float
    scores: dict[str, float]


def write_bundle(folder: Path, pipelines: tuple[PipelineParts, ...], detector: DetectorParts) -> None:
    """Exports all networks of the pipelines and the detector to `folder` with a manifest, replacing an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    distinct = list(dict.fromkeys(path for pipeline in pipelines for path in pipeline.cycle))
    networks = {path: _network(folder, path) for path in distinct}
    manifest = {
        "format": FORMAT,
        "skeleton": "coco17",
        "licence": LICENCE,
        "detector": _detector(folder, detector),
        "networks": {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in networks.values()},
        "pipelines": [
            {"name": p.name, "cycle": [networks[path]["name"] for path in p.cycle], "scores": p.scores}
            for p in pipelines
        ],
    }
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, folder / MANIFEST)


def _network(folder: Path, checkpoint: Path) -> dict[str, Any]:
    _, header = load_checkpoint(checkpoint)
    plan = Plan.from_json(header["plan"])
    fusion = f"-{plan.fusion.operation}{plan.fusion.stage}" if plan.fusion.stage else ""
    name = f"{plan.arch.family}-{plan.arch.height}x{plan.arch.width}{fusion}-{plan.key[:6]}"
    about = {"licence": LICENCE, "skeleton": "coco17", "training": header.get("training", {})}
    exported = export_pose(load_pose_net(checkpoint), folder / f"{name}.onnx", about)
    cost = plan_cost(plan, header["keypoints"])
    return {
        "name": name,
        "file": exported.path.name,
        "sha256": exported.sha256,
        "macs": cost.macs,
        "parameters": cost.parameters,
        "difference_from_torch": exported.difference,
        "plan": plan.to_json(),
        "training": header.get("training", {}),
    }


def _detector(folder: Path, parts: DetectorParts) -> dict[str, Any]:
    _, header = load_checkpoint(parts.checkpoint)
    net = load_detector(parts.checkpoint)
    cost = detector_cost(net.arch)
    about = {"licence": LICENCE, "macs": cost.macs, "training": header.get("training", {})}
    exported = export_detector(net, folder / "detector.onnx", about)
    return {
        "file": exported.path.name,
        "sha256": exported.sha256,
        "macs": cost.macs,
        "parameters": cost.parameters,
        "side": net.arch.height,
        "threshold": parts.threshold,
        "scores": parts.scores,
        "training": header.get("training", {}),
    }
