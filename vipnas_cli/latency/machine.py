"""What this machine is, and what `vipnas bench` measured on it: a small JSON file in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import onnxruntime
from platformdirs import user_cache_path

from vipnas_cli.bundle.pipelines import DetectorFile, Pipeline
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import InputError, OutputError
from vipnas_cli.files import make_parent, shown, write_json
from vipnas_cli.inference.threads import usable_cores
from vipnas_cli.locks import in_turn

SCHEMA = 1
MEASUREMENTS = DocumentKind("a file of measurements", InputError, "measure again with `vipnas bench`", 4_000_000)
# Counts the changes of what threads a network gets and how they wait: what was measured before each holds no more.
SETTINGS = 1
# A setting within this share of the best is as good: runs differ by as much.
NEARLY = 0.95
# Frames whose sides and rate differ by less than this factor take nearly as long.
ALIKE = 1.25


@dataclass(frozen=True)
class Machine:
    """What decides how long a network takes; `cores` are those that this process may use.

    `runtime` is the version of ONNX Runtime, `provider` where it is told to compute.
    """

    cpu: str
    cores: int
    system: str
    runtime: str
    provider: str = "auto"

    @property
    def key(self) -> str:
        """A short name that differs where measurements must not be carried over."""
        decides = {**asdict(self), "settings": SETTINGS}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PipelineTimes:
    """How long a pipeline takes for one person with so many threads per network; 0 is not measured.

    `network_ms` are the networks alone, `step_ms` all that inference does with a frame, the detector of key frames
    included, both by the clock and as a mean over one cycle; `step_cpu_ms` is the latter's time on all cores together.
    `numbers_fps` and `video_fps` are frames per second of a whole run on the example clip without and with an overlay.
    `width`, `height` and `frame_rate` are those of the frames whose steps were measured.
    """

    network_ms: float
    step_ms: float
    step_cpu_ms: float
    numbers_fps: float = 0.0
    video_fps: float = 0.0
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0

    def fps(self, pictures: bool) -> float:
        """Frames per second of a whole run, with an overlay video or with numbers only."""
        return self.video_fps if pictures else self.numbers_fps

    def holds_for(self, width: int, height: int, frame_rate: float) -> bool:
        """Whether a step takes as long with such frames: larger ones take longer, and so do rarer ones, among which
        more are searched for people. Not for what was measured before sizes and rates were kept."""
        pairs = ((self.width, width), (self.height, height), (self.frame_rate, frame_rate))
        return all(0 < max(pair) < ALIKE * min(pair) for pair in pairs)


ByThreads = dict[int, PipelineTimes]


@dataclass(frozen=True)
class Measurements:
    """What is remembered of this machine, by the key of a pipeline; `note` tells why a file was left aside."""

    pipelines: dict[str, ByThreads] = field(default_factory=dict)
    note: str = ""

    def times(self, key: str, threads: int) -> PipelineTimes | None:
        """What was measured with so many threads."""
        return self.pipelines.get(key, {}).get(threads)

    def fastest_threads(self, key: str, pictures: bool) -> int | None:
        """The thread setting with most frames per second in a whole run, or a smaller one that is nearly as fast."""
        measured = {threads: times.fps(pictures) for threads, times in self.pipelines.get(key, {}).items()}
        enough = NEARLY * max(measured.values(), default=0.0)
        return min((threads for threads, fps in measured.items() if fps >= enough), default=None)


def this_machine(provider: str = "auto") -> Machine:
    """The machine that this runs on."""
    system = f"{platform.system()} {platform.machine()}"
    return Machine(_cpu_name(), usable_cores(), system, onnxruntime.__version__, provider)


def cache_folder() -> Path:
    """Where measurements are kept: VIPNAS_CACHE, or `vipnas` in the user's cache folder."""
    named = os.environ.get("VIPNAS_CACHE")
    return Path(named) if named else user_cache_path("vipnas", appauthor=False)


def measurements_file() -> Path:
    """The file that measurements are remembered in."""
    return cache_folder() / "measurements.json"


def pipeline_key(pipeline: Pipeline, detector: DetectorFile | None) -> str:
    """A short name that only pipelines of the same networks and the same detector share."""
    parts = [*(network.sha256 for network in pipeline.networks), "" if detector is None else detector.sha256]
    if detector is not None and detector.verifier is not None:
        parts.append(detector.verifier.sha256)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def load_measurements(path: Path, machine: Machine) -> Measurements:
    """What is remembered of a machine; without a file nothing, with a damaged or foreign one nothing and a note."""
    try:
        row = _read(path).get(machine.key, {"pipelines": {}})
        found = MEASUREMENTS.convert(row, path, _MachineRow)
    except InputError as error:
        return Measurements(note=f"{error.what}: the measurements are left aside")
    return Measurements(found.pipelines)


def remember(path: Path, machine: Machine, measured: dict[str, ByThreads]) -> None:
    """Adds measurements to the file, in place of older ones of the same pipeline and threads; OutputError if it cannot.

    A file that cannot be read is replaced. What other processes remember meanwhile is kept.
    """
    try:
        make_parent(path)
        with in_turn(path):
            write_json(path, {"schema": SCHEMA, "machines": _with(path, machine, measured)})
    except OutputError as error:
        raise OutputError(error.what, "name a folder in the environment variable VIPNAS_CACHE") from error


def _with(path: Path, machine: Machine, measured: dict[str, ByThreads]) -> dict[str, Any]:
    """What the file says of all machines, with the measurements of one."""
    try:
        machines = _read(path)
    except InputError:
        machines = {}
    known = load_measurements(path, machine).pipelines
    merged = {key: {**known.get(key, {}), **measured.get(key, {})} for key in {*known, *measured}}
    rows = {
        key: {str(threads): asdict(times) for threads, times in by_threads.items()}
        for key, by_threads in sorted(merged.items())
    }
    return {**machines, machine.key: {**asdict(machine), "date": date.today().isoformat(), "pipelines": rows}}


@dataclass(frozen=True)
class _MachineRow:
    """What the file says of a machine, as far as it is read."""

    pipelines: dict[str, ByThreads]

    def __post_init__(self) -> None:
        for threads, times in (row for by_threads in self.pipelines.values() for row in by_threads.items()):
            if threads < 1 or not all(math.isfinite(value) and value >= 0 for value in asdict(times).values()):
                raise ValueError("a measurement is no time")


def _read(path: Path) -> dict[str, Any]:
    """What the file says of all machines, by their keys; nothing if there is no file. InputError for a foreign one."""
    try:
        if not path.exists():
            return {}
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read: {error.strerror}") from error
    data = MEASUREMENTS.read(path, dict[str, Any])
    with MEASUREMENTS.told(path):
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {brief(data['schema'])}, not {SCHEMA}")
        return MEASUREMENTS.convert(data["machines"], path, dict[str, Any])


def _cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
