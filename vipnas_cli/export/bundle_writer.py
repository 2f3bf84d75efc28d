"""Writes a bundle: every distinct network once as ONNX, then the manifest that names them.

No file that the manifest on disk names is written over: what takes its place has another name, and the old file goes
once the new manifest is there. So a bundle that was whole is whole after any failure.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipnas_cli import __version__
from vipnas_cli.bundle.pipelines import read_checked
from vipnas_cli.bundle.reader import FORMAT, MANIFEST, files_of, read_manifest
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
from vipnas_cli.files import inside, make_folder, scratch_folder, write_bytes, write_text
from vipnas_cli.nets.checkpoints import load_checkpoint, load_detector, load_verifier
from vipnas_cli.onnx.exporter import OPSET
from vipnas_cli.onnx.graph import FloatStorage
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import Schedule
from vipnas_cli.spec.cost import detector_cost, plan_cost, verifier_cost

LICENCE = "Apache-2.0"
# Digits of a checksum in a name.
DIGITS = 6


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
    before = files_of(manifest)
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
            exported = _export(folder, manifest, names[source], source, scores or {}, options)
            manifest["networks"][names[source]] = _row(source, scores or {}, exported, options)
            written.append(exported)
    others = [row for row in manifest["pipelines"] if row["name"] != parts.name]
    cycle = [names[source] for source in sources]
    manifest["pipelines"] = [*others, {"name": parts.name, "cycle": cycle, "scores": parts.scores}]
    used = {name for row in manifest["pipelines"] for name in row["cycle"]}
    networks = {name: row for name, row in manifest["networks"].items() if name in used}
    _write(folder, {**manifest, "networks": networks}, before)
    return tuple(written)


def set_detector(folder: Path, parts: DetectorParts, weights: FloatStorage = "fp32") -> Exported:
    """Exports the person detector to `folder` and names it in the manifest."""
    manifest = _manifest(folder)
    row, exported = _detector(folder, manifest, parts, weights)
    # A verifier judges boxes, whoever found them.
    verifier = (manifest["detector"] or {}).get("verifier")
    detector = {**row, **({"verifier": verifier} if verifier else {})}
    _write(folder, {**manifest, "detector": detector}, files_of(manifest))
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
    exported = _exported(
        folder,
        manifest,
        "verifier",
        lambda path: export_verifier(net, path, {"licence": LICENCE, **facts}, weights),
        digits=DIGITS,
    )
    size = {"height": net.arch.height, "width": net.arch.width, "threshold": parts.threshold}
    detector = {**manifest["detector"], "verifier": {**_file(exported), **facts, **size}}
    _write(folder, {**manifest, "detector": detector}, files_of(manifest))
    return exported


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


def _write(folder: Path, manifest: dict[str, Any], before: set[str]) -> None:
    """Writes the manifest; of the files that were named before, those that it does not name are removed then."""
    make_folder(folder)
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n", durable=True)
    for name in before - files_of(manifest):
        inside(folder, name, WeightsError).unlink(missing_ok=True)


def _exported(
    folder: Path, manifest: dict[str, Any], stem: str, export: Callable[[Path], Exported], digits: int = 0
) -> Exported:
    """What `export` writes to a path, as a file of the folder with so many digits of its checksum in its name."""
    with scratch_folder() as scratch:
        found = export(scratch / f"{stem}.onnx")
        data = found.path.read_bytes()
    name = f"{_free(manifest, stem, found.sha256, digits)}.onnx"
    make_folder(folder)
    write_bytes(inside(folder, name, WeightsError), data, durable=True)
    return replace(found, path=folder / name)


def _free(manifest: dict[str, Any], stem: str, sha256: str, digits: int = 0) -> str:
    """A name for content that the manifest gives no other, neither as a network's nor, with an ending, as a file's.

    It has so many digits of the checksum, and more if need be.
    """
    networks, detector = manifest["networks"], manifest["detector"] or {}
    rows = (*networks.values(), detector, detector.get("verifier") or {})
    others = {Path(row["file"]).stem for row in rows if row and row["sha256"] != sha256}
    others |= {name for name, row in networks.items() if row["sha256"] != sha256}
    names = (f"{stem}-{sha256[:count]}" if count else stem for count in (digits, DIGITS, len(sha256)))
    return next(name for name in names if name not in others)


def _name(source: Source, options: ExportOptions) -> str:
    """What a network is called: equal weights that are written alike have one name, all others differ."""
    found = hashlib.sha256(f"{source.plan.key} {options.key} {OPSET} {__version__}".encode())
    for tensor in source.net.state_dict().values():
        found.update(tensor.detach().cpu().numpy().tobytes())
    arch, fusion = source.plan.arch, source.plan.fusion
    fused = f"-{fusion.operation}{fusion.stage}" if fusion.stage else ""
    return f"{arch.family}-{arch.height}x{arch.width}{fused}-{found.hexdigest()[:6]}"


def _copied(folder: Path, manifest: dict[str, Any], ready: Ready) -> str:
    """Takes over a network of another bundle as it is; returns its name, which here may belong to another one."""
    name = _free(manifest, ready.file.path.stem, ready.file.sha256)
    row = {**ready.row, "file": f"{name}.onnx"}
    if not _whole(folder, row):
        make_folder(folder)
        write_bytes(inside(folder, row["file"], WeightsError), ready.file.read(), durable=True)
    manifest["networks"][name] = row
    return name


def _whole(folder: Path, row: dict[str, Any]) -> bool:
    try:
        read_checked(folder / row["file"], row["sha256"])
    except WeightsError:
        return False
    return True


def _export(
    folder: Path,
    manifest: dict[str, Any],
    name: str,
    source: Source,
    scores: dict[str, float],
    options: ExportOptions,
) -> Exported:
    about = {
        "licence": LICENCE,
        "skeleton": COCO17.name,
        "keypoints": list(COCO17.keypoints),
        "origin": source.origin,
        "training": source.training,
        "scores": scores,
    }
    return _exported(folder, manifest, name, lambda path: export_pose(source.net, path, about, options))


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


def _detector(
    folder: Path, manifest: dict[str, Any], parts: DetectorParts, weights: FloatStorage
) -> tuple[dict[str, Any], Exported]:
    _, header = load_checkpoint(parts.checkpoint)
    net = load_detector(parts.checkpoint)
    cost = detector_cost(net.arch)
    about = {"licence": LICENCE, "macs": cost.macs, "parameters": cost.parameters, "scores": parts.scores}
    about["training"] = header.get("training", {})
    exported = _exported(
        folder, manifest, "detector", lambda path: export_detector(net, path, about, weights), digits=DIGITS
    )
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
