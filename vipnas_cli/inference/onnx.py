"""ONNX Runtime back end.

Shapes: P people, K keypoints, H, W pixels, h, w cells.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from vipnas_cli.pose import COCO17, Skeleton
from vipnas_cli.spec import Plan, Schedule

FACTS = DocumentKind("a network that vipnas exported", WeightsError, "use `vipnas export`")
# Crop pixels that each thread of the CPU works on at once: with more, what a layer leaves for the next one does not
# stay in the cache, and eight people take a sixth longer.
PIXELS_AT_ONCE = 256 * 192
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
    """

    threads: int = 0
    provider: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= MOST_THREADS:
            raise UsageError(
                f"{self.threads} threads per network are not 0 to {MOST_THREADS}", "use 0 for a good number"
            )

    @property
    def resolved_threads(self) -> int:
        """Threads per network: one of three cores is left to decoding, drawing and encoding."""
        return self.threads or max(1, min(8, (usable_cores() * 2 + 2) // 3))


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
    except ValueError:
        return  # the runtime tells what is wrong with it
    if external:
        raise WeightsError(
            f"{shown(name)} takes weights from another file, which no checksum covers", "export it as one file"
        )


def pipeline_from_onnx(path: Path) -> Pipeline:
    """A pipeline of one exported image network; WeightsError if it is foreign or needs previous heatmaps."""
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


class OnnxEstimator:
    """The networks of a pipeline; a network that serves several positions is loaded once."""

    skeleton: Skeleton = COCO17

    def __init__(self, pipeline: Pipeline, options: RuntimeOptions) -> None:
        self.schedule: Schedule = pipeline.schedule
        self._pixels_at_once = PIXELS_AT_ONCE * options.resolved_threads
        on_cpu = _provider(options.provider) == CPU
        sessions: dict[NetworkFile, ort.InferenceSession] = {}
        for network in pipeline.networks:
            if network not in sessions:
                alone = on_cpu and self._at_once(network.plan.arch.height, network.plan.arch.width) == 1
                sessions[network] = open_session(network.read(), str(network.path), options, alone)
        self._sessions = [sessions[network] for network in pipeline.networks]
        # What is not asked for, such as points that the graph decodes, is not computed; to find out what that is takes
        # time with each run.
        only_asked = ort.RunOptions()
        only_asked.only_execute_path_to_fetches = True
        self._options = [only_asked if len(session.get_outputs()) > 1 else None for session in self._sessions]
        if self.provider != CPU:
            self._pixels_at_once = sys.maxsize
        # A network of others may take one crop at a time only.
        self._alone = [session.get_inputs()[0].shape[0] == 1 for session in self._sessions]

    @property
    def provider(self) -> str:
        """The runtime's name of the provider in use."""
        name: str = self._sessions[0].get_providers()[0]
        return name

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of RGB crops (P, H, W, 3); see PoseEstimator."""
        place = position % len(self._sessions)
        inputs: dict[str, NDArray[np.generic]] = {"images": crops}
        if self.schedule.plan(position).fusion.operation != "none":
            if previous is None:
                raise WeightsError(
                    f"position {position} of the cycle needs previous heatmaps", "start with a key frame"
                )
            inputs["previous_heatmaps"] = previous
        at_once = self._at_once(crops.shape[1], crops.shape[2])
        if self._alone[place]:
            at_once = 1
        if len(crops) <= at_once:
            return self._run(place, inputs)
        parts = range(0, len(crops), at_once)
        return np.concatenate(
            [self._run(place, {name: rows[i : i + at_once] for name, rows in inputs.items()}) for i in parts]
        )

    def _at_once(self, height: int, width: int) -> int:
        """How many crops of a size are computed at once."""
        return max(1, self._pixels_at_once // (height * width))

    def _run(self, place: int, inputs: dict[str, NDArray[np.generic]]) -> Heatmaps:
        (heatmaps,) = run_session(self._sessions[place], ["heatmaps"], inputs, self._options[place])
        people, height, width = inputs["images"].shape[:3]
        if heatmaps.ndim != 4 or (len(heatmaps), *heatmaps.shape[2:]) != (people, height // 4, width // 4):
            raise WeightsError(f"a network gives heatmaps of the shape {heatmaps.shape}", "export it again")
        return heatmaps


class OnnxDetector:
    """The person detector of a bundle, with its verifier if it has one."""

    def __init__(self, file: DetectorFile, options: RuntimeOptions) -> None:
        self.letterbox = file.letterbox
        self.threshold = file.threshold
        self.verifier = None if file.verifier is None else OnnxVerifier(file.verifier, options)
        self._session = open_session(file.read(), str(file.path), options)

    def detect(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (h, w) and boxes (h, w, 4) xyxy of an RGB picture (H, W, 3); see CellDetector."""
        scores, boxes = run_session(self._session, ["scores", "boxes"], {"images": picture[None]})
        return scores[0], boxes[0]


class OnnxVerifier:
    """The network of a bundle that verifies the detector's boxes; see Verifier."""

    def __init__(self, file: VerifierFile, options: RuntimeOptions) -> None:
        self.height, self.width = file.height, file.width
        self.threshold = file.threshold
        self._session = open_session(file.read(), str(file.path), options)
        on_cpu = self._session.get_providers()[0] == CPU
        pixels = PIXELS_AT_ONCE * options.resolved_threads if on_cpu else sys.maxsize
        self._at_once = max(1, pixels // (self.height * self.width))

    def verify(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (N,) in 0–1 and places (N, 4) of RGB crops (N, H, W, 3)."""
        parts = [crops[i : i + self._at_once] for i in range(0, max(len(crops), 1), self._at_once)]
        found = [run_session(self._session, ["scores", "places"], {"images": part}) for part in parts]
        scores, places = (np.concatenate(rows) if len(rows) > 1 else rows[0] for rows in zip(*found, strict=True))
        return scores, places
