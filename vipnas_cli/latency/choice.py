"""Which pipeline a budget buys on this machine, with how many threads, and where that is known from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from vipnas_cli.bundle.archive import is_archive
from vipnas_cli.bundle.pipelines import Bundle, DetectorFile, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle, with_detector
from vipnas_cli.errors import BudgetError, WeightsError
from vipnas_cli.inference.onnx import pipeline_from_onnx
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.threads import usable_cores
from vipnas_cli.inference.tracker import TrackerOptions, detector_as_run
from vipnas_cli.latency.clock import (
    AS_IT_COMES,
    USUAL_RATE,
    MediaTimes,
    best_measured,
    loop_fps,
    networks_ms,
    pipeline_times,
    sample_frames,
    within_measured,
    write_time,
)
from vipnas_cli.latency.machine import (
    Measurements,
    PipelineTimes,
    load_measurements,
    measurements_file,
    pipeline_key,
    this_machine,
)
from vipnas_cli.media.address import Origin
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.media.pictures import PICTURE_CODEC
from vipnas_cli.spec import Budget

DEFAULT_BUDGET = "0.2GFLOPs"
# In video with more seconds from frame to frame a small key network sees more than a larger one with a follower.
ALONE_S = 0.15
ThreadsFrom = Literal["option", "bench", "default"]
FigureFrom = Literal["bench", "measured now"]


@dataclass(frozen=True)
class Figure:
    """What a pipeline does on this machine in the unit of the budget, ms or fps, and where that is known from."""

    value: float
    unit: str
    source: FigureFrom

    def __str__(self) -> str:
        known = "remembered from vipnas bench" if self.source == "bench" else self.source
        return f"{self.value:.1f} {self.unit} on this machine, {known}"


@dataclass(frozen=True)
class Choice:
    """A pipeline of a bundle and how it is run; `figure` belongs to budgets in ms and fps, `shortest_cycle` to those in
    FLOPs: that long are cycles at least, so that key frames of slow video stay within the budget; 0: as they come.
    `every_frame`: it is a key network alone, as the video is too slow for followers."""

    bundle: Bundle
    pipeline: Pipeline
    runtime: RuntimeOptions
    threads_from: ThreadsFrom
    figure: Figure | None = None
    note: str = ""
    shortest_cycle: int = 0
    every_frame: bool = False

    def to_json(self) -> dict[str, Any]:
        """The entries of the summary's JSON document."""
        figure = self.figure
        measured = None if figure is None else {"value": figure.value, "unit": figure.unit, "source": figure.source}
        runtime = self.runtime
        return {
            "threads": runtime.resolved_threads,
            "side_by_side": runtime.resolved_side_by_side,
            "threads_from": self.threads_from,
            "measured": measured,
        }


@dataclass(frozen=True)
class Workload:
    """The video that is to be run from `start_s` on, and whether a video is written (`pictures`).

    `options` are those of the run; `detects` says that the own detector finds people; every `stride`-th frame is run;
    `frame_rate` is that of the frames that are run, per second, None where it is not known; `single`: there is one
    frame only. `video` None: there is none to measure on.
    """

    video: Origin | None = None
    start_s: float | None = None
    pictures: bool = False
    options: TrackerOptions = TrackerOptions()
    detects: bool = True
    frame_rate: float | None = None
    single: bool = False
    stride: int = 1

    @staticmethod
    def of(info: VideoInfo, video: Origin, start_s: float | None, stride: int, pictures: bool = False) -> Workload:
        """The run of every `stride`-th frame of a video that was opened; `info` has the rate of those frames."""
        single = info.frames == 1 and info.codec == PICTURE_CODEC
        return Workload(video, start_s, pictures, frame_rate=float(info.average_rate), single=single, stride=stride)

    @property
    def slow(self) -> bool:
        """Whether so much time passes from frame to frame that every frame had better be a key frame."""
        return self.single or (self.frame_rate is not None and 0 < self.frame_rate < 1 / ALONE_S)

    def detector(self, own: DetectorFile | None) -> DetectorFile | None:
        """What the run has of a bundle's detector."""
        return detector_as_run(own, self.options) if own is not None and self.detects else None

    def as_benched(self, own: DetectorFile | None, times: PipelineTimes, info: VideoInfo) -> bool:
        """Whether a step takes what `vipnas bench` remembers: the detector is as it comes, asked as often, its verifier
        sees no more boxes, and frames are about as large and as many in a second."""
        as_often = self.options.detect_every_s == AS_IT_COMES.detect_every_s
        if self.detector(own) != own or not as_often or self.options.max_people > AS_IT_COMES.max_people:
            return False
        return times.holds_for(info.width, info.height, self.frame_rate or USUAL_RATE)


def default_budget(weights: Path | None) -> str:
    """0.2 GFLOPs, or what the cheapest pipeline costs if the user's own weights hold none as cheap."""
    if weights is None or not (weights.is_dir() or is_archive(weights)):
        return DEFAULT_BUDGET
    cheapest = open_bundle(weights).by_cost[0]
    if cheapest.macs_per_person_frame <= Budget.parse(DEFAULT_BUDGET).value:
        return DEFAULT_BUDGET
    return f"{cheapest.least_gflops}GFLOPs"


def stated_budget(budget: str | None, weights: Path | None) -> Budget | None:
    """The budget that a pipeline is chosen by; None for one network, which is taken as it is, without a budget."""
    if budget is not None:
        return Budget.parse(budget)
    single = weights is not None and weights.is_file() and not is_archive(weights)
    return None if single else Budget.parse(default_budget(weights))


