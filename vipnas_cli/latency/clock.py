"""How long the networks of a pipeline, and a whole run, take on this machine.

Shapes: H, W frame pixels.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Boxes, Image
from vipnas_cli.bundle.pipelines import DetectorFile, NetworkFile, Pipeline
from vipnas_cli.errors import BudgetError, UsageError
from vipnas_cli.files import scratch_folder
from vipnas_cli.inference.crops import empty_heatmaps
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.people import PeopleSource
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions, open_people_source, propagator_of
from vipnas_cli.latency.machine import PipelineTimes
from vipnas_cli.media.address import Origin, Stream
from vipnas_cli.media.drawing import draw_people
from vipnas_cli.media.frames import Frame, FrameResult, VideoInfo
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.pipe import is_pipe
from vipnas_cli.media.writer import VideoWriter
from vipnas_cli.pose import COCO17, People
from vipnas_cli.spec import Budget
from vipnas_cli.spec.budget import best_within
from vipnas_cli.timing import in_turn_ms, times_ms

# Frames of a clip that stand for the rest of it, and how many are decoded for them where a run leaves some out.
SAMPLE, MOST_DECODED = 24, 240
# Frames per second where a video does not say.
USUAL_RATE = 25.0
# Steps that are measured: as many at least, and more up to so many until there is a second look for people.
FEWEST_STEPS, MOST_STEPS = 16, 128
# What runs without options.
AS_IT_COMES = TrackerOptions()


@dataclass(frozen=True)
class StageTime:
    """Milliseconds per frame: by the clock, and on all cores together."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class MediaTimes:
    """What a run does besides poses: reading the video, and drawing and encoding if a video is written."""

    decode: StageTime
    write: StageTime = StageTime(0.0, 0.0)


def position_ms(estimator: PoseEstimator, repeats: int = 15) -> tuple[float, ...]:
    """Milliseconds of one crop at each position of the cycle, by the median; equal plans are measured once."""
    plans = estimator.schedule.plans
    measured = {
        plan: median(times_ms(network_call(estimator, plans.index(plan), people=1), repeats)) for plan in set(plans)
    }
    return tuple(measured[plan] for plan in plans)


def networks_ms(pipelines: Sequence[tuple[Pipeline, RuntimeOptions]], repeats: int = 15) -> list[float]:
    """Mean milliseconds of each pipeline's networks per person and frame over one cycle.

    Networks take turns and each has one time wherever it runs, so that noise sets no pipelines apart that share it.
    """
    calls: dict[tuple[NetworkFile, RuntimeOptions], Callable[[], object]] = {}
    for pipeline, runtime in pipelines:
        fresh = {file: place for place, file in enumerate(pipeline.networks) if (file, runtime) not in calls}
        if fresh:
            estimator = OnnxEstimator(pipeline, runtime)
            calls.update({(file, runtime): network_call(estimator, place, 1) for file, place in fresh.items()})
    found = dict(zip(calls, map(median, in_turn_ms(list(calls.values()), repeats)), strict=True))
    return [mean(found[file, runtime] for file in pipeline.networks) for pipeline, runtime in pipelines]


def network_call(estimator: PoseEstimator, position: int, people: int) -> Callable[[], object]:
    """A call of the network at a position of the cycle with so many crops."""
    arch = estimator.schedule.plan(position).arch
    crops = np.zeros((people, arch.height, arch.width, 3), np.uint8)
    previous = empty_heatmaps(estimator, position, people)
    return lambda: estimator.estimate(position, crops, previous)


class _AlwaysOnePerson:
    """Asks what finds people for its time and answers with one person in the middle of the frame."""

    def __init__(self, source: PeopleSource | None) -> None:
        self._source = source

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, NDArray[np.float32]]:
        """One box (1, 4) xyxy; see PeopleSource."""
        if self._source is not None:
            self._source.boxes(image, frame_index)
        height, width = image.shape[:2]
        box = [width / 2 - height / 6, height / 10, width / 2 + height / 6, 9 * height / 10]
        return np.array([box], np.float32), np.ones(1, np.float32)


def _with_one_person(estimator: PoseEstimator, source: PeopleSource | None, options: TrackerOptions) -> Propagator:
    """What `run` has, but nobody is lost or found, so that every frame has the cost of its position."""
    alone = replace(options, max_people=1, person=None, region=None, early_keys=False)
    propagator = propagator_of(estimator, _AlwaysOnePerson(source), alone)
    propagator.options = replace(
        propagator.options, lost_score=0.0, new_score=0.0, new_evidence=0.0, falling_factor=0.0
    )
    return propagator


def _cycles_to_measure(cycle: int, look_frames: float) -> int:
    """Cycles with at least one look for people among them, if that is due after so many frames, and one before them."""
    return 1 + max(3, math.ceil(max(FEWEST_STEPS, min(look_frames, MOST_STEPS)) / cycle))


