"""The times of pictures: those of the file, made to begin near zero, to grow, and to go on where recordings join."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

# Time stamps that go back by more than this belong to another recording, joined to the first.
JOINED_S = 1
# So do those that go forward by more, in formats whose clocks are known to jump (as FFmpeg's own dts_delta_threshold).
JUMP_S = 10
FLOAT_SLACK_S = Fraction(1, 1_000_000)
# Pictures that a codec may hold back to bring them into the order of presentation (H.264, H.265).
REORDERED = 16


@dataclass(frozen=True)
class ClockRules:
    """How far the time stamps of a file are to be believed.

    `jumps`: a large step forward is the seam of two recordings. `by_decoding`: packets carry the order of decoding
    only (AVI), so that the pictures take these stamps in growing order.
    """

    jumps: bool = False
    by_decoding: bool = False


class PictureClock:
    """Gives each decoded picture its pts: that of the file, less `start` seconds, never below zero, always growing.

    The time base is the file's, or finer by a whole factor where several pictures share one of its ticks.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, start: Fraction, rules: ClockRules) -> None:
        self._finer = max(1, math.ceil(rate * time_base))
        self.time_base = time_base / self._finer
        self.step = max(1, round(1 / (rate * self.time_base)))
        self._rules = rules
        self._origin = round(start / self.time_base)
        self._early: list[int] = []
        self._last: int | None = None
        self._stamps: list[int] = []
        # Seconds that pictures without time stamps lie before the start, which all times are later by.
        self.early_s = Fraction(0)

    def begin(self, pictures: Sequence[VideoFrame]) -> None:
        """Notes that the last of the first pictures is the first with a time stamp.

        FFmpeg gives none to pictures of Matroska before zero.
        """
        stamp = pictures[-1].pts if pictures else None
        if stamp is None:
            return
        place = self.of_file(stamp)
        for picture in reversed(pictures[:-1]):
            place -= self.of_file(picture.duration) - self.of_file(0) or self.step
            self._early.append(place)
        if self._early and place < 0:
            self._origin += place
            self.early_s = -place * self.time_base
            self._early = [one - place for one in self._early]

    def stamp(self, frame: VideoFrame) -> int:
        """The pts of the next picture in the order of presentation."""
        due = 0 if self._last is None else self._last + self.step
        stamp = self._next_stamp(frame) if self._rules.by_decoding else frame.pts
        if stamp is not None:
            pts = self.of_file(stamp)
        elif self._early:
            pts = self._early.pop()
        else:
            pts = due
        if self._seam(pts, due):
            self._origin += pts - due
            pts = due
        elif self._last is not None and pts <= self._last:
            pts = self._last + 1
        self._last = pts
        return pts

    def expect(self, stamp: int | None) -> None:
        """Notes the time stamp of a packet on its way to the decoder."""
        if self._rules.by_decoding and stamp is not None:
            heapq.heappush(self._stamps, stamp)

    def give_up(self) -> None:
        """Takes back the stamp of a packet that gave no picture."""
        if self._stamps:
            heapq.heappop(self._stamps)

    def ticks(self, seconds: float) -> int:
        """The first pts at or after a time, give or take what a float cannot say (0.2 is a little more than 1/5)."""
        return math.ceil((Fraction(seconds) - FLOAT_SLACK_S) / self.time_base)

    def of_file(self, stamp: int) -> int:
        """The pts for a time stamp of the file."""
        return stamp * self._finer - self._origin

    def in_file(self, pts: int) -> int:
        """The time stamp of the file for a pts, rounded down."""
        return (pts + self._origin) // self._finer

    def _seam(self, pts: int, due: int) -> bool:
        """Whether a picture begins another recording, or lies before the time at which this one is said to begin."""
        if self._last is None:
            return pts < 0
        back, ahead = (self._last - pts) * self.time_base, (pts - due) * self.time_base
        return back > JOINED_S or (self._rules.jumps and ahead > JUMP_S)

    def _next_stamp(self, frame: VideoFrame) -> int | None:
        own = frame.dts
        # Packets that gave no picture leave stamps behind, which the next key frame shows to be stale.
        while own is not None and frame.key_frame and self._stamps and self._stamps[0] < own - REORDERED:
            heapq.heappop(self._stamps)
        return heapq.heappop(self._stamps) if self._stamps else None