def choose(weights: Path | None, budget: Budget, runtime: RuntimeOptions, workload: Workload | None = None) -> Choice:
    """The best pipeline within the budget; an exported network is taken as it is.

    Threads that `runtime` leaves open are those that `vipnas bench` found fastest. Budgets in ms and fps take what it
    remembered and measure the rest; those in fps need the workload's video. In slow video a budget buys the best key
    network that it pays for on every frame, if it pays for one.
    """
    measurements = load_measurements(measurements_file(), this_machine(runtime.provider))
    if weights is not None and weights.is_file() and not is_archive(weights):
        return _chosen(open_bundle(bundled_weights()), pipeline_from_onnx(weights), runtime, measurements)
    if weights is not None and not weights.exists():
        raise WeightsError(f"{weights} does not exist", "name pipelines, or an exported .onnx network")
    bundle = with_detector(open_bundle(weights or bundled_weights()))
    pictures = workload is not None and workload.pictures
    if budget.unit == "macs":
        alone = bundle.alone_within(budget.value) if workload is not None and workload.slow else None
        found = _chosen(bundle, alone or bundle.within(budget.value), runtime, measurements, pictures)
        shortest = found.pipeline.shortest_cycle(budget.value)
        return replace(found, shortest_cycle=shortest, every_frame=alone is not None)
    figures_of = partial(_figures, bundle, budget, runtime, measurements, workload)
    if workload is not None and workload.slow:
        keys = _keys_alone(bundle)
        figures = figures_of(keys)
        alone = within_measured(keys, _values(figures), budget)
        if alone is not None:
            found = _chosen(bundle, alone, runtime, measurements, pictures)
            return replace(found, figure=figures[alone.name], every_frame=True)
    figures = figures_of(bundle.pipelines)
    pipeline = best_measured(bundle.pipelines, _values(figures), budget)
    return replace(_chosen(bundle, pipeline, runtime, measurements, pictures), figure=figures[pipeline.name])


def _keys_alone(bundle: Bundle) -> tuple[Pipeline, ...]:
    """Each key network of the bundle on every frame, by the name of the shortest cycle that it begins."""
    by_length = sorted(bundle.pipelines, key=lambda pipeline: len(pipeline.networks))
    # Of the same network the last one stays.
    return tuple({pipeline.networks[0]: pipeline.alone for pipeline in reversed(by_length)}.values())


def _chosen(
    bundle: Bundle, pipeline: Pipeline, runtime: RuntimeOptions, measurements: Measurements, pictures: bool = False
) -> Choice:
    """The choice with its threads: those asked for, those remembered, or the default."""
    if runtime.threads:
        return Choice(bundle, pipeline, runtime, "option", note=measurements.note)
    threads = measurements.fastest_threads(pipeline_key(pipeline, bundle.detector), pictures)
    if threads is None:
        return Choice(bundle, pipeline, runtime, "default", note=measurements.note)
    measured = replace(runtime, threads=threads, side_by_side=runtime.resolved_side_by_side)
    return Choice(bundle, pipeline, measured, "bench", note=measurements.note)


@dataclass(frozen=True)
class _Candidate:
    """A pipeline with what it would run on, and what is remembered of that."""

    pipeline: Pipeline
    runtime: RuntimeOptions
    known: PipelineTimes | None


def _figures(
    bundle: Bundle,
    budget: Budget,
    runtime: RuntimeOptions,
    measurements: Measurements,
    workload: Workload | None,
    pipelines: Sequence[Pipeline],
) -> dict[str, Figure]:
    """What each pipeline does in the budget's unit, by its name."""
    pictures = workload is not None and workload.pictures
    candidates = []
    for pipeline in pipelines:
        chosen = _chosen(bundle, pipeline, runtime, measurements, pictures).runtime
        known = measurements.times(pipeline_key(pipeline, bundle.detector), chosen.resolved_threads)
        candidates.append(_Candidate(pipeline, chosen, known))
    figures = _fps(bundle, workload, candidates) if budget.unit == "fps" else _ms(candidates)
    return {one.pipeline.name: figure for one, figure in zip(candidates, figures, strict=True)}


def _values(figures: dict[str, Figure]) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


def _ms(candidates: Sequence[_Candidate]) -> list[Figure]:
    """Milliseconds of the networks per person and frame."""
    unknown = [(one.pipeline, one.runtime) for one in candidates if one.known is None]
    measured = iter(networks_ms(unknown) if unknown else ())
    return [_figure(one.known.network_ms if one.known else next(measured), "ms", one.known) for one in candidates]


def _figure(value: float, unit: str, known: PipelineTimes | None) -> Figure:
    return Figure(value, unit, "measured now" if known is None else "bench")


def _fps(bundle: Bundle, workload: Workload | None, candidates: Sequence[_Candidate]) -> list[Figure]:
    """Frames per second of whole runs; what reading and writing take is always measured on the video."""
    if workload is None or workload.video is None:
        raise BudgetError("a budget in fps is one for running a video", "state it in GFLOPs or ms here")
    info, frames, decode = sample_frames(workload.video, workload.start_s, workload.stride)
    media = MediaTimes(decode, write_time(info, frames)) if workload.pictures else MediaTimes(decode)
    images, detector = [frame.image for frame in frames], workload.detector(bundle.detector)
    figures = []
    for one in candidates:
        known = one.known if one.known and workload.as_benched(bundle.detector, one.known, info) else None
        times = known or pipeline_times(
            one.pipeline, detector, one.runtime, images, workload.options, workload.frame_rate
        )
        figures.append(_figure(loop_fps(times, media, usable_cores()), "fps", known))
    return figures
