"""Pipelines on disk: ONNX networks and a manifest that says what each is and what it costs, a folder or one file.

The manifest is JSON and the networks are ONNX, so loading never runs code. Needs no torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.pipelines import (
    LARGEST_COST,
    Bundle,
    DetectorFile,
    NetworkFile,
    Pipeline,
    VerifierFile,
    read_file,
)
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import inside, shown
from vipnas_cli.pose.letterbox import Fit, Letterbox
from vipnas_cli.spec import Plan
from vipnas_cli.spec.arch import LARGEST

# Raised when an older vipnas would misread what is written; all formats from 1 on are read.
FORMAT = 1
MANIFEST = "manifest.json"
MANIFESTS = DocumentKind("a complete manifest of vipnas", WeightsError, "restore it or export again")

# Where the weights of a network come from that has none.
UNTRAINED = "untrained"


def bundled_weights() -> Path:
    """The folder of the weights that come with the package (in a source checkout: `weights/` beside it)."""
    package = Path(str(resources.files("vipnas_cli")))
    inside = package / "weights"
    return inside if (inside / MANIFEST).is_file() else package.parent / "weights"


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder or file; WeightsError if its manifest is missing, foreign, incomplete or too new."""
    data = read_manifest(folder)
    with MANIFESTS.told(folder / MANIFEST):
        return _bundle(folder, MANIFESTS.convert(data, folder / MANIFEST, _Manifest))


def with_detector(bundle: Bundle) -> Bundle:
    """The bundle, with the person detector that comes with the package if it has none of its own."""
    return bundle if bundle.detector else replace(bundle, detector=open_bundle(bundled_weights()).detector)


def with_verifier(detector: DetectorFile) -> DetectorFile:
    """The detector, with the verifier that comes with the package if it has none of its own."""
    bundled = open_bundle(bundled_weights()).detector
    return detector if detector.verifier or bundled is None else replace(detector, verifier=bundled.verifier)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder or file as JSON; WeightsError if it is missing, foreign or of a newer format.

    What it says of networks, pipelines and the detector has the right types, and names files inside the folder only.
    """
    path = folder / MANIFEST
    if folder.is_dir() and not path.exists():
        raise WeightsError(f"{shown(folder)} holds no {MANIFEST}", "name a folder that `vipnas export` wrote")
    data = MANIFESTS.parse_any(read_file(path, MANIFESTS.largest), path)
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(found, int) or found < 1:
        raise WeightsError(
            f"{shown(path)} is not a manifest of vipnas: it states no format", "export the pipelines again"
        )
    if found > FORMAT:
        raise WeightsError(
            f"{shown(path)} has format {brief(found)}, this vipnas reads up to {FORMAT}", "pip install -U vipnas"
        )
    for row in _rows(data):
        if "file" in row:
            inside(folder, row["file"], WeightsError)
    MANIFESTS.convert(data, path, _Manifest)
    return dict(data)


def files_of(data: dict[str, Any]) -> set[str]:
    """The names of all files that a manifest names."""
    return {row["file"] for row in _rows(data) if "file" in row}


def _rows(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a manifest, which may hold anything yet, says of each of its files."""
    networks, detector = data.get("networks"), data.get("detector")
    verifier = detector.get("verifier") if isinstance(detector, dict) else None
    listed = [*(networks.values() if isinstance(networks, dict) else ()), detector, verifier]
    yield from (row for row in listed if isinstance(row, dict))


@dataclass(frozen=True)
class _File:
    """What a manifest says of any network."""

    file: str
    sha256: str
    macs: int

    def __post_init__(self) -> None:
        if not 0 <= self.macs < LARGEST_COST:
            raise ValueError(f"macs must be 0 to {LARGEST_COST:g}")


@dataclass(frozen=True)
class _Network(_File):
    plan: dict[str, Any]
    parameters: int
    origin: str = ""


@dataclass(frozen=True)
class _Verifier(_File):
    height: int
    width: int
    threshold: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_threshold(self.threshold)
        check_side(self.height)
        check_side(self.width)


@dataclass(frozen=True)
class _Detector(_File):
    side: int
    threshold: float
    verifier: _Verifier | None = None
    size: tuple[int, int] | None = None
    fit: Fit = "corner"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_threshold(self.threshold)
        if self.size is None:
            check_side(self.side)
        elif not all(0 < side <= LARGEST["width"] for side in self.size) or self.side != max(self.size):
            raise ValueError(f"the size of a picture must be two numbers up to {LARGEST['width']}, side the larger one")


@dataclass(frozen=True)
class _Pipeline:
    name: str
    cycle: tuple[str, ...]
    scores: dict[str, float]

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.scores.values())):
            raise ValueError(f"the scores of {brief(self.name)} are not all numbers")


@dataclass(frozen=True)
class _Manifest:
    networks: dict[str, _Network]
    pipelines: tuple[_Pipeline, ...]
    skeleton: str
    detector: _Detector | None

    def __post_init__(self) -> None:
        names = Counter(pipeline.name for pipeline in self.pipelines)
        if double := next((name for name, count in names.items() if count > 1), None):
            raise ValueError(f"it names two pipelines {brief(double)}")


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f"a threshold of {threshold:g} is not 0 to 1")


def check_side(side: int) -> None:
    """ValueError for what is no side of a network's picture."""
    if side % 32 or not 0 < side <= LARGEST["width"]:
        raise ValueError(f"the side of a picture must be a multiple of 32 up to {LARGEST['width']}")


def _bundle(folder: Path, data: _Manifest) -> Bundle:
    networks = {
        name: NetworkFile(
            folder / row.file, row.sha256, row.macs, row.parameters, Plan.from_json(row.plan), row.origin != UNTRAINED
        )
        for name, row in data.networks.items()
    }
    pipelines = tuple(
        Pipeline(row.name, tuple(networks[name] for name in row.cycle), row.scores) for row in data.pipelines
    )
    if not pipelines:
        raise ValueError("it names no pipelines")
    for pipeline in pipelines:
        _ = pipeline.schedule  # SpecError for a cycle of networks that do not make one
    return Bundle(folder, data.skeleton, pipelines, _detector(folder, data.detector) if data.detector else None)


def _detector(folder: Path, row: _Detector) -> DetectorFile:
    found, verifier = row.verifier, None
    if found is not None:
        size = found.height, found.width
        verifier = VerifierFile(folder / found.file, found.sha256, found.macs, *size, found.threshold)
    letterbox = Letterbox(row.side, row.size, row.fit)
    return DetectorFile(folder / row.file, row.sha256, row.macs, letterbox, row.threshold, verifier)
