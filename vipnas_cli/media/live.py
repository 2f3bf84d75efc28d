"""Pictures as they come: a thread takes them from a camera or a stream, and late ones give way to new ones.

A connection that breaks is made again, later and later; time goes on as the clock on the wall does.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np

from vipnas_cli.errors import VideoError, VipnasError
from vipnas_cli.files import SelfClosing
from vipnas_cli.media.address import Origin, Stream
from vipnas_cli.media.closing import refusal
from vipnas_cli.media.connection import READ_S
from vipnas_cli.media.frames import Frame, VideoInfo
from vipnas_cli.media.limits import check_span, span
from vipnas_cli.media.reader import VideoReader

# Seconds without a picture after which a stream is given up.
PATIENCE_S = 60.0
# Seconds before the first new try to connect, and the most between two.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
# Between two looks at whether somebody wants to stop.
LOOK_S = 0.2
# Between two times of pictures that have none but those at which they come.
ARRIVAL_STEP_S = Fraction(1, 1000)
# What came while a stream was opened is there at once: how fast pictures come is told by so many of those that come
# later, or by what came within some seconds more.
BURST_S, PACE_S, PACE_PICTURES = 0.5, 2, 6
_THREAD = "stream"


def streams_wait() -> bool:
    """Whether a stream that was closed still waits inside FFmpeg, for a packet that may not come."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


class LiveReader(SelfClosing):
    """Iterates over the pictures of a camera or a stream, once, until `end_s`, `stop` or its end.

    A picture that nobody has taken gives way to the next. Pictures are numbered as they come, so that a gap in the
    numbers tells of dropped ones. Numbers and times begin with the picture that is there when one is asked for;
    VideoError if the stream ends before `start_s`.
    `damaged` counts pictures that came out corrupt, and a stream that was lost for good.
    """

    sound: None = None

    def __init__(
        self, origin: Origin, start_s: float | None = None, end_s: float | None = None, stride: int = 1
    ) -> None:
        check_span(start_s or 0.0, end_s)
        self._taker = _Taker(origin, start_s or 0.0, end_s, stride)
        self._origin, self._delivered, self._closed = origin, False, False
        # Nothing else holds the reader, so that one that is dropped midway ends, too.
        weakref.finalize(self, self._taker.stop)
        try:
            self._taker.begin()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> VideoInfo:
        """Facts about the stream, with notes on what happened to it so far."""
        return self._taker.info

    @property
    def damaged(self) -> int:
        """Corrupt pictures so far, and one for a stream that was lost for good."""
        return self._taker.damaged

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise refusal(str(self._origin))
        return self

    def __next__(self) -> Frame:
        frame = self._taker.next_frame(expected=not self._delivered)
        if frame is None:
            raise StopIteration
        self._delivered = True
        return frame

    def stop(self) -> None:
        """Come to an end now."""
        self._taker.stop()

    def close(self) -> None:
        """Let go of the stream, at the latest when its next packet comes or fails to come."""
        self._closed = True
        self._taker.close()


