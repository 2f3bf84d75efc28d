"""The measurements of `vipnas bench`: rows of networks, of the stages of a run, and of whole runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from vipnas_cli.bundle.pipelines import Bundle, DetectorFile, NetworkFile, Pipeline
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import scratch_folder
from vipnas_cli.inference.onnx import OnnxDetector, OnnxEstimator, OnnxVerifier
from vipnas_cli.inference.pipeline import Outputs, process
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions, open_people_source, open_tracker
from vipnas_cli.latency.clock import StageTime, draw_time, network_call, sample_frames, write_time
from vipnas_cli.media.frames import Frame, VideoInfo
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.table import CsvSink
from vipnas_cli.timing import times_ms

PEOPLE = (1, 4)
# Height and width of the frames that a detector is timed on: wide video, and the largest picture, a square one.
FRAMES = ((360, 640), (640, 640))


@dataclass(frozen=True)
class Row:
    """One figure: the median, and the range from the 10th to the 90th percentile (of two runs: both).

    `kind` is network, detector, verifier, stage, pipeline or run; `people` is 0 where their number does not matter.
    """

    kind: str
    name: str
    threads: int
    people: int
    unit: str
    value: float
    low: float
    high: float


def network_rows(pipelines: Sequence[Pipeline], runtime: RuntimeOptions, seconds: float) -> Iterator[Row]:
    """Milliseconds of each distinct network for one person and for several."""
    done: set[NetworkFile] = set()
    for pipeline in pipelines:
        fresh = [index for index, file in enumerate(pipeline.networks) if file not in done]
        estimator = OnnxEstimator(pipeline, runtime) if fresh else None
        for position in fresh:
            file = pipeline.networks[position]
            if file in done or estimator is None:
                continue
            done.add(file)
            for people in PEOPLE:
                found = times_ms(network_call(estimator, position, people), 1000, seconds)
                yield _row("network", file.path.stem, (runtime.threads, people), "ms", found)


def detector_rows(file: DetectorFile, runtime: RuntimeOptions, seconds: float) -> Iterator[Row]:
    """Milliseconds of the detector network for wide and square pictures, and of verifying one box and several."""
    detector = OnnxDetector(file, runtime)
    pictures = [detector.letterbox.of(np.zeros((*shape, 3), np.uint8)).picture for shape in FRAMES]
    for picture in {picture.shape: picture for picture in pictures}.values():
        height, width = picture.shape[:2]
        found = times_ms(lambda shown=picture: detector.detect(shown), 1000, seconds)  # type: ignore[misc]
        yield _row("detector", f"{width}x{height}", (runtime.threads, 0), "ms", found)
    if detector.verifier is not None:
        yield from _verifier_rows(detector.verifier, runtime, seconds)


def _verifier_rows(verifier: OnnxVerifier, runtime: RuntimeOptions, seconds: float) -> Iterator[Row]:
    for boxes in PEOPLE:
        crops = np.zeros((boxes, verifier.height, verifier.width, 3), np.uint8)
        found = times_ms(lambda shown=crops: verifier.verify(shown), 1000, seconds)  # type: ignore[misc]
        yield _row("verifier", f"{verifier.width}x{verifier.height}", (runtime.threads, boxes), "ms", found)


def stage_rows(
    clip: Path, detector: DetectorFile | None, pipeline: Pipeline, runtime: RuntimeOptions, seconds: float
) -> Iterator[Row]:
    """Milliseconds per frame of reading, looking for people (key frames only), drawing and encoding, each alone.

    Boxes that may be duplicates are compared by the key network of the pipeline.
    """
    info, frames, decode = sample_frames(clip)
    yield _stage("decode", decode)
    if detector is not None:
        source = open_people_source(detector, OnnxEstimator(pipeline, runtime), runtime)
        found = times_ms(lambda: source.boxes(frames[0].image, 0), 1000, seconds)
        yield _row("stage", "detect (key frames)", (runtime.threads, 0), "ms", found)
    draw, write = draw_time(info, frames), write_time(info, frames)
    yield _stage("draw", draw)
    yield _stage("encode", StageTime(max(write.wall_ms - draw.wall_ms, 0), max(write.cpu_ms - draw.cpu_ms, 0)))


@dataclass(frozen=True)
class WholeRun:
    """A run of a clip as `vipnas run` does it, with one person at most."""

    pipeline: Pipeline
    detector: DetectorFile
    runtime: RuntimeOptions
    clip: Path

    def propagator(self) -> Propagator:
        """Networks loaded once for several runs."""
        return open_tracker(self.pipeline, self.detector, self.runtime, TrackerOptions(max_people=1)).propagator

    def fps(self, propagator: Propagator, pictures: bool, seconds: float, folder: Path) -> float:
        """Frames per second of the first `seconds` of work, numbers alone or with an overlay, written to `folder`."""
        propagator.reset()
        with open_video(self.clip) as reader, ExitStack() as stack:
            outputs = _outputs(reader.info, pictures, folder, stack)
            end = time.perf_counter() + seconds
            statistics = process(_until(reader, end), propagator, outputs, lambda _: None)
        if statistics.interrupted:
            raise KeyboardInterrupt
        return statistics.frames / statistics.wall_s


def run_rows(
    bundle: Bundle, pipelines: Sequence[Pipeline], runtime: RuntimeOptions, clip: Path, seconds: float
) -> Iterator[Row]:
    """Frames per second of whole runs of each pipeline, twice each and in turns."""
    if bundle.detector is None:
        raise WeightsError(f"{bundle.folder} holds no person detector", "export one with vipnas export --detector")
    runs = [WholeRun(pipeline, bundle.detector, runtime, clip) for pipeline in pipelines]
    loaded = [run.propagator() for run in runs]
    with scratch_folder() as folder:
        # The first run of all loads what is loaded late.
        runs[0].fps(loaded[0], True, seconds, folder)
        for pictures, kind in ((False, "csv"), (True, "csv+video")):
            turns = [
                [run.fps(net, pictures, seconds, folder) for run, net in zip(runs, loaded, strict=True)]
                for _ in range(2)
            ]
            for run, found in zip(runs, zip(*turns, strict=True), strict=True):
                value = sum(found) / 2
                yield Row(
                    "run", f"{run.pipeline.name} {kind}", runtime.threads, 1, "fps", value, min(found), max(found)
                )


def share_of_core(seconds: float = 0.2) -> float:
    """Which share of a core this process gets while it asks for all of one; far below 1 the machine is busy."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        pass
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def _outputs(info: VideoInfo, pictures: bool, folder: Path, stack: ExitStack) -> Outputs:
    skeleton = OnnxEstimator.skeleton
    header = ResultHeader(info.path.name, info.width, info.height, info.time_base, "bench")
    table = stack.enter_context(CsvSink(folder / "bench.csv", skeleton, header))
    if not pictures:
        return Outputs([table], [])
    video = stack.enter_context(OverlaySink(VideoWriter(folder / "bench.mp4", info), Painter(skeleton)))
    return Outputs([table], [video])


def _until(frames: Iterable[Frame], end: float) -> Iterator[Frame]:
    return takewhile(lambda frame: frame.index < 2 or time.perf_counter() < end, frames)


def _row(kind: str, name: str, setting: tuple[int, int], unit: str, found: Sequence[float]) -> Row:
    """The row of several measurements; `setting` is threads and people."""
    deciles = quantiles(found, n=10, method="inclusive")
    return Row(kind, name, *setting, unit, median(found), deciles[0], deciles[-1])


def _stage(name: str, time: StageTime) -> Row:
    return Row("stage", name, 0, 0, "ms", time.wall_ms, time.wall_ms, time.wall_ms)
