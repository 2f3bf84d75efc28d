"""Times layers and whole networks with random weights in ONNX Runtime."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from vipnas_cli.errors import VipnasError
from vipnas_cli.files import scratch_folder
from vipnas_cli.inference.frozen import OnnxKey
from vipnas_cli.inference.sessions import RuntimeOptions, open_session, session_settings
from vipnas_cli.latency.lanes import Lanes, drop_norms, lane_of
from vipnas_cli.latency.table import layer_key
from vipnas_cli.nets.posenet import HEATMAP_STRIDE, PoseNet
from vipnas_cli.onnx.exporter import Deployed, to_onnx
from vipnas_cli.spec import Plan
from vipnas_cli.spec.layers import Layer
from vipnas_cli.timing import WARM_UP, times_ms

# Lanes of one graph, and graphs that take turns, so that a slow moment of the machine meets many layers a little.
LANES, GRAPHS = 32, 4
# A low quantile: other processes make some runs slower and none faster.
QUANTILE = 0.1
# A layer that takes longer is timed once more by the processor's own clock.
LONG_MS, LONG_ROUNDS = 1.5, 3
_IDLE = "/idle/"
_SCOPE = re.compile(r"lanes\.(\d+)/(before|skip|body|after)")


@dataclass(frozen=True)
class ProbeOptions:
    """How to measure: threads of a network, of whatever size it is; runs of each layer, and rounds × runs of each whole
    network."""

    threads: int = 1
    keypoints: int = 17
    layer_runs: int = 24
    rounds: int = 15
    runs: int = 5


class Probe(Protocol):
    """Something that knows times; tests have one without a clock."""

    def layer_ms(self, layers: Sequence[Layer], on_layer: Callable[[], None]) -> list[float]:
        """Milliseconds of each layer; `on_layer` is called once for each."""
        ...

    def plan_ms(self, plans: Sequence[Plan], on_plan: Callable[[], None]) -> list[float]:
        """Milliseconds of each whole network for one crop; `on_plan` is called once for each."""
        ...


@dataclass(frozen=True)
class OnnxProbe:
    """Measures in ONNX Runtime on the processor of this machine."""

    options: ProbeOptions = ProbeOptions()

    def layer_ms(self, layers: Sequence[Layer], on_layer: Callable[[], None]) -> list[float]:
        """See Probe."""
        found: list[float] = []
        step = LANES * GRAPHS
        for start in range(0, len(layers), step):
            block = layers[start : start + step]
            with scratch_folder() as folder:
                graphs = [
                    _ProfiledGraph(block[first : first + LANES], folder, self.options.threads)
                    for first in range(0, len(block), LANES)
                ]
                for _ in range(self.options.layer_runs + WARM_UP):
                    for graph in graphs:
                        graph.run()
                profiled = [ms for graph in graphs for ms in graph.finish()]
            for layer, ms in zip(block, profiled, strict=True):
                found.append(min(ms, self._most_ms(layer)) if ms > LONG_MS else ms)
                on_layer()
        return found

    def _most_ms(self, layer: Layer) -> float:
        """What a layer takes at most: its whole lane, by a clock that leaves out other processes where there is one.

        The runtime's profile goes by the wall clock, so that a node of several milliseconds is rarely left in peace.
        """
        with _own_randomness():
            net = Lanes([lane_of(layer)])
            drop_norms(net)
        data, inputs = _graph(net)
        session = open_session(data, layer_key(layer), RuntimeOptions(self.options.threads, "cpu"))
        return min(_median_ms(lambda: session.run(None, inputs), self.options) for _ in range(LONG_ROUNDS))

    def plan_ms(self, plans: Sequence[Plan], on_plan: Callable[[], None]) -> list[float]:
        """See Probe; the networks take turns."""
        calls = []
        for plan in plans:
            calls.append(network_call(plan, self.options))
            on_plan()
        medians: list[list[float]] = [[] for _ in plans]
        for _ in range(self.options.rounds):
            for call, found in zip(calls, medians, strict=True):
                found.append(_median_ms(call, self.options))
        return [min(found) for found in medians]


def measured_ms(network: Plan | PoseNet, options: ProbeOptions = ProbeOptions()) -> float:
    """Milliseconds of a network for one crop in ONNX Runtime, random weights or not: the best of several medians."""
    call = network_call(network, options)
    return min(_median_ms(call, options) for _ in range(options.rounds))


def measured_key_ms(key: OnnxKey, options: ProbeOptions = ProbeOptions()) -> float:
    """Milliseconds of a frozen key network for one crop, measured as those of other networks are."""
    file = key.pipeline.networks[0]
    session = open_session(file.read(), key.name, RuntimeOptions(options.threads, "cpu"))
    inputs = {"images": _random_crop(key.plan.arch.height, key.plan.arch.width)}
    call = partial(session.run, ["heatmaps"], inputs)
    return min(_median_ms(call, options) for _ in range(options.rounds))


def _random_crop(height: int, width: int) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)


def network_call(network: Plan | PoseNet, options: ProbeOptions) -> Callable[[], object]:
    """Runs a network once on a random crop."""
    with _own_randomness():
        net = PoseNet(network.built, options.keypoints, network.fusion) if isinstance(network, Plan) else network
        net = copy.deepcopy(net).cpu().eval()
        drop_norms(net)
    arch, generator = net.arch, np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {"images": generator.integers(0, 256, (1, arch.height, arch.width, 3), np.uint8)}
    if net.fusion is not None:
        shape = (1, net.final.out_channels, arch.height // HEATMAP_STRIDE, arch.width // HEATMAP_STRIDE)
        inputs["previous_heatmaps"] = generator.random(shape, np.float32)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    data = to_onnx(Deployed(net), tensors, ["heatmaps"])
    session = open_session(data, "the network", RuntimeOptions(options.threads, "cpu"))
    return lambda: session.run(["heatmaps"], inputs)


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Random weights that leave torch's generator as it was: measuring must not change a search."""
    with torch.random.fork_rng(devices=[]):
        yield


