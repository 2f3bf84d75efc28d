"""Threads and measured budgets: an option wins, then what bench remembers, then the default or a measurement."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from vipnas_cli.bundle.pipelines import Bundle, DetectorFile, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.errors import BudgetError, WeightsError
from vipnas_cli.inference.choosing import Region
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.latency.choice import DEFAULT_BUDGET, Workload, choose
from vipnas_cli.latency.clock import StageTime, sample_frames
from vipnas_cli.latency.machine import PipelineTimes, measurements_file, pipeline_key, remember, this_machine
from vipnas_cli.media.address import Origin
from vipnas_cli.media.frames import Frame, VideoInfo
from vipnas_cli.spec import Budget

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"
CLIP_SIZE, CLIP_RATE = (640, 360), 25.0
OPEN, ONE = RuntimeOptions(0), RuntimeOptions(1)
MACS = Budget(0.2e9, "macs")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The bundled pipelines, with a memory of this test's own."""
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path))
    return open_bundle(bundled_weights())


def remember_all(bundle: Bundle) -> None:
    """Invented times of the clip with 3 threads, which are said to be the fastest: 1, 2, … ms from cheap to dear."""
    measured = {}
    for index, pipeline in enumerate(bundle.by_cost):
        times = PipelineTimes(index + 1, index + 1, index + 1, 100.0, 50.0, *CLIP_SIZE, CLIP_RATE)
        slower = replace(times, network_ms=times.network_ms + 100, numbers_fps=10.0, video_fps=10.0)
        measured[pipeline_key(pipeline, bundle.detector)] = {1: slower, 3: times}
    remember(measurements_file(), this_machine(), measured)


def test_an_option_wins_then_the_memory_then_the_default(bundle: Bundle) -> None:
    assert choose(None, MACS, OPEN).threads_from == "default"
    remember_all(bundle)
    found = choose(None, MACS, OPEN)
    assert (found.runtime.threads, found.threads_from) == (3, "bench")
    # Bench measures one person; with more of them all cores are for everyone still.
    assert found.runtime.resolved_side_by_side == OPEN.resolved_side_by_side
    found = choose(None, MACS, ONE)
    assert (found.runtime.threads, found.threads_from) == (1, "option")


def test_a_remembered_budget_in_milliseconds_is_not_measured_again(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_all(bundle)
    monkeypatch.setattr("vipnas_cli.latency.choice.networks_ms", lambda *_: pytest.fail("measured"))
    affordable = bundle.by_cost[:2]
    found = choose(None, Budget(2.5, "ms"), OPEN)
    assert found.pipeline == max(affordable, key=lambda pipeline: pipeline.scores["selection"])
    assert found.figure is not None
    assert found.figure.source == "bench"
    assert found.figure.value == bundle.by_cost.index(found.pipeline) + 1
    with pytest.raises(BudgetError) as caught:
        choose(None, Budget(2.5, "ms"), ONE)
    assert bundle.by_cost[0].name in caught.value.hint
    assert "101.0 ms" in caught.value.hint


def test_what_is_not_remembered_is_measured(bundle: Bundle) -> None:
    best = max(bundle.pipelines, key=lambda pipeline: pipeline.scores["selection"])
    found = choose(None, Budget(10_000, "ms"), ONE)
    # Within a standard error of the best the fastest is taken.
    assert found.pipeline.scores["selection"] >= best.scores["selection"] - best.scores["selection_error"]
    assert found.pipeline.macs_per_person_frame <= best.macs_per_person_frame
    assert found.figure is not None
    assert found.figure.source == "measured now"
    assert 0 < found.figure.value <= 10_000
    assert found.to_json()["measured"]["unit"] == "ms"


def test_each_network_is_measured_once_whatever_pipelines_it_is_in(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def called(estimator: OnnxEstimator, position: int, people: int) -> Callable[[], object]:
        measured.append((estimator.schedule.plan(position), people))
        return lambda: None

    monkeypatch.setattr("vipnas_cli.latency.clock.network_call", called)
    choose(None, Budget(10_000, "ms"), ONE)
    distinct = {network for pipeline in bundle.pipelines for network in pipeline.networks}
    assert len(measured) == len(distinct)
    assert set(measured) == {(network.plan, 1) for network in distinct}


def test_frames_per_second_count_reading_and_writing_the_video(bundle: Bundle) -> None:
    remember_all(bundle)
    numbers = choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, pictures=False))
    assert numbers.figure is not None
    pictures = choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, pictures=True))
    assert pictures.figure is not None
    # The memory says 4 ms at most for poses, so more than 250 fps would leave out the video.
    assert 0 < pictures.figure.value <= numbers.figure.value <= 1000
    with pytest.raises(BudgetError, match="1e\\+06 fps"):
        choose(None, Budget(1e6, "fps"), OPEN, Workload(CLIP, None, pictures=False))
    with pytest.raises(BudgetError, match="video"):
        choose(None, Budget(60, "fps"), OPEN)


