"""Budgets that are measured choose by the figures they are given; the loop is as fast as its slowest part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.bundle.reader import Bundle, bundled_weights, open_bundle
from vipnas_cli.errors import BudgetError
from vipnas_cli.inference.onnx import OnnxEstimator, RuntimeOptions
from vipnas_cli.latency.clock import (
    MediaTimes,
    StageTime,
    best_measured,
    draw_time,
    loop_fps,
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


def test_a_black_picture_costs_no_person(bundle: Bundle) -> None:
    blank = [np.zeros((90, 160, 3), np.uint8)]
    assert pipeline_times(bundle.by_cost[0], None, RuntimeOptions(1), blank).step_ms > 0
