"""Decode, inference and drawing side by side: three threads with short bounded queues between them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from vipnas_cli.arrays import Boxes
from vipnas_cli.inference.changes import Thumbnail, thumbnail
from vipnas_cli.inference.choosing import Region
from vipnas_cli.inference.propagation import Step
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.media.frames import Frame, FrameResult
from vipnas_cli.media.limits import waiting
from vipnas_cli.metrics.steadiness import Steadiness, SteadinessMeter
from vipnas_cli.results.sink import ResultSink
from vipnas_cli.tracking.smoothing import Smoother

# Frames that wait to be written; enough to even out, few enough to keep memory flat.
WAITING = 4
# Frames that are decoded at once, because threads that take turns with every frame drive each other's data out of the
# cache. With as many as a cycle has, decoding would always take a core away when the key network wants all of them.
AHEAD = 2
# Whoever is away for so many seconds at the end is lost, unless the last box, or where another such step would have led
# it, was so near the edge (a share of the picture).
LOST_S, EDGE = 0.5, 0.02
Decoded = tuple[Frame, Thumbnail]


@dataclass(frozen=True)
class LastSeen:
    """When somebody was seen last, in seconds, in which box (4,), and whether that was at the edge of where people are
    followed."""

    time_s: float
    box_frame: Boxes
    at_edge: bool


@dataclass
class RunStatistics:
    """What a run did: frames, crops per position, looks for people, frames and last sighting of each id, frames of
    those who were followed but not told of, reasons of key frames, busy seconds; how steady the numbers are, if that
    was measured. `position` is that of the last frame; `region` is where people are followed, None: everywhere."""

    frames: int = 0
    crops: Counter[int] = field(default_factory=Counter)
    looks: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    people: Counter[int] = field(default_factory=Counter)
    others: Counter[int] = field(default_factory=Counter)
    last_seen: dict[int, LastSeen] = field(default_factory=dict)
    time_s: float = 0.0
    busy_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall_s: float = 0.0
    interrupted: bool = False
    crowded_frames: int = 0
    most_left_out: int = 0
    steadiness: Steadiness | None = None
    position: int = 0
    region: Region | None = None

    @property
    def key_frames(self) -> int:
        """Frames that the key network saw."""
        return sum(self.reasons.values())

    @property
    def lost(self) -> dict[int, float]:
        """Who was lost inside the picture, or the region, for good, well before the end, and when in seconds, by id."""
        seen = self.last_seen.items()
        return {i: last.time_s for i, last in seen if not last.at_edge and self.time_s - last.time_s >= LOST_S}

    def add(self, step: Step, frame: Frame) -> None:
        """Counts one frame."""
        ids, size = step.people.ids.tolist(), (frame.image.shape[0], frame.image.shape[1])
        if step.reason == "cut":
            # Who is gone with the scene is not lost.
            self.last_seen.clear()
        for identity, box in zip(ids, step.people.boxes_frame, strict=True):
            before = self.last_seen.get(identity)
            ahead = box if before is None or before.time_s != self.time_s else 2 * box - before.box_frame
            self.last_seen[identity] = LastSeen(frame.time_s, box, self._at_edge(np.stack([box, ahead]), size))
        self.time_s, self.position = frame.time_s, step.position
        self.frames += 1
        self.crops[step.position] += step.crops
        self.looks += step.looked
        self.crowded_frames += step.left_out > 0
        self.most_left_out = max(self.most_left_out, step.left_out)
        if step.reason:
            self.reasons[step.reason] += 1
        self.people.update(ids)
        self.others.update([] if step.others is None else step.others.ids.tolist())

    def _at_edge(self, boxes: Boxes, size: tuple[int, int]) -> bool:
        """Whether one of the boxes (N, 4) reaches the edge of a picture of `size` (H, W), or its middle that of the
        region."""
        edge = EDGE * max(size)
        if (boxes[:, :2] <= edge).any() or (boxes[:, 2:] >= np.array(size[::-1]) - edge).any():
            return True
        return self.region is not None and not self.region.holds(boxes, size, edge).all()

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
    """Sinks for numbers and sinks for pictures, each with its own smoothing (None: raw); `meter` sees the numbers.

    `stride`: by so much the indices of consecutive frames differ.
    """

    numbers: Sequence[ResultSink]
    pictures: Sequence[ResultSink]
    smooth_numbers: Smoother | None = None
    smooth_pictures: Smoother | None = None
    meter: SteadinessMeter | None = None
    stride: int = 1

    def write(self, frame: Frame, step: Step) -> None:
        """Hands one frame to all sinks."""
        people, key = step.people, step.reason is not None
        for sinks, smoother in ((self.numbers, self.smooth_numbers), (self.pictures, self.smooth_pictures)):
            meter = self.meter if sinks is self.numbers else None
            if sinks or meter:
                shown = smoother.smooth(people, frame.time_s) if smoother else people
                if meter:
                    meter.add(frame.index // self.stride, shown)
                result = FrameResult(frame.index, frame.pts, frame.time_s, shown, key, step.others)
                for sink in sinks:
                    sink.write(result, frame.image)


def process(
    frames: Iterable[Frame],
    propagator: Propagator,
    outputs: Outputs,
    on_frame: Callable[[RunStatistics], None],
    stop: Callable[[], None] | None = None,
    ahead: int = AHEAD,
) -> RunStatistics:
    """Runs all frames through the propagator into the outputs and says what was done.

    An interrupt stops after the current frame; what was computed is still written. `stop` is called then and after an
    error, and makes frames that wait for data end. `ahead` frames are decoded at once. Errors of any stage are raised
    here, after the frames before them were written.
    """
    statistics, started = RunStatistics(region=propagator.options.region), time.perf_counter()
    decoder, writer = ThreadPoolExecutor(1, "decode"), ThreadPoolExecutor(1, "write")
    written: deque[Future[None]] = deque()
    ended = False

    def write(frame: Frame, step: Step) -> None:
        with statistics.busy("output"):
            outputs.write(frame, step)

    try:
        for frame, small in _decoded(iter(frames), decoder, statistics, ahead):
            with statistics.busy("inference"):
                step = propagator.step(frame.image, frame.index, frame.time_s, small)
            if outputs.pictures:
                written.append(writer.submit(write, frame, step))
                if len(written) > waiting(frame.image.nbytes, WAITING):
                    written.popleft().result()
            else:
                # Rows are written faster than handed over.
                write(frame, step)
            statistics.add(step, frame)
            on_frame(statistics)
        ended = True
    except KeyboardInterrupt:
        statistics.interrupted = True
    finally:
        # After an error, too, the decoder may wait for data that does not come.
        if stop is not None and not ended:
            stop()
        decoder.shutdown(cancel_futures=True)
        writer.shutdown()
        statistics.wall_s = time.perf_counter() - started
    for future in written:
        future.result()
    statistics.steadiness = outputs.meter.result if outputs.meter else None
    return statistics


def _decoded(frames: Iterator[Frame], decoder: Executor, statistics: RunStatistics, at_once: int) -> Iterator[Decoded]:
    """All frames with their thumbnails, some of them decoded ahead; an error comes after the frames before it."""

    def decode(batch: list[Decoded]) -> None:
        with statistics.busy("decode"):
            for frame in islice(frames, at_once):
                batch.append((frame, thumbnail(frame.image)))
                if len(batch) >= waiting(frame.image.nbytes, at_once):
                    break

    batch: list[Decoded] = []
    job = decoder.submit(decode, batch)
    while True:
        wait([job])
        following: list[Decoded] = []
        ahead = decoder.submit(decode, following) if batch and job.exception() is None else job
        yield from batch
        job.result()
        if not batch:
            return
        batch, job = following, ahead