def test_only_a_budget_in_flops_says_what_is_left_for_key_frames(bundle: Bundle) -> None:
    remember_all(bundle)
    found = choose(None, Budget(0.2e9, "macs"), OPEN)
    assert found.shortest_cycle == found.pipeline.shortest_cycle(0.2e9) > 0
    assert choose(None, Budget(2.5, "ms"), OPEN).shortest_cycle == 0


def test_a_damaged_memory_is_left_aside_with_a_note(bundle: Bundle) -> None:
    measurements_file().write_text("{")
    found = choose(None, MACS, OPEN)
    assert found.threads_from == "default"
    assert str(measurements_file()) in found.note


def test_an_exported_network_is_taken_as_it_is_and_a_missing_one_refused(bundle: Bundle, tmp_path: Path) -> None:
    network = bundle.by_cost[0].networks[0].path
    assert choose(network, MACS, ONE).pipeline.name == network.stem
    with pytest.raises(WeightsError, match="nothing here"):
        choose(tmp_path / "nothing here", MACS, ONE)


def test_whole_runs_are_remembered_for_the_detector_as_it_comes_and_measured_for_others(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_all(bundle)
    own, measured = bundle.detector, []

    def times(pipeline: Pipeline, detector: DetectorFile | None, *_: object) -> PipelineTimes:
        measured.append(detector)
        return PipelineTimes(1, 1, 1)

    monkeypatch.setattr("vipnas_cli.latency.choice.pipeline_times", times)
    assert own is not None
    for workload, detector in (
        (Workload(CLIP, None, False, TrackerOptions(detector_size=128)), own.at(128)),
        (Workload(CLIP, None, False, TrackerOptions(verify=False)), replace(own, verifier=None)),
        (Workload(CLIP, None, False, detects=False), None),
    ):
        figure = choose(None, Budget(0.1, "fps"), OPEN, workload).figure
        assert figure is not None
        assert figure.source == "measured now"
        assert set(measured) == {detector}
        measured.clear()
    choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, False))
    choose(None, Budget(1000, "ms"), OPEN, Workload(CLIP, None, False, detects=False))
    assert not measured


def test_the_options_of_a_run_are_measured_unless_they_cost_what_is_remembered(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_all(bundle)
    measured = []

    def times(*asked: object) -> PipelineTimes:
        measured.append(asked[4:])
        return PipelineTimes(1, 1, 1)

    monkeypatch.setattr("vipnas_cli.latency.choice.pipeline_times", times)
    for options in (TrackerOptions(detect_every_s=0), TrackerOptions(detect_every_s=2), TrackerOptions(50)):
        choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, False, options, frame_rate=60))
        assert set(measured) == {(options, 60)}
        measured.clear()
    for options in (TrackerOptions(1), TrackerOptions(region=Region(0, 0, 1, 1))):
        choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, False, options, frame_rate=CLIP_RATE))
    assert not measured


@pytest.mark.parametrize(
    ("size", "rate", "known"),
    [
        (CLIP_SIZE, CLIP_RATE, True),
        (CLIP_SIZE, None, True),
        ((704, 400), 30.0, True),
        ((3840, 2160), CLIP_RATE, False),
        ((320, 180), CLIP_RATE, False),
        ((360, 640), CLIP_RATE, False),
        (CLIP_SIZE, 7.0, False),
        (CLIP_SIZE, 60.0, False),
    ],
)
def test_whole_runs_are_remembered_for_about_the_frames_that_bench_measured(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], rate: float | None, known: bool
) -> None:
    remember_all(bundle)

    def sampled(*asked: object) -> tuple[VideoInfo, list[Frame], StageTime]:
        info, frames, decode = sample_frames(CLIP)
        return replace(info, width=size[0], height=size[1]), frames, decode

    monkeypatch.setattr("vipnas_cli.latency.choice.sample_frames", sampled)
    monkeypatch.setattr("vipnas_cli.latency.choice.pipeline_times", lambda *_: PipelineTimes(1, 1, 1))
    figure = choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, False, frame_rate=rate)).figure
    assert figure is not None
    assert figure.source == ("bench" if known else "measured now")


