"""ONNX Runtime back end.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from vipnas_cli.bundle.pipelines import LARGEST_COST, DetectorFile, NetworkFile, Pipeline, VerifierFile
from vipnas_cli.bundle.reader import UNTRAINED
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import shown
from vipnas_cli.inference.estimator import Crops, Heatmaps
from vipnas_cli.inference.sessions import (
    CPU,
    FACTS,
    Home,
    RuntimeOptions,
    Workers,
    open_session,
    provider_named,
    read_metadata,
    read_network,
    run_session,
    runs_of,
)
from vipnas_cli.pose import COCO17, HeatmapCodec, Skeleton
from vipnas_cli.spec import Plan, Schedule

# Crop pixels that each thread of the CPU works on at once: with more, what a layer leaves for the next one does not
# stay in the cache, and eight people take a sixth longer.
PIXELS_AT_ONCE = 256 * 192


@dataclass(frozen=True)
class PoseFacts:
    """What a pose network says of itself, as far as `run` needs it."""

    plan: dict[str, Any]
    macs: int
    parameters: int
    origin: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.macs < LARGEST_COST:
            raise ValueError(f"macs must be 0 to {LARGEST_COST:g}")


def pipeline_from_onnx(path: Path) -> Pipeline:
    """A pipeline of one exported image network; WeightsError if it is foreign or needs previous heatmaps."""
    if path.suffix == ".safetensors":
        raise WeightsError(f"{shown(path)} is a checkpoint of a training", "export it first with vipnas export")
    data = read_network(path)
    stated = read_metadata(open_session(data, str(path), RuntimeOptions(1)), str(path))
    if "plan" not in stated:
        raise WeightsError(f"{shown(path)} is no pose network", "name a pose network or a folder of pipelines")
    facts = FACTS.convert(stated, path, PoseFacts)
    with FACTS.told(path):
        plan = Plan.from_json(facts.plan)
    if plan.fusion.operation != "none":
        raise WeightsError(f"{shown(path)} is a follower and cannot start a cycle", "name a folder of pipelines")
    trained = facts.origin != UNTRAINED
    file = NetworkFile(path, hashlib.sha256(data).hexdigest(), facts.macs, facts.parameters, plan, trained)
    return Pipeline(path.stem, (file,), {})


# A network on so many threads, for one crop at a time or for many.
_Opened = Callable[[NetworkFile, int, bool], ort.InferenceSession]


class _Sessions:
    """The networks of a cycle, on so many `threads` each; one that serves several positions is loaded once."""

    def __init__(
        self, networks: Sequence[NetworkFile], threads: Mapping[NetworkFile, int], opened: _Opened, on_cpu: bool
    ) -> None:
        self.threads = [threads[network] for network in networks]
        each = threads.items()
        most = {network: _crops_at_once(network, count) if on_cpu else sys.maxsize for network, count in each}
        loaded = {network: opened(network, count, most[network] == 1) for network, count in each}
        self._sessions = [loaded[network] for network in networks]
        # A network of others may take one crop at a time only.
        self._most = [1 if loaded[n].get_inputs()[0].shape[0] == 1 else most[n] for n in networks]
        # What is not asked for, such as points that the graph decodes, is not computed; to find out what that is takes
        # time with each run.
        only_asked = ort.RunOptions()
        only_asked.only_execute_path_to_fetches = True
        self._options = [only_asked if len(session.get_outputs()) > 1 else None for session in self._sessions]

    @property
    def provider(self) -> str:
        """The runtime's name of the provider in use."""
        name: str = self._sessions[0].get_providers()[0]
        return name

    def parts(self, place: int, people: int, runs: int) -> list[slice]:
        """The crops of so many people in runs of the network at that place; see `runs_of`."""
        return runs_of(people, self._most[place], runs)

    def run(self, place: int, inputs: Mapping[str, NDArray[np.generic]], rows: slice) -> Heatmaps:
        """Heatmaps (P, K, h, w) of some rows of the inputs."""
        chosen = {name: values[rows] for name, values in inputs.items()}
        (heatmaps,) = run_session(self._sessions[place], ["heatmaps"], chosen, self._options[place])
        people, height, width = chosen["images"].shape[:3]
        codec = HeatmapCodec(height, width)
        if heatmaps.shape != (people, len(COCO17.keypoints), codec.rows, codec.columns):
            raise WeightsError(f"a network gives heatmaps of the shape {heatmaps.shape}", "export it again")
        return heatmaps


