"""ONNX Runtime back end.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vipnas_cli.bundle.reader import (
    LARGEST_COST,
    LARGEST_NETWORK,
    UNTRAINED,
    DetectorFile,
    NetworkFile,
    Pipeline,
    VerifierFile,
)
from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.files import read_regular, shown
from vipnas_cli.inference.estimator import Crops, Heatmaps
from vipnas_cli.inference.metadata import PEOPLE, from_metadata
from vipnas_cli.inference.onnx_file import has_external_data
from vipnas_cli.inference.threads import MOST_THREADS, usable_cores
from vipnas_cli.pose import COCO17, HeatmapCodec, Skeleton
from vipnas_cli.spec import Plan, Schedule

Found = TypeVar("Found")

FACTS = DocumentKind("a network that vipnas exported", WeightsError, "use `vipnas export`")
# Crop pixels that each thread of the CPU works on at once: with more, what a layer leaves for the next one does not
# stay in the cache, and eight people take a sixth longer.
PIXELS_AT_ONCE = 256 * 192
# Runs of networks for several people that are worth their threads.
MOST_SIDE_BY_SIDE = 8
# What the runtime raises for data that is no network, or one that it cannot run.
_LOAD_ERRORS = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)


CPU = "CPUExecutionProvider"
PROVIDERS = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


@dataclass(frozen=True)
class RuntimeOptions:
    """How ONNX Runtime computes; `threads` 0 leaves room for decoding and encoding.

    `provider` is auto, cpu, cuda, openvino or coreml; auto takes CUDA where it works and the CPU elsewhere.
    `side_by_side`: how many people of a frame are computed at the same time on the CPU, 0: as many as `threads`, or as
    there are cores if those are left open.
    """

    threads: int = 0
    provider: str = "auto"
    side_by_side: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= MOST_THREADS:
            raise UsageError(
                f"{self.threads} threads per network are not 0 to {MOST_THREADS}", "use 0 for a good number"
            )

    @property
    def resolved_threads(self) -> int:
        """Threads per network: one of three cores is left to decoding, drawing and encoding."""
        return self.threads or max(1, min(8, usable_cores() * 2 // 3))

    @property
    def resolved_side_by_side(self) -> int:
        """People of a frame that are computed at the same time."""
        return self.side_by_side or self.threads or min(MOST_SIDE_BY_SIDE, usable_cores())


def available_providers() -> tuple[str, ...]:
    """The providers that this build of ONNX Runtime has, by the names of RuntimeOptions."""
    built = ort.get_available_providers()
    return tuple(name for name, long in PROVIDERS.items() if long in built)


def open_session(data: bytes, name: str, options: RuntimeOptions, alone: bool = False) -> ort.InferenceSession:
    """A session; WeightsError if the file is no ONNX network that this runtime can load.

    UsageError if the provider is not there or cannot start. `alone`: it gets one crop at a time, so that no shape is
    left to be computed; networks of others compute many.
    """
    _check_whole(data, name)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.resolved_threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Spinning workers would starve the decoding and encoding threads.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 4
    if alone:
        settings.add_free_dimension_override_by_name(PEOPLE, 1)
    wanted = _provider(options.provider)
    try:
        session = ort.InferenceSession(data, settings, providers=list(dict.fromkeys([wanted, CPU])))
    except (*_LOAD_ERRORS, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{name} is not a network that ONNX Runtime can load", "restore or export it again"
        ) from error
    # Where a provider's libraries are missing the runtime takes the next one without a word.
    if options.provider != "auto" and session.get_providers()[0] != wanted:
        raise UsageError(f"the provider {options.provider} cannot start here", "check its libraries, or use cpu")
    return session


def _provider(name: str) -> str:
    """The runtime's name of a provider; UsageError names those that can be had."""
    available = available_providers()
    if name == "auto":
        return PROVIDERS["cuda" if "cuda" in available else "cpu"]
    if name not in available:
        raise UsageError(f"the provider {name} is not available here", f"use {', '.join(available)} or auto")
    return PROVIDERS[name]


def read_metadata(session: ort.InferenceSession, name: str) -> dict[str, Any]:
    """What the network says of itself; WeightsError if it was not exported by vipnas."""
    try:
        entries = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise WeightsError(f"{shown(name)} is damaged: what it says of itself is no text", FACTS.hint) from error
    facts = from_metadata(entries, name, FACTS)
    if facts is None:
        raise WeightsError(f"{name} was not exported by vipnas", "use `vipnas export`")
    return facts


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


def read_network(path: Path) -> bytes:
    """The content of an ONNX file; WeightsError if it cannot be read."""
    try:
        return read_regular(path, LARGEST_NETWORK)
    except OSError as error:
        raise WeightsError(f"{shown(path)} cannot be read: {error.strerror}", "check the path") from error


def _check_whole(data: bytes, name: str) -> None:
    """WeightsError for a network that takes weights from other files, which no checksum covers."""
    try:
        external = has_external_data(data)
    except ValueError as error:
        # The runtime may read what this reader does not, and weights of other files with it.
        raise WeightsError(
            f"{name} is not a network that ONNX Runtime can load: {error}", "restore or export it again"
        ) from error
    if external:
        raise WeightsError(
            f"{shown(name)} takes weights from another file, which no checksum covers", "export it as one file"
        )


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


def run_session(
    session: ort.InferenceSession,
    outputs: list[str],
    inputs: Mapping[str, NDArray[np.generic]],
    options: ort.RunOptions | None = None,
) -> list[NDArray[np.float32]]:
    """The outputs of a network; WeightsError if it is not what it says, and fails only now."""
    try:
        found: list[NDArray[np.float32]] = session.run(outputs, dict(inputs), options)
    except (*_LOAD_ERRORS, state.RuntimeException, ValueError) as error:
        what = str(error).splitlines()[0][:200]
        raise WeightsError(f"a network cannot be run: {shown(what)}", "export it again") from error
    return found