class _Taker:
    """What a reader and its thread have in common: the thread holds this, not the reader."""

    def __init__(self, origin: Origin, start_s: float, end_s: float | None, stride: int) -> None:
        self._origin, self._stride = origin, stride
        self._start_s, self._end_s = start_s, end_s
        self._waiting: Frame | None = None
        self._changed = threading.Condition()
        self._clock = _Clock()
        self._wanted = self._ended = self._stopped = False
        self._failure: VipnasError | None = None
        self._described: VideoInfo | None = None
        self._pace = _Pace()
        self._connections = self._received = self._late = self._damaged_before = self._passed_over = 0
        self._lost = False
        self._reader: VideoReader | None = None
        # A thread that waits for a stalled stream must not hold up the end of the program.
        self._thread = threading.Thread(target=self._take_all, name=_THREAD, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Wait for the first picture; VideoError if there is none."""
        with self._changed:
            while (self._waiting is None or self._pace.unknown) and not self._ended:
                self._changed.wait(LOOK_S)
        if self._waiting is None:
            raise self._failed() or VideoError(f"{self._origin} ended before its first picture", "Check what sends it.")
        rate = self._pace.rate()
        if rate is not None and self._described is not None:
            self._described = replace(self._described, average_rate=rate / self._stride)

    @property
    def info(self) -> VideoInfo:
        """Facts about the stream, with notes on what happened to it so far."""
        assert self._described is not None  # the first picture has come
        return replace(self._described, notes=(*self._described.notes, *self._events()))

    @property
    def damaged(self) -> int:
        """Corrupt pictures so far, and one for a stream that was lost for good."""
        return self._damaged_before + self._damaged_now() + self._lost

    def _damaged_now(self) -> int:
        reader = self._reader
        return max(reader.spoiled - self._passed_over, 0) if reader else 0

    def stop(self) -> None:
        """Come to an end now."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        reader = self._reader
        if reader is not None:
            reader.stop()

    def close(self) -> None:
        """Let go of the stream, at the latest when its next packet comes or fails to come."""
        self.stop()
        self._thread.join(LOOK_S)

    def _see_out(self) -> None:
        """Waits for the thread, as long as FFmpeg waits for a packet at most."""
        self.stop()
        self._thread.join(READ_S + LOOK_S)

    def next_frame(self, expected: bool) -> Frame | None:
        """The next picture, None at the end; VideoError if the stream ends by itself where one is expected."""
        with self._changed:
            if not self._wanted and self._waiting is not None:
                first = self._clock.timed(self._waiting)
                self._wanted, self._waiting = True, first if first.time_s >= self._start_s else None
            self._changed.wait_for(lambda: self._waiting is not None or self._ended or self._stopped)
            frame, self._waiting = self._waiting, None
            if self._stopped:
                return None
            failure = None if frame else self._failed()
            if frame is None and failure is None and expected:
                told = f"{self._origin} has no picture {span(self._start_s, self._end_s)}"
                failure = VideoError(told, "Begin earlier.")
            if failure is not None:
                raise failure
            return frame

    def _failed(self) -> VipnasError | None:
        """What went wrong, told once: an error that was raised holds the reader, which nothing here may hold."""
        failure, self._failure = self._failure, None
        return failure

    def _take_all(self) -> None:
        """What the thread does: connections one after another, until one ends in a way that ends all."""
        # The interpreter must not come down around a thread that is inside FFmpeg.
        atexit.register(self._see_out)
        try:
            self._take_connections()
        except VipnasError as error:
            self._failure = error
        except BaseException:
            self._failure = VideoError(f"reading {self._origin} failed", "Report this.")
            raise
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            atexit.unregister(self._see_out)

    def _take_connections(self) -> None:
        deadline, wait_s = 0.0, FIRST_WAIT_S
        while not self._stopped:
            before = self._received
            try:
                if self._take_one():
                    return
            except VideoError:
                if not self._received:
                    raise
            if not isinstance(self._origin, Stream):
                return
            if self._received > before:
                deadline, wait_s = time.monotonic() + PATIENCE_S, FIRST_WAIT_S
            if time.monotonic() + wait_s > deadline:
                self._lost = True
                return
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _take_one(self) -> bool:
        """The pictures of one connection; whether no more are wanted."""
        with VideoReader(self._origin) as reader:
            self._connections += 1
            # Nothing is wrong with a connection that begins between two key frames.
            self._passed_over, self._reader = reader.spoiled, reader
            with self._changed:
                self._clock.connect()
            if self._described is None:
                self._described = self._describe(reader)
            try:
                for picture in reader:
                    frame = picture if reader.stamped else self._pace.stamp(picture)
                    self._received += 1
                    if self._stopped or self._offer(self._sized(frame)):
                        return True
            finally:
                damaged, self._reader = self._damaged_now(), None
                self._damaged_before += damaged
        return False

    def _describe(self, reader: VideoReader) -> VideoInfo:
        info, note = reader.info, "the sound of a live stream is left out"
        return replace(
            info,
            frames=None,
            duration_s=None,
            time_base=info.time_base if reader.stamped else ARRIVAL_STEP_S,
            average_rate=info.average_rate / self._stride,
            audio=(),
            notes=(*info.notes, note) if info.audio else info.notes,
        )

    def _offer(self, frame: Frame) -> bool:
        """Puts a picture in the queue if it is wanted; whether it lies behind the last one that is."""
        with self._changed:
            if self._wanted:
                frame = self._clock.timed(frame)
                if self._end_s is not None and frame.time_s >= self._end_s:
                    return True
                if frame.time_s < self._start_s or frame.index % self._stride:
                    return False
                self._late += self._waiting is not None
            self._waiting = frame
            self._changed.notify_all()
        return False

    def _sized(self, frame: Frame) -> Frame:
        """A picture in the size of the first one, which another connection may not have."""
        assert self._described is not None
        size = self._described.width, self._described.height
        if (frame.image.shape[1], frame.image.shape[0]) == size:
            return frame
        return replace(frame, image=np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), np.uint8))

    def _events(self) -> tuple[str, ...]:
        events = []
        if self._late:
            events.append(f"{self._late} pictures came too fast and were left out (--no-live holds the stream up)")
        if self._connections > 1:
            events.append(f"the connection broke and was made again {self._connections - 1} times")
        if self._lost:
            events.append(f"the stream was lost: no picture for {PATIENCE_S:g} s")
        return tuple(events)


class _Pace:
    """When the pictures of a stream without time stamps come, and how many come in a second."""

    def __init__(self) -> None:
        self._came_s: list[float] = []

    def stamp(self, frame: Frame) -> Frame:
        """A picture that comes now, at its time."""
        now = time.monotonic()
        if not self._came_s or self.unknown:
            self._came_s.append(now)
        return replace(frame, pts=round(now / ARRIVAL_STEP_S), time_base=ARRIVAL_STEP_S)

    @property
    def unknown(self) -> bool:
        """Whether pictures have come, and more may come that tell of their pace."""
        if not self._came_s or len(self._steady()) >= PACE_PICTURES:
            return False
        return time.monotonic() < self._came_s[0] + BURST_S + PACE_S

    def rate(self) -> Fraction | None:
        """Pictures per second; None where too few came to tell."""
        steady = self._steady()
        if len(steady) > 1 and steady[-1] > steady[0]:
            return Fraction((len(steady) - 1) / (steady[-1] - steady[0])).limit_denominator(100)
        return Fraction(1, PACE_S) if self._came_s and not self.unknown else None

    def _steady(self) -> list[float]:
        return [came_s for came_s in self._came_s if came_s > self._came_s[0] + BURST_S]


class _Clock:
    """Numbers and times of pictures over all connections: from 0, and on by the clock on the wall at each new one."""

    def __init__(self) -> None:
        self.pictures = 0
        self._began_s = 0.0
        self._shift: int | None = None
        self._first: Frame | None = None
        self._last_pts = -1

    def connect(self) -> None:
        """The next picture is the first of a connection."""
        self._shift = None

    def timed(self, frame: Frame) -> Frame:
        """The next picture with its number and time."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began_s = frame, now
        base = self._first.time_base
        pts = round(frame.pts * frame.time_base / base)
        if self._shift is None:
            self._shift = round((now - self._began_s) / base) - pts
        pts = max(pts + self._shift, self._last_pts + 1)
        timed = replace(frame, index=self.pictures, pts=pts, time_base=base)
        self._last_pts, self.pictures = pts, self.pictures + 1
        return timed