def _median_ms(call: Callable[[], object], options: ProbeOptions) -> float:
    # On one thread the processor's own clock leaves out what other processes take.
    clock = time.thread_time_ns if options.threads == 1 else time.perf_counter_ns
    return median(times_ms(call, options.runs, clock=clock))


def _graph(net: Lanes) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Lanes as an ONNX graph, and its inputs."""
    inputs = {f"input{index}": tensor for index, tensor in enumerate(net.inputs)}
    return to_onnx(net, inputs, net.output_names), {name: tensor.numpy() for name, tensor in inputs.items()}


class _ProfiledGraph:
    """Lanes in one session that records how long each of its nodes takes."""

    def __init__(self, layers: Sequence[Layer], folder: Path, threads: int) -> None:
        with _own_randomness():
            net = Lanes([lane_of(layer) for layer in layers])
            drop_norms(net)
        data, self._inputs = _graph(net)
        self._count = len(layers)
        settings = session_settings(threads)
        settings.log_severity_level = 3
        settings.enable_profiling = True
        settings.profile_file_prefix = str(folder / "profile")
        self._session = ort.InferenceSession(data, settings, providers=["CPUExecutionProvider"])

    def run(self) -> None:
        """All lanes once, one after another, so that each finds the caches as in a network: full of something else."""
        self._session.run(None, self._inputs)

    def finish(self) -> list[float]:
        """Milliseconds of each layer over all runs but the first."""
        path = Path(self._session.end_profiling())
        events = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
        nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
        return layer_times([(event["name"], event["dur"]) for event in nodes], self._count)


def layer_times(nodes: Sequence[tuple[str, int]], count: int) -> list[float]:
    """Milliseconds of each of `count` lanes from the names and microseconds of all nodes of several equal runs."""
    names = [name for name, _ in nodes]
    runs = names.count(names[0])
    per_run = len(nodes) // runs
    if len(nodes) % runs or names[:per_run] * runs != names:
        raise VipnasError("the profile of ONNX Runtime has runs of different length", "report it")
    times = np.array([duration for _, duration in nodes], np.float64).reshape(runs, per_run)
    typical = np.quantile(times[min(WARM_UP, runs - 1) :], QUANTILE, axis=0)
    idle = [time for name, time in zip(names, typical, strict=False) if _IDLE in name]
    found, nodes_of = [0.0] * count, [0] * count
    for owner, time_us in zip(_owners(names[:per_run]), typical, strict=True):
        if owner is not None:
            found[owner] += max(float(time_us) - min(idle, default=0.0), 0.0) / 1000
            nodes_of[owner] += 1
    if not idle or 0 in nodes_of:
        raise VipnasError("the profile of ONNX Runtime lacks nodes that were measured", "report it")
    # The clock counts whole microseconds, and a table holds nothing that is free.
    return [max(ms, 0.0005) for ms in found]


def _owners(names: Sequence[str]) -> list[int | None]:
    """The lane whose body each node belongs to, or None.

    Conversions of the memory layout carry no name of a module; they count where they stand inside a lane.
    """
    scopes = [(int(m[1]), m[2]) if (m := _SCOPE.search(name)) else None for name in names]
    owners: list[int | None] = []
    for index, scope in enumerate(scopes):
        lane, part = next((s for s in reversed(scopes[: index + 1]) if s), (None, "after"))
        following = next((s for s in scopes[index:] if s), None)
        inside = scope is None and part != "after" and following is not None and following[0] == lane
        owners.append(lane if part == "body" or inside else None)
    return owners
