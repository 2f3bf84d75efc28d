"""Writes a bundle: every distinct network once as ONNX, then the manifest that names them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli import __version__
from vipnas_cli.bundle.reader import FORMAT, MANIFEST, read_checked, read_manifest
from vipnas_cli.errors import WeightsError
from vipnas_cli.export.networks import (
    PLAIN,
    Exported,
    ExportOptions,
    export_detector,
    export_pose,
    export_verifier,
)
from vipnas_cli.export.sources import Ready, Source, checkpoint_sources
from vipnas_cli.files import inside, make_folder, write_bytes, write_text
from vipnas_cli.nets.checkpoints import load_checkpoint, load_detector, load_verifier
from vipnas_cli.onnx.exporter import OPSET
from vipnas_cli.onnx.graph import FloatStorage
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import Schedule
from vipnas_cli.spec.cost import detector_cost, plan_cost, verifier_cost

LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class PipelineParts:
    """A name, one checkpoint or network per position of the cycle, and the scores to record."""

    name: str
    cycle: tuple[Path | Source | Ready, ...]
    scores: dict[str, float]


@dataclass(frozen=True)
class DetectorParts:
    """The detector's checkpoint, its score threshold, and the scores to record."""

    checkpoint: Path
    threshold: float
    scores: dict[str, float]


@dataclass(frozen=True)
class VerifierParts:
    """The verifier's checkpoint, the threshold for detector and verifier together, and the scores to record."""

    checkpoint: Path
    threshold: float
    scores: dict[str, float]


def add_pipeline(folder: Path, parts: PipelineParts, options: ExportOptions = PLAIN) -> tuple[Exported, ...]:
    """Exports the networks of a pipeline to `folder` and names it in the manifest, in place of one of that name.

    Networks that are there already are kept, those that no pipeline uses any more are removed. Returns what was
    written.
    """
    manifest = _manifest(folder)
    found = {
        part: checkpoint_sources(part) if isinstance(part, Path) else (part,) for part in dict.fromkeys(parts.cycle)
    }
    sources = [source for part in parts.cycle for source in found[part]]
    # Raises before anything is written if the first network is a follower.
    Schedule(tuple(source.plan for source in sources))
    scores = parts.scores if len(sources) == 1 else None
    names: dict[Source | Ready, str] = {}
    written = []
    for source in dict.fromkeys(sources):
        if isinstance(source, Ready):
            names[source] = _copied(folder, manifest, source)
            continue
        names[source] = _name(source, options)
        known = manifest["networks"].get(names[source])
        if known is None or not _whole(folder, known) or scores not in (None, known.get("scores")):
            exported = _export(folder, names[source], source, scores or {}, options)
            manifest["networks"][names[source]] = _row(source, scores or {}, exported, options)
            written.append(exported)
    others = [row for row in manifest["pipelines"] if row["name"] != parts.name]
    cycle = [names[source] for source in sources]
    manifest["pipelines"] = [*others, {"name": parts.name, "cycle": cycle, "scores": parts.scores}]
    used = {name for row in manifest["pipelines"] for name in row["cycle"]}
    unused = [manifest["networks"].pop(name) for name in set(manifest["networks"]) - used]
    _write(folder, manifest)
    for row in unused:
        inside(folder, row.get("file"), WeightsError).unlink(missing_ok=True)
    return tuple(written)


def set_detector(folder: Path, parts: DetectorParts, weights: FloatStorage = "fp32") -> Exported:
    """Exports the person detector to `folder` and names it in the manifest."""
    manifest = _manifest(folder)
    row, exported = _detector(folder, parts, weights)
    # A verifier judges boxes, whoever found them.
    before = manifest["detector"] or {}
    verifier = before.get("verifier")
    _write(folder, {**manifest, "detector": {**row, **({"verifier": verifier} if verifier else {})}})
    if before.get("file", row["file"]) != row["file"]:
        inside(folder, before["file"], WeightsError).unlink(missing_ok=True)
    return exported