@dataclass(frozen=True)
class _Home:
    """The process that opened sessions; its forks lack the threads and the GPU that all but `free` sessions need."""

    free: bool
    process: int = field(default_factory=os.getpid)

    @staticmethod
    def of(provider: str, options: RuntimeOptions) -> _Home:
        """That of sessions which are opened now, on a provider by its name in the runtime."""
        return _Home(options.resolved_threads == 1 and provider == CPU)

    def check(self) -> None:
        """UsageError in a fork for sessions that are not free: they would be slow, hang or crash there."""
        if not self.free and os.getpid() != self.process:
            raise UsageError(
                "networks with several threads or on a GPU cannot be used in a fork of the process that opened them",
                "open the tracker in the worker process, start workers by spawn, or give threads=1 on the CPU",
            )


class _Workers:
    """Threads that compute beside this one; a fork, which has none of them, starts its own."""

    def __init__(self, count: int, name: str) -> None:
        self._started = partial(ThreadPoolExecutor, max(1, count), name)
        self._process, self._threads = os.getpid(), self._started()

    def side_by_side(self, run: Callable[[slice], Found], parts: Sequence[slice]) -> list[Found]:
        """What each part gives, in their order: the first in this thread, whose caches know the network, others beside
        it."""
        if os.getpid() != self._process:
            self._process, self._threads = os.getpid(), self._started()
        others = [self._threads.submit(run, part) for part in parts[1:]]
        return [run(parts[0]), *(job.result() for job in others)]


class _Sessions:
    """The networks of a cycle, `files` what each is; a network that serves several positions is loaded once."""

    def __init__(
        self, networks: Sequence[NetworkFile], files: Mapping[NetworkFile, bytes], options: RuntimeOptions
    ) -> None:
        pixels = PIXELS_AT_ONCE * options.resolved_threads if _provider(options.provider) == CPU else sys.maxsize
        most = {network: _crops_at_once(network, pixels) for network in networks}
        loaded = {
            network: open_session(files[network], str(network.path), options, alone=count == 1)
            for network, count in most.items()
        }
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


def runs_of(crops: int, most: int, side_by_side: int) -> list[slice]:
    """The rows of so many crops in runs of a network that computes at most `most`: as many runs as go side by side, or
    more."""
    count = max(-(-crops // most), min(side_by_side, crops), 1)
    return [slice(*edges) for edges in pairwise(crops * run // count for run in range(count + 1))]


def _crops_at_once(network: NetworkFile, pixels: int) -> int:
    """How many crops of so many pixels in all a network computes at once."""
    return max(1, pixels // (network.plan.arch.height * network.plan.arch.width))


class OnnxEstimator:
    """The networks of a pipeline. On the CPU several people are computed side by side, each on a thread of its own,
    which is faster than many threads for one after the other."""

    skeleton: Skeleton = COCO17

    def __init__(self, pipeline: Pipeline, options: RuntimeOptions) -> None:
        self.schedule: Schedule = pipeline.schedule
        # Read once, as files may be gone when the second person comes.
        files = {network: network.read() for network in set(pipeline.networks)}
        self._of_one = _Sessions(pipeline.networks, files, options)
        self.provider = self._of_one.provider
        self._home = _Home.of(self.provider, options)
        self._side_by_side = options.resolved_side_by_side if self.provider == CPU else 1
        self._workers = _Workers(self._side_by_side - 1, "networks")
        self._of_many: Callable[[], _Sessions] = lambda: self._of_one
        if options.resolved_threads > 1 and self._side_by_side > 1:
            self._of_many = cache(partial(_Sessions, pipeline.networks, files, replace(options, threads=1)))

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of RGB crops (P, H, W, 3); see PoseEstimator.

        UsageError in a fork that cannot run the networks, see _Home.
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
        if len(crops) < 2 or self._side_by_side == 1:
            found = [self._of_one.run(place, inputs, part) for part in self._of_one.parts(place, len(crops), 1)]
        else:
            sessions = self._of_many()
            parts = sessions.parts(place, len(crops), self._side_by_side)
            found = self._workers.side_by_side(partial(sessions.run, place, inputs), parts)
        return found[0] if len(found) == 1 else np.concatenate(found)


class OnnxDetector:
    """The person detector of a bundle, with its verifier if it has one."""

    def __init__(self, file: DetectorFile, options: RuntimeOptions) -> None:
        self.letterbox = file.letterbox
        self.threshold = file.threshold
        self.verifier = None if file.verifier is None else OnnxVerifier(file.verifier, options)
        self._session = open_session(file.read(), str(file.path), options)
        self._home = _Home.of(self._session.get_providers()[0], options)

    def detect(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of an RGB picture (H, W, 3); see CellDetector.

        UsageError in a fork that cannot run it, see _Home.
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
        on_cpu = _provider(options.provider) == CPU
        self._side_by_side = options.resolved_side_by_side if on_cpu else 1
        # There is hardly ever one box alone.
        options = replace(options, threads=1) if self._side_by_side > 1 else options
        self._session = open_session(file.read(), str(file.path), options)
        self._home = _Home.of(self._session.get_providers()[0], options)
        pixels = PIXELS_AT_ONCE * options.resolved_threads if on_cpu else sys.maxsize
        self._most = max(1, pixels // (self.height * self.width))
        self._workers = _Workers(self._side_by_side - 1, "verifier")

    def verify(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) in 0–1 and places (N, 4) of RGB crops (N, H, W, 3).

        UsageError in a fork that cannot run it, see _Home.
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
