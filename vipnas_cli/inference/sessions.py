"""Networks in ONNX Runtime: what it computes on, sessions and their faults, several crops side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vipnas_cli.bundle.pipelines import LARGEST_NETWORK
from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.files import read_regular, shown
from vipnas_cli.inference.metadata import PEOPLE, from_metadata
from vipnas_cli.inference.onnx_file import has_external_data
from vipnas_cli.inference.threads import MOST_THREADS, usable_cores

Found = TypeVar("Found")

FACTS = DocumentKind("a network that vipnas exported", WeightsError, "use `vipnas export`")

# Runs of networks for several people that are worth their threads.
MOST_SIDE_BY_SIDE = 8
# Threads that a network gets unasked, and the multiply-accumulates that are worth one: with a smaller share each waits
# longer for the others than it computes.
MOST_UNASKED, WORK_PER_THREAD = 8, 80e6

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
    """How ONNX Runtime computes; a network gets at most so many `threads`, 0: as many as leave room for decoding and
    encoding.

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
        """Threads of a large network: of more than two cores one in three is left to decoding, drawing and encoding."""
        cores = usable_cores()
        return self.threads or min(MOST_UNASKED, cores, max(2, cores * 2 // 3))

    @property
    def resolved_side_by_side(self) -> int:
        """People of a frame that are computed at the same time."""
        return self.side_by_side or self.threads or min(MOST_SIDE_BY_SIDE, usable_cores())

    def threads_for(self, macs: float) -> int:
        """Threads that a network of so many multiply-accumulates is worth, those of a large one at most."""
        return max(1, min(self.resolved_threads, int(macs / WORK_PER_THREAD)))


def available_providers() -> tuple[str, ...]:
    """The providers that this build of ONNX Runtime has, by the names of RuntimeOptions."""
    built = ort.get_available_providers()
    return tuple(name for name, long in PROVIDERS.items() if long in built)


def session_settings(threads: int) -> ort.SessionOptions:
    """The settings of a session of so many threads."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # To wake a thread for a layer takes as long as the layer, so they spin in between, but not in between runs, where
    # that would starve decoding and encoding.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1")
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    return settings


def open_session(data: bytes, name: str, options: RuntimeOptions, alone: bool = False) -> ort.InferenceSession:
    """A session; WeightsError if the file is no ONNX network that this runtime can load.

    UsageError if the provider is not there or cannot start. `alone`: it gets one crop at a time, so that no shape is
    left to be computed; networks of others compute many.
    """
    _check_whole(data, name)
    settings = session_settings(options.resolved_threads)
    settings.log_severity_level = 4
    if alone:
        settings.add_free_dimension_override_by_name(PEOPLE, 1)
    wanted = provider_named(options.provider)
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


def provider_named(name: str) -> str:
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
class Home:
    """The process that opened sessions; its forks lack the threads and the GPU that all but `free` sessions need."""

    free: bool
    process: int = field(default_factory=os.getpid)

    @staticmethod
    def of(provider: str, options: RuntimeOptions) -> Home:
        """That of sessions which are opened now, on a provider by its name in the runtime."""
        return Home(options.resolved_threads == 1 and provider == CPU)

    def check(self) -> None:
        """UsageError in a fork for sessions that are not free: they would be slow, hang or crash there."""
        if not self.free and os.getpid() != self.process:
            raise UsageError(
                "networks with several threads or on a GPU cannot be used in a fork of the process that opened them",
                "open the tracker in the worker process, start workers by spawn, or give threads=1 on the CPU",
            )


class Workers:
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


def runs_of(crops: int, most: int, side_by_side: int) -> list[slice]:
    """The rows of so many crops in runs of a network that computes at most `most`: as many runs as go side by side, or
    more."""
    count = max(-(-crops // most), min(side_by_side, crops), 1)
    return [slice(*edges) for edges in pairwise(crops * run // count for run in range(count + 1))]
