"""Writes a bundle: every distinct network once as ONNX, then the manifest that names them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli.bundle import FORMAT, MANIFEST, read_manifest
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


def add_pipeline(folder: Path, parts: PipelineParts) -> None:
    """Exports the networks of a pipeline to `folder` and names it in the manifest, in place of one of that name.

    Networks that no pipeline uses any more are removed.
    """
    networks = {path: _network(folder, path) for path in dict.fromkeys(parts.cycle)}
    manifest = _manifest(folder)
    for row in networks.values():
        manifest["networks"][row["name"]] = {key: value for key, value in row.items() if key != "name"}
    cycle = [networks[path]["name"] for path in parts.cycle]
    others = [row for row in manifest["pipelines"] if row["name"] != parts.name]
    manifest["pipelines"] = [*others, {"name": parts.name, "cycle": cycle, "scores": parts.scores}]
    used = {name for row in manifest["pipelines"] for name in row["cycle"]}
    for name in set(manifest["networks"]) - used:
        (folder / manifest["networks"].pop(name)["file"]).unlink(missing_ok=True)
    _write(folder, manifest)


def set_detector(folder: Path, parts: DetectorParts) -> None:
    """Exports the person detector to `folder` and names it in the manifest."""
    row = _detector(folder, parts)
    _write(folder, {**_manifest(folder), "detector": row})


def write_bundle(folder: Path, pipelines: tuple[PipelineParts, ...], detector: DetectorParts) -> None:
    """Exports a detector and pipelines to `folder`."""
    set_detector(folder, detector)
    for parts in pipelines:
        add_pipeline(folder, parts)


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, or one that names nothing yet."""
    empty = {
        "format": FORMAT,
        "skeleton": "coco17",
        "licence": LICENCE,
        "detector": None,
        "networks": {},
        "pipelines": [],
    }
    path = folder / MANIFEST
    return read_manifest(folder) if path.exists() else empty


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST)


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
