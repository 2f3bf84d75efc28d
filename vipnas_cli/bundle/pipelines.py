"""What a bundle holds: pipelines of networks that are checked when they are read, their costs and their scores."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from vipnas_cli.bundle.archive import is_archive, read_member
from vipnas_cli.errors import BudgetError, WeightsError
from vipnas_cli.files import inside, read_regular, shown
from vipnas_cli.pose.letterbox import Letterbox
from vipnas_cli.spec import Plan, Schedule
from vipnas_cli.spec.budget import Budget, best_within, least_gflops

# Scores of a pipeline: what ranks it, the standard error, and what its key network has by itself on every frame.
SELECTION, SELECTION_ERROR, SELECTION_KEY = "selection", "selection_error", "selection_key"

# The bounds of the format of networks, and of what anybody would call a cost.
LARGEST_NETWORK, LARGEST_COST = 2_000_000_000, 10**15


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


def read_checked(path: Path, sha256: str) -> bytes:
    """The content of a file whose checksum must match; WeightsError otherwise."""
    data = read_file(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path} is damaged or was changed: its checksum differs", "restore it or install again")
    return data


def read_file(path: Path, largest: int = LARGEST_NETWORK) -> bytes:
    """The content of a file in a folder, or in a bundle of one file."""
    if is_archive(path.parent):
        return read_member(path.parent, path.name)
    inside(path.parent, path.name, WeightsError)
    try:
        return read_regular(path, largest)
    except OSError as error:
        what = f"{shown(path)} cannot be read: {error.strerror}"
        raise WeightsError(what, "restore the file or install again") from error