def _crops_at_once(network: NetworkFile, threads: int) -> int:
    """How many crops a network computes at once on so many threads of the CPU."""
    return max(1, PIXELS_AT_ONCE * threads // (network.plan.arch.height * network.plan.arch.width))


class OnnxEstimator:
    """The networks of a pipeline. On the CPU several people are computed side by side, each on a thread of its own,
    which is faster than many threads for one after the other, unless there are no more cores than one can use."""

    skeleton: Skeleton = COCO17

    def __init__(self, pipeline: Pipeline, options: RuntimeOptions) -> None:
        self.schedule: Schedule = pipeline.schedule
        # Read once, as files may be gone when the second person comes.
        files = {network: network.read() for network in set(pipeline.networks)}

        @cache
        def opened(network: NetworkFile, threads: int, alone: bool) -> ort.InferenceSession:
            return open_session(files[network], str(network.path), replace(options, threads=threads), alone)

        on_cpu = provider_named(options.provider) == CPU
        alone = {network: options.threads_for(network.macs) for network in files}
        self._of_one = _Sessions(pipeline.networks, alone, opened, on_cpu)
        self.provider = self._of_one.provider
        self._home = Home.of(self.provider, options)
        self._side_by_side = options.resolved_side_by_side if self.provider == CPU else 1
        self._workers = Workers(self._side_by_side - 1, "networks")
        # Where a network takes all cores for one person, a second session would take memory and no less time.
        together = {network: count if count >= self._side_by_side else 1 for network, count in alone.items()}
        self._of_many = cache(partial(_Sessions, pipeline.networks, together, opened, on_cpu))

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of RGB crops (P, H, W, 3); see PoseEstimator.

        UsageError in a fork that cannot run the networks, see Home.
        """
        self._home.check()
        place = position % len(self.schedule)
        inputs: dict[str, NDArray[np.generic]] = {"images": crops}
        if self.schedule.plan(position).fusion.operation != "none":
            if previous is None:
                raise WeightsError(
                    f"position {position} of the cycle needs previous heatmaps", "start with a key frame"
                )
            inputs["previous_heatmaps"] = previous
        sessions = self._of_one if len(crops) < 2 else self._of_many()
        run = partial(sessions.run, place, inputs)
        if sessions.threads[place] >= self._side_by_side:
            found = [run(part) for part in sessions.parts(place, len(crops), 1)]
        else:
            found = self._workers.side_by_side(run, sessions.parts(place, len(crops), self._side_by_side))
        return found[0] if len(found) == 1 else np.concatenate(found)


class OnnxDetector:
    """The person detector of a bundle, with its verifier if it has one."""

    def __init__(self, file: DetectorFile, options: RuntimeOptions) -> None:
        self.letterbox = file.letterbox
        self.threshold = file.threshold
        self.verifier = None if file.verifier is None else OnnxVerifier(file.verifier, options)
        working = replace(options, threads=options.threads_for(file.macs))
        self._session = open_session(file.read(), str(file.path), working)
        self._home = Home.of(self._session.get_providers()[0], options)

    def detect(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of an RGB picture (H, W, 3); see CellDetector.

        UsageError in a fork that cannot run it, see Home.
        """
        self._home.check()
        scores, boxes = run_session(self._session, ["scores", "boxes"], {"images": picture[None]})
        if scores.ndim != 3 or len(scores) != 1 or boxes.shape != (*scores.shape, 4):
            raise WeightsError(
                f"a detector gives scores {scores.shape} and boxes {boxes.shape} of a picture", "export it again"
            )
        return scores[0], boxes[0]


class OnnxVerifier:
    """The network of a bundle that verifies the detector's boxes, on the CPU several of them side by side; see
    Verifier."""

    def __init__(self, file: VerifierFile, options: RuntimeOptions) -> None:
        self.height, self.width = file.height, file.width
        self.threshold = file.threshold
        on_cpu = provider_named(options.provider) == CPU
        self._side_by_side = options.resolved_side_by_side if on_cpu else 1
        # There is hardly ever one box alone.
        options = replace(options, threads=1) if self._side_by_side > 1 else options
        self._session = open_session(file.read(), str(file.path), options)
        self._home = Home.of(self._session.get_providers()[0], options)
        pixels = PIXELS_AT_ONCE * options.resolved_threads if on_cpu else sys.maxsize
        self._most = max(1, pixels // (self.height * self.width))
        self._workers = Workers(self._side_by_side - 1, "verifier")

    def verify(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) in 0–1 and places (N, 4) of RGB crops (N, H, W, 3).

        UsageError in a fork that cannot run it, see Home.
        """
        self._home.check()
        parts = runs_of(len(crops), self._most, self._side_by_side)
        found = self._workers.side_by_side(partial(self._run, crops), parts)
        scores, places = (np.concatenate(rows) if len(rows) > 1 else rows[0] for rows in zip(*found, strict=True))
        return scores, places

    def _run(self, crops: NDArray[np.uint8], rows: slice) -> list[NDArray[np.float32]]:
        seen = crops[rows]
        scores, places = run_session(self._session, ["scores", "places"], {"images": seen})
        if scores.shape != (len(seen),) or places.shape != (len(seen), 4):
            raise WeightsError(
                f"a verifier gives scores {scores.shape} and places {places.shape} of {len(seen)} crops",
                "export it again",
            )
        return [scores, places]
