"""Pipelines on disk: ONNX networks and a manifest that says what each is and what it costs, a folder or one file.

The manifest is JSON and the networks are ONNX, so loading never runs code. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.archive import is_archive, read_member
from vipnas_cli.errors import BudgetError, SpecError, WeightsError
from vipnas_cli.spec import Plan, Schedule
from vipnas_cli.spec.budget import best_within

# Raised when an older vipnas would misread what is written; all formats from 1 on are read.
FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class NetworkFile:
    """One ONNX network of a bundle; `macs` are multiply-accumulates of one crop.

    The path of a network in a bundle of one file is that file's, and the network's name below it.
    """

    path: Path
    sha256: str
    macs: int
    parameters: int
    plan: Plan

    def read(self) -> bytes:
        """The file's content; WeightsError if it is missing or was changed."""
        return read_checked(self.path, self.sha256)


@dataclass(frozen=True)
class VerifierFile:
    """The network of a bundle that verifies the detector's boxes; `macs` are those of one box.

    `threshold` is for the score of detector and verifier together.
    """

    path: Path
    sha256: str
    macs: int
    height: int
    width: int
    threshold: float

    def read(self) -> bytes:
        """The file's content; WeightsError if it is missing or was changed."""
        return read_checked(self.path, self.sha256)


@dataclass(frozen=True)
class DetectorFile:
    """The person detector of a bundle; `macs` are those of a square picture of `side` pixels."""

    path: Path
    sha256: str
    macs: int
    side: int
    threshold: float
    verifier: VerifierFile | None = None

    def at(self, side: int) -> DetectorFile:
        """The same detector on pictures of another size; its cost grows with their area."""
        return replace(self, side=side, macs=round(self.macs * (side / self.side) ** 2))

    def read(self) -> bytes:
        """The file's content; WeightsError if it is missing or was changed."""
        return read_checked(self.path, self.sha256)


@dataclass(frozen=True)
class Pipeline:
    """A schedule with its trained networks, one per position of the cycle."""

    name: str
    networks: tuple[NetworkFile, ...]
    scores: dict[str, float]

    @property
    def schedule(self) -> Schedule:
        """The plans in the order of the cycle."""
        return Schedule(tuple(network.plan for network in self.networks))

    @property
    def macs_per_person_frame(self) -> float:
        """Mean cost per person and frame over one cycle."""
        return sum(network.macs for network in self.networks) / len(self.networks)

    @property
    def selection(self) -> float:
        """The score by which the best within a budget is chosen; 0 without one."""
        return self.scores.get("selection", 0.0)


@dataclass(frozen=True)
class Bundle:
    """All pipelines of a folder, or of one file, and their detector."""

    folder: Path
    skeleton: str
    pipelines: tuple[Pipeline, ...]
    detector: DetectorFile | None

    @cached_property
    def by_cost(self) -> tuple[Pipeline, ...]:
        """The pipelines from cheap to dear."""
        return tuple(sorted(self.pipelines, key=lambda pipeline: pipeline.macs_per_person_frame))

    def within(self, macs: float) -> Pipeline:
        """The best pipeline whose mean cost per person and frame is at most `macs`; BudgetError names the cheapest."""
        best = best_within(self.pipelines, macs, lambda p: p.macs_per_person_frame, lambda p: p.selection)
        if best is None:
            cheapest = self.by_cost[0]
            raise BudgetError(
                f"no pipeline costs at most {macs / 1e9:.3g} GFLOPs per person and frame",
                f"the cheapest is {cheapest.name} with {cheapest.macs_per_person_frame / 1e9:.3f} GFLOPs",
            )
        return best


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file whose checksum must match; WeightsError otherwise."""
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path} is damaged or was changed: its checksum differs", "restore it or install again")
    return data


def _read(path: Path) -> bytes:
    """The content of a file in a folder, or in a bundle of one file."""
    if is_archive(path.parent):
        return read_member(path.parent, path.name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}", "restore the file or install again") from error


def bundled_weights() -> Path:
    """The folder of the weights that come with the package (in a source checkout: `weights/` beside it)."""
    package = Path(str(resources.files("vipnas_cli")))
    inside = package / "weights"
    return inside if (inside / MANIFEST).is_file() else package.parent / "weights"


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder or file; WeightsError if its manifest is missing, foreign, incomplete or too new."""
    data = read_manifest(folder)
    try:
        return _bundle(folder, data)
    except (KeyError, TypeError, ValueError, SpecError) as error:
        raise WeightsError(f"{folder / MANIFEST} is incomplete: {error!r}", "restore it or export again") from error


def with_detector(bundle: Bundle) -> Bundle:
    """The bundle, with the person detector that comes with the package if it has none of its own."""
    return bundle if bundle.detector else replace(bundle, detector=open_bundle(bundled_weights()).detector)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder or file as JSON; WeightsError if it is missing, foreign or of a newer format."""
    path = folder / MANIFEST
    if folder.is_dir() and not path.exists():
        raise WeightsError(f"{folder} holds no {MANIFEST}", "name a folder that `vipnas export` wrote")
    try:
        data = json.loads(_read(path))
    except ValueError as error:
        raise WeightsError(f"{path} is not readable: {error}", "restore the file or export again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(found, int) or found < 1:
        raise WeightsError(f"{path} is not a manifest of vipnas: it states no format", "export the pipelines again")
    if found > FORMAT:
        raise WeightsError(f"{path} has format {found}, this vipnas reads up to {FORMAT}", "pip install -U vipnas")
    return dict(data)


def _bundle(folder: Path, data: dict[str, Any]) -> Bundle:
    networks = {
        name: NetworkFile(
            _inside(folder, row["file"]), row["sha256"], row["macs"], row["parameters"], Plan.from_json(row["plan"])
        )
        for name, row in data["networks"].items()
    }
    pipelines = tuple(
        Pipeline(row["name"], tuple(networks[name] for name in row["cycle"]), dict(row["scores"]))
        for row in data["pipelines"]
    )
    if not pipelines:
        raise ValueError("no pipelines")
    return Bundle(folder, data["skeleton"], pipelines, _detector(folder, data["detector"]))


def _detector(folder: Path, row: dict[str, Any] | None) -> DetectorFile | None:
    if not row:
        return None
    found = row.get("verifier")
    verifier = found and VerifierFile(
        _inside(folder, found["file"]),
        found["sha256"],
        found["macs"],
        found["height"],
        found["width"],
        found["threshold"],
    )
    own = row["sha256"], row["macs"], row["side"], row["threshold"]
    return DetectorFile(_inside(folder, row["file"]), *own, verifier or None)


def _inside(folder: Path, name: str) -> Path:
    """A file of the bundle; names that lead out of the folder are refused."""
    if Path(name).name != name:
        raise WeightsError(f"{folder / MANIFEST} names a file outside its folder: {name!r}", "do not use this bundle")
    return folder / name
