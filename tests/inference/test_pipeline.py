"""Decode, inference and output side by side: everything arrives, in order, also when something fails."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from vipnas_cli.errors import OutputError, VideoError
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import WholeFrameSource
from vipnas_cli.inference.pipeline import Outputs, RunStatistics, process
from vipnas_cli.inference.propagation import PropagationOptions, Step
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.media.frames import Frame, FrameResult
from vipnas_cli.pose import People
from vipnas_cli.spec import FAST_BASE, Plan
from vipnas_cli.tracking.smoothing import Smoother


class Listing:
    """A sink that remembers, and fails at one frame if told to."""

    def __init__(self, failing: int = -1) -> None:
        self.results: list[FrameResult] = []
        self.failing = failing

    def write(self, result: FrameResult, image: np.ndarray | None, /) -> None:
        if result.frame_index == self.failing:
            raise OutputError("the disk is full")
        self.results.append(result)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def frames(count: int, broken_at: int = -1) -> Iterator[Frame]:
    for index in range(count):
        if index == broken_at:
            raise VideoError("the video ends in the middle")
        yield Frame(index, 3 * index, Fraction(1, 90), np.zeros((64, 64, 3), np.uint8))


def propagator() -> Propagator:
    return Propagator(PaintedEstimator((Plan(FAST_BASE),)), WholeFrameSource())


def ignore(statistics: RunStatistics) -> None: ...


class ThreePeople:
    """Somebody at the left, in the middle and at the right."""

    def boxes(self, image: np.ndarray, frame_index: int) -> tuple[np.ndarray, np.ndarray]:
        left = np.array([0, 20, 40], np.float32)
        return np.stack([left, 0 * left, left + 20, 0 * left + 60], 1), np.ones(3, np.float32)


@pytest.mark.parametrize(("most", "frames_told", "boxes_told"), [(1, 4, 2), (2, 4, 1), (3, 0, 0)])
def test_people_beyond_the_most_are_counted(most: int, frames_told: int, boxes_told: int) -> None:
    crowded = Propagator(
        PaintedEstimator((Plan(FAST_BASE),)), ThreePeople(), options=PropagationOptions(max_people=most)
    )
    found = process(frames(4), crowded, Outputs([Listing()], []), ignore)
    assert (found.crowded_frames, found.most_left_out) == (frames_told, boxes_told)


def test_sinks_get_who_is_followed_and_not_told_of_apart() -> None:
    boxes = np.array([[0, 0, 20, 60], [20, 0, 40, 60]], np.float32)
    both = People(np.array([3, 7]), boxes, np.zeros((2, 17, 2), np.float32), np.ones((2, 17), np.float32))
    seen, drawn, step = Listing(), Listing(), Step(both[:1], 0, "cycle", 2, others=both[1:])
    Outputs([seen], [drawn], smooth_pictures=Smoother()).write(next(frames(1)), step)
    for (result,) in (seen.results, drawn.results):
        assert result.people.ids.tolist() == [3]
        assert result.others is step.others
    statistics = RunStatistics()
    statistics.add(step, next(frames(1)))
    assert (dict(statistics.people), dict(statistics.others), step.followed) == ({3: 1}, {7: 1}, 2)


def test_every_frame_arrives_in_order_with_its_time() -> None:
    sink = Listing()
    statistics = process(frames(30), propagator(), Outputs([sink], []), ignore)
    assert [result.frame_index for result in sink.results] == list(range(30))
    assert [result.pts for result in sink.results] == [3 * index for index in range(30)]
    assert (statistics.frames, statistics.key_frames, statistics.interrupted) == (30, 30, False)
    assert set(statistics.busy_s) == {"decode", "inference", "output"}


@pytest.mark.parametrize("broken_at", [0, 1, 12, 13, 15])
@pytest.mark.parametrize("pictures", [False, True])
def test_a_decoding_error_is_raised_after_the_frames_before_it_were_written(broken_at: int, pictures: bool) -> None:
    sink = Listing()
    outputs = Outputs([], [sink]) if pictures else Outputs([sink], [])
    with pytest.raises(VideoError, match="in the middle"):
        process(frames(30, broken_at), propagator(), outputs, ignore)
    assert [result.frame_index for result in sink.results] == list(range(broken_at))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_videos_of_any_length_are_written_whole(count: int) -> None:
    numbers, pictures = Listing(), Listing()
    statistics = process(frames(count), propagator(), Outputs([numbers], [pictures]), ignore)
    assert statistics.frames == count
    for sink in (numbers, pictures):
        assert [result.frame_index for result in sink.results] == list(range(count))


@pytest.mark.parametrize("pictures", [False, True])
def test_an_output_error_is_raised(pictures: bool) -> None:
    sink = Listing(failing=29)
    with pytest.raises(OutputError, match="disk is full"):
        process(frames(30), propagator(), Outputs([], [sink]) if pictures else Outputs([sink], []), ignore)


def test_an_error_ends_frames_that_wait_for_data() -> None:
    stopped = threading.Event()

    def stalled() -> Iterator[Frame]:
        yield from frames(3)
        stopped.wait(10)

    started = time.monotonic()
    with pytest.raises(OutputError, match="disk is full"):
        process(stalled(), propagator(), Outputs([Listing(failing=2)], []), ignore, stopped.set, ahead=1)
    assert time.monotonic() - started < 5


def test_an_interrupt_keeps_what_was_computed() -> None:
    sink = Listing()

    def interrupt(statistics: RunStatistics) -> None:
        if statistics.frames == 7:
            raise KeyboardInterrupt

    statistics = process(frames(30), propagator(), Outputs([sink], []), interrupt)
    assert statistics.interrupted
    assert [result.frame_index for result in sink.results] == list(range(7))
