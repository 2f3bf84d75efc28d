"""Budgets that are measured choose by the figures they are given; the loop is as fast as its slowest part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from vipnas_cli.bundle.pipelines import Bundle
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.errors import BudgetError
from vipnas_cli.inference.choosing import parse_region
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.latency.clock import (
    MediaTimes,
    StageTime,
    best_measured,
    draw_time,
    loop_fps,
    networks_ms,
    pipeline_times,
    position_ms,
    sample_frames,
    write_time,
)
from vipnas_cli.latency.machine import PipelineTimes
from vipnas_cli.spec import Budget

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(bundled_weights())


def figures(bundle: Bundle, ascending: bool) -> dict[str, float]:
    """Invented figures 1, 2, 3, … in the order of the bundle or against it."""
    names = [pipeline.name for pipeline in bundle.pipelines]
    return {name: float(index + 1) for index, name in enumerate(names if ascending else names[::-1])}


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("unit", ["ms", "fps"])
def test_the_best_of_those_that_meet_the_budget_is_taken(bundle: Bundle, unit: str, ascending: bool) -> None:
    found = figures(bundle, ascending)
    for value in found.values():
        budget = Budget(value, "ms" if unit == "ms" else "fps")
        meets = [p for p in bundle.pipelines if (found[p.name] <= value if unit == "ms" else found[p.name] >= value)]
        needed = max(p.scores["selection"] - p.scores["selection_error"] for p in meets)
        good = {p.name: found[p.name] for p in meets if p.scores["selection"] >= needed}
        fastest = min(good, key=good.__getitem__) if unit == "ms" else max(good, key=good.__getitem__)
        assert best_measured(bundle.pipelines, found, budget).name == fastest


@pytest.mark.parametrize(("budget", "fastest"), [(Budget(0.5, "ms"), 0), (Budget(1000, "fps"), -1)])
def test_a_budget_that_nothing_meets_names_the_fastest(bundle: Bundle, budget: Budget, fastest: int) -> None:
    with pytest.raises(BudgetError) as caught:
        best_measured(bundle.pipelines, figures(bundle, ascending=True), budget)
    assert bundle.pipelines[fastest].name in caught.value.hint
    assert str(budget) in caught.value.what


def test_equal_scores_are_decided_by_speed(bundle: Bundle) -> None:
    alike = [replace(pipeline, scores={}) for pipeline in bundle.pipelines]
    found = figures(bundle, ascending=True)
    assert best_measured(alike, found, Budget(100, "ms")).name == alike[0].name
    assert best_measured(alike, found, Budget(0.1, "fps")).name == alike[-1].name


def test_one_core_adds_up_and_many_wait_for_the_slowest() -> None:
    times = PipelineTimes(3.0, step_ms=5.0, step_cpu_ms=5.0)
    media = MediaTimes(StageTime(2.0, 2.0), StageTime(3.0, 3.0))
    assert loop_fps(times, media, 1) == pytest.approx(1000 / 10)
    assert loop_fps(times, media, 2) == pytest.approx(1000 / 5)
    assert loop_fps(times, media, 64) == pytest.approx(1000 / 5)
    assert loop_fps(times, replace(media, write=StageTime(8.0, 3.0)), 64) == pytest.approx(1000 / 8)


def test_every_part_of_a_run_takes_time(bundle: Bundle) -> None:
    info, frames, decode = sample_frames(CLIP)
    assert 0 < len(frames) <= 24
    assert (info.width, info.height) == (640, 360)
    for stage in (decode, draw_time(info, frames), write_time(info, frames)):
        assert stage.wall_ms > 0
        assert stage.cpu_ms > 0
    pipeline = bundle.by_cost[1]
    runtime = RuntimeOptions(1)
    assert len(position_ms(OnnxEstimator(pipeline, runtime), 3)) == len(pipeline.networks)
    times = pipeline_times(pipeline, bundle.detector, runtime, [frame.image for frame in frames])
    assert min(times.network_ms, times.step_ms, times.step_cpu_ms) > 0
    # What a step takes is kept with the frames that it holds for; without a rate a usual one is meant.
    assert (times.width, times.height, times.frame_rate) == (640, 360, 25.0)


def test_pipelines_that_share_a_network_share_its_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(calls: Sequence[object], repeats: int) -> list[list[float]]:
        return [[2.0**index] * repeats for index in range(len(calls))]

    monkeypatch.setattr("vipnas_cli.latency.clock.in_turn_ms", noise)
    one, two = (next(p for p in bundle.by_cost if len(p.networks) == count) for count in (1, 2))
    key, both, again = networks_ms(
        [(p, RuntimeOptions(1)) for p in (one, replace(two, networks=(*one.networks, two.networks[1])), one)]
    )
    assert (key, both, again) == (1.0, 1.5, 1.0)


def test_a_frame_costs_those_that_are_left_out_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    info, frames, every = sample_frames(CLIP)
    fewer, found, eighth = sample_frames(CLIP, stride=8)
    assert [frame.pts for frame in found][:3] == [frame.pts for frame in frames][::8]
    assert fewer.average_rate == info.average_rate / 8
    assert eighth.cpu_ms > 2 * every.cpu_ms
    # However many are left out, it is a sample.
    monkeypatch.setattr("vipnas_cli.latency.clock.MOST_DECODED", 24)
    assert [len(sample_frames(CLIP, stride=stride)[1]) for stride in (1, 8, 60)] == [24, 3, 2]


class Looks:
    """Finds nobody, and knows on which frames it was asked, and with which options it was opened."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.options = TrackerOptions()

    def boxes(self, image: NDArray[np.uint8], frame_index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.frames.append(frame_index)
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


@pytest.mark.parametrize(
    ("every_s", "rate", "frames"),
    [
        (0.25, None, [0, 8, 16]),
        (0.25, 60.0, [0, 16]),
        (0.0, 60.0, [0, 4, 8, 12, 16]),
        (1.0, None, [0, 28]),
        (100.0, None, [0]),
    ],
)
def test_people_are_looked_for_as_often_as_the_run_does(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, every_s: float, rate: float | None, frames: list[int]
) -> None:
    looks = Looks()

    def opened(*asked: object) -> Looks:
        looks.options = cast(TrackerOptions, asked[-1])
        return looks

    monkeypatch.setattr("vipnas_cli.latency.clock.open_people_source", opened)
    # No picture is like the one before it, so that nothing lets the detector rest longer.
    noise = list(np.random.default_rng(0).integers(0, 256, (7, 90, 160, 3), np.uint8))
    options = TrackerOptions(50, detect_every_s=every_s, region=parse_region("0,0,0.01,0.01"))
    pipeline = next(one for one in bundle.by_cost if len(one.networks) == 4)
    assert pipeline_times(pipeline, bundle.detector, RuntimeOptions(1), noise, options, rate).step_ms > 0
    assert looks.options == options
    assert looks.frames == frames


def test_a_black_picture_costs_no_person(bundle: Bundle) -> None:
    blank = [np.zeros((90, 160, 3), np.uint8)]
    assert pipeline_times(bundle.by_cost[0], None, RuntimeOptions(1), blank).step_ms > 0