def set_verifier(folder: Path, parts: VerifierParts, weights: FloatStorage = "fp32") -> Exported:
    """Exports the verifier to `folder` and names it in the manifest with the detector, which must be there."""
    manifest = _manifest(folder)
    if not manifest["detector"]:
        raise WeightsError(f"{folder} holds no person detector to verify", "export one with --detector first")
    _, header = load_checkpoint(parts.checkpoint)
    net = load_verifier(parts.checkpoint)
    cost, training = verifier_cost(net.arch), header.get("training", {})
    facts = {"macs": cost.macs, "parameters": cost.parameters, "scores": parts.scores, "training": training}
    exported = export_verifier(
        net, inside(folder, "verifier.onnx", WeightsError), {"licence": LICENCE, **facts}, weights
    )
    size = {"height": net.arch.height, "width": net.arch.width, "threshold": parts.threshold}
    _write(folder, {**manifest, "detector": {**manifest["detector"], "verifier": {**_file(exported), **facts, **size}}})
    return exported


def write_bundle(folder: Path, pipelines: tuple[PipelineParts, ...], detector: DetectorParts) -> None:
    """Exports a detector and pipelines to `folder`."""
    set_detector(folder, detector)
    for parts in pipelines:
        add_pipeline(folder, parts)


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder, or one that names nothing yet."""
    empty = {
        "format": FORMAT,
        "skeleton": COCO17.name,
        "licence": LICENCE,
        "detector": None,
        "networks": {},
        "pipelines": [],
    }
    known = os.path.lexists(folder / MANIFEST)  # a link that leads nowhere is told, not written through
    return {**(read_manifest(folder) if known else empty), "vipnas": __version__}


def _write(folder: Path, manifest: dict[str, Any]) -> None:
    make_folder(folder)
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n", durable=True)


def _name(source: Source, options: ExportOptions) -> str:
    """What a network is called: equal weights that are written alike have one name, all others differ."""
    found = hashlib.sha256(f"{source.plan.key} {options.key} {OPSET} {__version__}".encode())
    for tensor in source.net.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    arch, fusion = source.plan.arch, source.plan.fusion
    fused = f"-{fusion.operation}{fusion.stage}" if fusion.stage else ""
    return f"{arch.family}-{arch.height}x{arch.width}{fused}-{found.hexdigest()[:6]}"


def _copied(folder: Path, manifest: dict[str, Any], ready: Ready) -> str:
    """Takes over a network of another bundle as it is; returns its name."""
    path = ready.file.path
    if not _whole(folder, ready.row):
        make_folder(folder)
        write_bytes(inside(folder, path.name, WeightsError), ready.file.read())
    manifest["networks"][path.stem] = ready.row
    return path.stem


def _whole(folder: Path, row: dict[str, Any]) -> bool:
    try:
        read_checked(folder / row["file"], row["sha256"])
    except WeightsError:
        return False
    return True


def _export(folder: Path, name: str, source: Source, scores: dict[str, float], options: ExportOptions) -> Exported:
    about = {
        "licence": LICENCE,
        "skeleton": COCO17.name,
        "keypoints": list(COCO17.keypoints),
        "origin": source.origin,
        "training": source.training,
        "scores": scores,
    }
    return export_pose(source.net, inside(folder, f"{name}.onnx", WeightsError), about, options)


def _row(source: Source, scores: dict[str, float], exported: Exported, options: ExportOptions) -> dict[str, Any]:
    """What the manifest says of a network."""
    cost = plan_cost(source.plan, source.net.final.out_channels)
    return {
        **_file(exported),
        "macs": cost.macs,
        "parameters": cost.parameters,
        "plan": source.plan.to_json(),
        "origin": source.origin,
        "training": source.training,
        "scores": scores,
        "decoded": options.decode,
    }


def _file(exported: Exported) -> dict[str, Any]:
    """What the manifest says of any file."""
    return {
        "file": exported.path.name,
        "sha256": exported.sha256,
        "weights": exported.weights,
        "difference_from_torch": exported.difference,
        "moved_by_rounding_px": exported.rounding.usually,
    }


def _detector(folder: Path, parts: DetectorParts, weights: FloatStorage) -> tuple[dict[str, Any], Exported]:
    _, header = load_checkpoint(parts.checkpoint)
    net = load_detector(parts.checkpoint)
    cost = detector_cost(net.arch)
    about = {"licence": LICENCE, "macs": cost.macs, "parameters": cost.parameters, "scores": parts.scores}
    about["training"] = header.get("training", {})
    exported = export_detector(net, inside(folder, "detector.onnx", WeightsError), about, weights)
    row = {
        **_file(exported),
        "macs": cost.macs,
        "parameters": cost.parameters,
        "side": net.arch.height,
        "threshold": parts.threshold,
        "scores": parts.scores,
        "training": header.get("training", {}),
    }
    return row, exported