def pipeline_times(
    pipeline: Pipeline,
    detector: DetectorFile | None,
    runtime: RuntimeOptions,
    images: Sequence[Image],
    options: TrackerOptions = AS_IT_COMES,
    frame_rate: float | None = None,
) -> PipelineTimes:
    """What a pipeline takes for one person in RGB frames (H, W, 3), so many per second, in a second or little more."""
    rate = frame_rate or USUAL_RATE
    estimator = OnnxEstimator(pipeline, runtime)
    source = None if detector is None else open_people_source(detector, estimator, runtime, options)
    propagator = _with_one_person(estimator, source, options)
    cycle = len(pipeline.networks)
    steps: defaultdict[tuple[int, bool], list[StageTime]] = defaultdict(list)
    for index in range(cycle * _cycles_to_measure(cycle, options.detect_every_s * rate)):
        image = images[index % len(images)]
        wall, cpu = time.perf_counter(), time.process_time()
        step = propagator.step(image, index, index / rate)
        took = StageTime(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))
        # The first cycle finds cold caches.
        if index >= cycle:
            steps[step.position, step.looked].append(took)
    # Steps of a kind are alike, so their median holds for all of them.
    count = sum(map(len, steps.values()))
    height, width = images[0].shape[:2]
    return PipelineTimes(
        mean(position_ms(estimator, 7)),
        sum(median(took.wall_ms for took in kind) * len(kind) for kind in steps.values()) / count,
        sum(median(took.cpu_ms for took in kind) * len(kind) for kind in steps.values()) / count,
        width=width,
        height=height,
        frame_rate=rate,
    )


def sample_frames(
    video: Origin, start_s: float | None = None, stride: int = 1
) -> tuple[VideoInfo, list[Frame], StageTime]:
    """The first of every `stride`-th frame of a video and the time that each takes to decode, with those that are left
    out; UsageError for a pipe or a stream."""
    kind = "stream" if isinstance(video, Stream) else "pipe"
    if isinstance(video, Stream) or (video.exists() and is_pipe(video)):
        raise UsageError(
            f"{video} is a {kind}, which cannot be read twice: once to measure and once to run",
            "State the budget in GFLOPs or ms.",
        )
    wall, cpu = time.perf_counter(), time.process_time()
    with open_input(video, start_s, stride=stride) as reader:
        frames = list(islice(reader, max(min(SAMPLE, MOST_DECODED // stride), 2)))
        # Before the first one none is left out.
        return reader.info, frames, _since(wall, cpu, max(len(frames) - 1 + 1 / stride, 1))


def draw_time(info: VideoInfo, frames: Sequence[Frame]) -> StageTime:
    """The time that drawing one person into a frame takes."""
    someone = _someone(info)
    pictures = [frame.image.copy() for frame in frames]
    wall, cpu = time.perf_counter(), time.process_time()
    for picture in pictures:
        draw_people(picture, someone, COCO17)
    return _since(wall, cpu, len(frames))


def write_time(info: VideoInfo, frames: Sequence[Frame]) -> StageTime:
    """The time that drawing one person into a frame and encoding it takes."""
    someone = _someone(info)
    with scratch_folder() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        with OverlaySink(VideoWriter(folder / "sample.mp4", info), Painter(COCO17)) as sink:
            for frame in frames:
                sink.write(FrameResult(frame.index, frame.pts, frame.time_s, someone, False), frame.image)
        return _since(wall, cpu, len(frames))


def _someone(info: VideoInfo) -> People:
    """One person whose keypoints lie about the frame."""
    keypoints, size = len(COCO17.keypoints), np.array([info.width, info.height], np.float32)
    points = np.random.default_rng(0).uniform(0.2, 0.8, (1, keypoints, 2)).astype(np.float32) * size
    box = np.concatenate([0.2 * size, 0.8 * size])[None].astype(np.float32)
    return People(np.ones(1, np.int64), box, points, np.ones((1, keypoints), np.float32))


def loop_fps(times: PipelineTimes, media: MediaTimes, cores: int) -> float:
    """Frames per second of a whole run with one person.

    Reading, poses and writing go on side by side: the slowest of them sets the pace, unless the cores do.
    """
    stages = (media.decode, StageTime(times.step_ms, times.step_cpu_ms), media.write)
    return 1000 / max(*(stage.wall_ms for stage in stages), sum(stage.cpu_ms for stage in stages) / cores)


def best_measured(pipelines: Sequence[Pipeline], figures: Mapping[str, float], budget: Budget) -> Pipeline:
    """The best pipeline whose figure, by its name, meets a budget in ms or fps; BudgetError names the fastest."""
    best = within_measured(pipelines, figures, budget, lambda pipeline: pipeline.selection_error)
    if best is None:
        slowness = _slowness(figures, budget)
        fastest = min(slowness, key=lambda name: slowness[name])
        what = "takes at most {} per person and frame" if budget.unit == "ms" else "reaches {} with one person"
        raise BudgetError(
            f"no pipeline {what.format(budget)} here",
            f"the fastest is {fastest} with {figures[fastest]:.1f} {budget.unit}",
        )
    return best


def within_measured(
    pipelines: Sequence[Pipeline],
    figures: Mapping[str, float],
    budget: Budget,
    error: Callable[[Pipeline], float] = lambda _pipeline: 0.0,
) -> Pipeline | None:
    """The same by a standard `error` of the score, see best_within; None where nothing meets the budget."""
    slowness = _slowness(figures, budget)
    limit = budget.value if budget.unit == "ms" else -budget.value
    return best_within(
        pipelines, limit, lambda pipeline: slowness[pipeline.name], lambda pipeline: pipeline.selection, error
    )


def _slowness(figures: Mapping[str, float], budget: Budget) -> dict[str, float]:
    """Figures of which a lower one is faster."""
    return {name: figure if budget.unit == "ms" else -figure for name, figure in figures.items()}


def _since(wall: float, cpu: float, frames: float) -> StageTime:
    """Milliseconds per frame since two clocks were read."""
    return StageTime(1000 * (time.perf_counter() - wall) / frames, 1000 * (time.process_time() - cpu) / frames)