def test_a_memory_without_sizes_and_rates_still_tells_milliseconds_and_threads(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_all(bundle)
    memory = json.loads(measurements_file().read_text(encoding="utf-8"))
    (machine,) = memory["machines"].values()
    for times in (times for by_threads in machine["pipelines"].values() for times in by_threads.values()):
        for name in ("width", "height", "frame_rate"):
            del times[name]
    measurements_file().write_text(json.dumps(memory), encoding="utf-8")
    monkeypatch.setattr("vipnas_cli.latency.choice.pipeline_times", lambda *_: PipelineTimes(1, 1, 1))
    for budget, source in ((Budget(1000, "ms"), "bench"), (Budget(0.1, "fps"), "measured now")):
        found = choose(None, budget, OPEN, Workload(CLIP, None, False))
        assert (found.threads_from, found.runtime.threads, found.note) == ("bench", 3, "")
        assert found.figure is not None
        assert found.figure.source == source


def test_frames_that_are_left_out_are_decoded_too(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    remember_all(bundle)
    strides = []

    def sampled(video: Origin, start_s: float | None, stride: int) -> tuple[VideoInfo, list[Frame], StageTime]:
        strides.append(stride)
        return sample_frames(video, start_s, stride)

    monkeypatch.setattr("vipnas_cli.latency.choice.sample_frames", sampled)
    choose(None, Budget(0.1, "fps"), OPEN, Workload(CLIP, None, False, stride=8))
    assert strides == [8]


def test_the_default_budget_takes_a_pipeline_that_propagates() -> None:
    assert len(choose(None, Budget.parse(DEFAULT_BUDGET), OPEN).pipeline.networks) > 1


@pytest.mark.parametrize(
    ("rate", "slow"), [(None, False), (0.0, False), (30.0, False), (7.5, False), (6.5, True), (1.0, True)]
)
def test_slow_video_has_the_best_key_network_that_the_budget_pays_on_every_frame(
    bundle: Bundle, rate: float | None, slow: bool
) -> None:
    video = Workload(CLIP, None, pictures=False, frame_rate=rate)
    for budget in (0.1e9, 0.2e9, 0.3e9, 0.5e9):
        found, usual = (choose(None, Budget(budget, "macs"), OPEN, workload) for workload in (video, None))
        affordable = [p for p in bundle.pipelines if p.networks[0].macs <= budget]
        assert found.every_frame == (slow and bool(affordable))
        if not found.every_frame:
            assert found == usual
            continue
        assert found.shortest_cycle == len(found.pipeline.networks) == 1
        assert found.pipeline.macs_per_person_frame <= budget
        assert found.pipeline.selection == max(pipeline.selection_key for pipeline in affordable)


def key_times(bundle: Bundle) -> dict[str, float]:
    """Invented milliseconds of the key networks, in the order of their costs: 1, 2, …, by checksum."""
    keys = sorted({p.networks[0] for p in bundle.pipelines}, key=lambda network: network.macs)
    return {network.sha256: index + 1.0 for index, network in enumerate(keys)}


@pytest.mark.parametrize("unit", ["ms", "fps"])
@pytest.mark.parametrize("rate", [5.0, 30.0])
def test_slow_video_has_the_best_key_network_that_a_measured_budget_pays(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, unit: Literal["ms", "fps"], rate: float
) -> None:
    keys = key_times(bundle)

    def taken(pipeline: Pipeline) -> float:
        # Followers take nothing.
        return sum(keys.get(network.sha256, 0.0) for network in pipeline.networks) / len(pipeline.networks)

    def times(pipeline: Pipeline, *_: object) -> PipelineTimes:
        return PipelineTimes(taken(pipeline), taken(pipeline), 0.0)

    def networks(pipelines: Sequence[tuple[Pipeline, RuntimeOptions]]) -> list[float]:
        return [taken(pipeline) for pipeline, _ in pipelines]

    monkeypatch.setattr("vipnas_cli.latency.choice.networks_ms", networks, raising=False)
    monkeypatch.setattr("vipnas_cli.latency.choice.pipeline_times", times)
    monkeypatch.setattr("vipnas_cli.latency.choice.loop_fps", lambda found, *_: 1000 / found.step_ms)
    video = Workload(CLIP, None, pictures=False, frame_rate=rate)
    for limit in (0.9, 1.5, 2.5, 100.0):
        budget = Budget(limit if unit == "ms" else 1000 / limit, unit)
        found = choose(None, budget, ONE, video)
        affordable = [p.alone for p in bundle.pipelines if keys[p.networks[0].sha256] <= limit]
        assert found.every_frame == (rate < 6 and bool(affordable))
        assert found.figure is not None
        assert found.figure.value == pytest.approx(
            taken(found.pipeline) if unit == "ms" else 1000 / taken(found.pipeline)
        )
        if found.every_frame:
            assert len(found.pipeline.networks) == 1
            assert found.pipeline.selection == max(pipeline.selection for pipeline in affordable)
        elif not affordable:
            # Where no key network is paid for on every frame, followers are what there is.
            assert len(found.pipeline.networks) > 1


def test_a_rate_without_a_video_is_enough_but_for_frames_per_second(bundle: Bundle) -> None:
    slow = Workload(frame_rate=5.0)
    assert choose(None, Budget(0.2e9, "macs"), OPEN, slow).every_frame
    with pytest.raises(BudgetError, match="running a video"):
        choose(None, Budget(0.1, "fps"), OPEN, slow)


def test_more_budget_is_never_a_worse_key_network_for_slow_video(bundle: Bundle) -> None:
    budgets = sorted({p.networks[0].macs for p in bundle.pipelines})
    found = [bundle.alone_within(budget) for budget in budgets]
    scores = [pipeline.selection for pipeline in found if pipeline is not None]
    assert len(scores) == len(budgets)
    assert scores == sorted(scores)
    assert bundle.alone_within(budgets[0] - 1) is None
