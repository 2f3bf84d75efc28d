"""Decode, inference and output side by side: three threads with short bounded queues between them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from vipnas_cli.inference.propagator import Propagator, Step
from vipnas_cli.media.frames import Frame, FrameResult
from vipnas_cli.media.results import ResultSink
from vipnas_cli.pose import People
from vipnas_cli.tracking.smoothing import Smoother

# Frames that wait between two stages; enough to even out, few enough to keep memory flat.
WAITING = 4


@dataclass
class RunStatistics:
    """What a run did: frames, crops per position, people, reasons of key frames, busy seconds per stage."""

    frames: int = 0
    crops: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    people: set[int] = field(default_factory=set)
    busy_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall_s: float = 0.0
    interrupted: bool = False

    @property
    def key_frames(self) -> int:
        """Frames on which people were looked for."""
        return sum(self.reasons.values())

    def add(self, step: Step) -> None:
        """Counts one frame."""
        self.frames += 1
        self.crops[step.position] += step.crops
        if step.reason:
            self.reasons[step.reason] += 1
        self.people.update(step.people.ids.tolist())

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Adds the time of a block to a stage; each stage is timed by one thread only."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.busy_s[stage] += time.perf_counter() - started


@dataclass(frozen=True)
class Outputs:
    """Sinks for numbers and sinks for pictures, each with its own smoothing (None: raw)."""

    numbers: Sequence[ResultSink]
    pictures: Sequence[ResultSink]
    smooth_numbers: Smoother | None = None
    smooth_pictures: Smoother | None = None

    def write(self, frame: Frame, people: People, key: bool) -> None:
        """Hands one frame to all sinks."""
        for sinks, smoother in ((self.numbers, self.smooth_numbers), (self.pictures, self.smooth_pictures)):
            if sinks:
                shown = smoother.smooth(people, frame.time_s) if smoother else people
                result = FrameResult(frame.index, frame.pts, frame.time_s, shown, key)
                for sink in sinks:
                    sink.write(result, frame.image)


def process(
    frames: Iterable[Frame], propagator: Propagator, outputs: Outputs, on_frame: Callable[[RunStatistics], None]
) -> RunStatistics:
    """Runs all frames through the propagator into the outputs and says what was done.

    An interrupt stops after the current frame; what was computed is still written. Errors of any stage are raised
    here, after the frames before them were written.
    """
    statistics, started = RunStatistics(), time.perf_counter()
    decoder, writer = ThreadPoolExecutor(1, "decode"), ThreadPoolExecutor(1, "write")
    iterator = iter(frames)
    written: deque[Future[None]] = deque()

    def decode() -> Frame | None:
        with statistics.busy("decode"):
            return next(iterator, None)

    def write(frame: Frame, people: People, key: bool) -> None:
        with statistics.busy("output"):
            outputs.write(frame, people, key)

    try:
        ahead = deque(decoder.submit(decode) for _ in range(WAITING))
        while (frame := ahead.popleft().result()) is not None:
            ahead.append(decoder.submit(decode))
            with statistics.busy("inference"):
                step = propagator.step(frame.image, frame.index, frame.time_s)
            written.append(writer.submit(write, frame, step.people, step.reason is not None))
            statistics.add(step)
            if len(written) > WAITING:
                written.popleft().result()
            on_frame(statistics)
    except KeyboardInterrupt:
        statistics.interrupted = True
    finally:
        decoder.shutdown(cancel_futures=True)
        writer.shutdown()
        statistics.wall_s = time.perf_counter() - started
    for future in written:
        future.result()
    return statistics
