"""Pipelines on disk: ONNX networks and a manifest that says what each is and what it costs, a folder or one file.

The manifest is JSON and the networks are ONNX, so loading never runs code. Needs no torch.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from itertools import accumulate
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.archive import is_archive, read_member
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import BudgetError, WeightsError
from vipnas_cli.files import inside, read_regular, shown
from vipnas_cli.pose.letterbox import Fit, Letterbox
from vipnas_cli.spec import Plan, Schedule
from vipnas_cli.spec.arch import LARGEST
from vipnas_cli.spec.budget import Budget, best_within

# Raised when an older vipnas would misread what is written; all formats from 1 on are read.
FORMAT = 1
MANIFEST = "manifest.json"
MANIFESTS = DocumentKind("a complete manifest of vipnas", WeightsError, "restore it or export again")
# Scores of a pipeline: what ranks it, the standard error, and what its key network has by itself on every frame.
SELECTION, SELECTION_ERROR, SELECTION_KEY = "selection", "selection_error", "selection_key"
# The bounds of the format of networks, and of what anybody would call a cost.
LARGEST_NETWORK, LARGEST_COST = 2_000_000_000, 10**15

# Where the weights of a network come from that has none.
UNTRAINED = "untrained"


@dataclass(frozen=True)
class NetworkFile:
    """One ONNX network of a bundle; `macs` are multiply-accumulates of one crop; not `trained` is good for timing only.

    The path of a network in a bundle of one file is that file's, and the network's name below it.
    """

    path: Path
    sha256: str
    macs: int
    parameters: int
    plan: Plan
    trained: bool = True

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
    """The person detector of a bundle; `macs` are those of a picture of fixed size, or of a square frame's.

    `verifier` None: nothing verifies its boxes unless that is asked for.
    """

    path: Path
    sha256: str
    macs: int
    letterbox: Letterbox
    threshold: float
    verifier: VerifierFile | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture that costs `macs`."""
        return self.letterbox.picture_size(self.letterbox.side, self.letterbox.side)

    def macs_for(self, height: int, width: int) -> int:
        """What it costs to look at a frame: its layers grow with the area of the picture."""
        return self._macs_of(self.letterbox.picture_size(height, width))

    def _macs_of(self, picture: tuple[int, int]) -> int:
        return round(self.macs * math.prod(picture) / math.prod(self.size))

    def at(self, side: int) -> DetectorFile:
        """The same detector on pictures of another size, which its cost grows with; UsageError if it takes but one."""
        found = replace(self, letterbox=self.letterbox.at(side))
        return replace(found, macs=self._macs_of(found.size))

    def verified(self) -> DetectorFile:
        """The detector with the verifier that comes with the package if it has none of its own."""
        bundled = open_bundle(bundled_weights()).detector
        return self if self.verifier or bundled is None else replace(self, verifier=bundled.verifier)

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
    def trained(self) -> bool:
        """Whether all its networks are, so that its poses mean something."""
        return all(network.trained for network in self.networks)

    @property
    def macs_per_person_frame(self) -> float:
        """Mean cost per person and frame over one cycle."""
        return sum(network.macs for network in self.networks) / len(self.networks)

    @property
    def least_gflops(self) -> str:
        """That cost in GFLOPs as a budget that buys the pipeline."""
        return least_gflops(self.macs_per_person_frame)

    @property
    def alone(self) -> Pipeline:
        """Its key network on every frame, without followers."""
        if len(self.networks) == 1:
            return self
        score = self.selection_key
        return replace(self, name=f"{self.name}-key", networks=self.networks[:1], scores={SELECTION: score})

    def shortest_cycle(self, macs: float) -> int:
        """After how many frames a key frame may follow another so that a person costs at most so many multiply-
        accumulates per frame; the whole cycle, if that alone costs more."""
        spent = accumulate(network.macs for network in self.networks)
        lengths = (length for length, total in enumerate(spent, 1) if total <= macs * length)
        return next(lengths, len(self.networks))

    @property
    def selection(self) -> float:
        """The score by which the best within a budget is chosen; 0 without one."""
        return self.scores.get(SELECTION, 0.0)

    @property
    def selection_key(self) -> float:
        """The same score of its key network alone; 0 without one."""
        return self.scores.get(SELECTION_KEY, 0.0)

    @property
    def selection_error(self) -> float:
        """The standard error of that score: within it the cheaper pipeline is taken; 0 without one."""
        return self.scores.get(SELECTION_ERROR, 0.0)


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

    @property
    def size(self) -> int:
        """Bytes of all networks that it names, each counted once, or of the one file that it is."""
        if self.folder.is_file():
            return self.folder.stat().st_size
        files = {network.path for pipeline in self.pipelines for network in pipeline.networks}
        if self.detector is not None:
            files.add(self.detector.path)
            if self.detector.verifier is not None:
                files.add(self.detector.verifier.path)
        return sum(path.stat().st_size for path in files if path.is_file())

    def alone_within(self, macs: float) -> Pipeline | None:
        """The best key network that costs at most `macs`, on every frame; None where none costs so little."""
        return best_within(
            [pipeline.alone for pipeline in sorted(self.pipelines, key=lambda pipeline: len(pipeline.networks))],
            macs,
            lambda pipeline: pipeline.macs_per_person_frame,
            lambda pipeline: pipeline.selection,
        )

    def within(self, macs: float) -> Pipeline:
        """The best pipeline whose mean cost per person and frame is at most `macs`; BudgetError names the cheapest."""
        best = best_within(
            self.pipelines,
            macs,
            lambda pipeline: pipeline.macs_per_person_frame,
            lambda pipeline: pipeline.selection,
            lambda pipeline: pipeline.selection_error,
        )
        if best is None:
            cheapest = self.by_cost[0]
            raise BudgetError(
                f"no pipeline costs at most {Budget(macs, 'macs')} per person and frame",
                f"the cheapest is {cheapest.name} with {cheapest.least_gflops} GFLOPs",
            )
        return best


def least_gflops(macs: float) -> str:
    """A cost in GFLOPs, rounded up to three digits, so that a budget of it pays for it."""
    # Above whole millions, too: a text read back may be a hair below the number that it was made of.
    return f"{(math.floor(macs / 1e6) + 1) / 1e3:.3f}"


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file whose checksum must match; WeightsError otherwise."""
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path} is damaged or was changed: its checksum differs", "restore it or install again")
    return data


def _read(path: Path, largest: int = LARGEST_NETWORK) -> bytes:
    """The content of a file in a folder, or in a bundle of one file."""
    if is_archive(path.parent):
        return read_member(path.parent, path.name)
    inside(path.parent, path.name, WeightsError)
    try:
        return read_regular(path, largest)
    except OSError as error:
        what = f"{shown(path)} cannot be read: {error.strerror}"
        raise WeightsError(what, "restore the file or install again") from error


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


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder or file as JSON; WeightsError if it is missing, foreign or of a newer format.

    What it says of networks, pipelines and the detector has the right types, and names files inside the folder only.
    """
    path = folder / MANIFEST
    if folder.is_dir() and not path.exists():
        raise WeightsError(f"{shown(folder)} holds no {MANIFEST}", "name a folder that `vipnas export` wrote")
    data = MANIFESTS.parse_any(_read(path, MANIFESTS.largest), path)
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
