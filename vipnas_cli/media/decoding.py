"""Packets to pictures: decoding that outlives damage, and time stamps that always grow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

StreamT = TypeVar("StreamT", bound=Stream)

# A broken file can fail to give its next packet again and again without coming to its end.
READ_ATTEMPTS = 5
# Time stamps that go back by more than this belong to another recording, joined to the first.
JOINED_S = 1
FLOAT_SLACK_S = Fraction(1, 1_000_000)


@dataclass
class Damage:
    """What went wrong so far: `packets` in, `frames` out, `errors` that the decoder reported, `corrupt` frames."""

    packets: int = 0
    frames: int = 0
    errors: int = 0
    corrupt: int = 0

    def forget(self) -> None:
        """Start counting anew."""
        self.packets = self.frames = self.errors = self.corrupt = 0

    def add(self, other: Damage) -> None:
        """Add what was found while reading another part of the same file; its packets are known already."""
        self.frames += other.frames
        self.errors += other.errors
        self.corrupt += other.corrupt

    @property
    def count(self) -> int:
        """Frames and packets that could not be decoded or came out corrupt."""
        return self.errors + self.corrupt

    def settle(self, missing: int) -> None:
        """At the end of the file: count packets that vanished without an error and frames `missing` after the last.

        Packets without a picture are normal in some codecs, so they count only in a file that is known to be damaged.
        """
        if self.errors or missing:
            self.errors = max(self.errors, self.packets - self.frames)
        self.errors += missing

    @property
    def unaccounted(self) -> bool:
        """Whether a packet gave neither a frame nor an error."""
        return self.packets > self.frames + self.errors


def decode(container: InputContainer, stream: VideoStream, damage: Damage) -> Iterator[VideoFrame]:
    """The pictures from the current position on, in the order of presentation; failures are added to `damage`."""
    for packet in read_packets(container, [stream], damage):
        damage.packets += packet.size > 0  # the last packet is empty: it empties the decoder
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            damage.errors += 1
            continue
        for frame in frames:
            damage.frames += 1
            damage.corrupt += frame.is_corrupt
            yield frame


def read_packets(container: InputContainer, streams: Sequence[StreamT], damage: Damage) -> Iterator[Packet[StreamT]]:
    """The packets of some streams, and at the end an empty one for each; failures to read are added to `damage`."""
    failures = 0
    while failures < READ_ATTEMPTS:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield cast("Packet[StreamT]", packet)
            return
        except av.error.FFmpegError:
            damage.errors += 1
            failures += 1


class PictureClock:
    """Gives each decoded picture its pts: that of the file, less `start` seconds, and always larger than the last.

    `regular` is for files (AVI) whose time stamps are in the order of decoding: only key frames are believed then.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, start: Fraction, regular: bool = False) -> None:
        self.time_base = time_base
        self._regular = regular
        self.step = max(1, round(1 / (rate * time_base)))
        self._origin = round(start / time_base)
        self._last: int | None = None

    def stamp(self, frame: VideoFrame) -> int:
        """The pts of the next picture in the order of presentation."""
        due = 0 if self._last is None else self._last + self.step
        guess = frame.pts is None or (self._regular and self._last is not None and not frame.key_frame)
        pts = due if guess else self.of_file(frame.pts or 0)
        if self._last is not None and pts <= self._last:
            if (self._last - pts) * self.time_base > JOINED_S:
                self._origin += pts - due
                pts = due
            else:
                pts = self._last + 1
        self._last = pts
        return pts

    def restart(self) -> None:
        """Forget the last picture, after a seek."""
        self._last = None

    def ticks(self, seconds: float) -> int:
        """The first pts at or after a time, give or take what a float cannot say (0.2 is a little more than 1/5)."""
        return math.ceil((Fraction(seconds) - FLOAT_SLACK_S) / self.time_base)

    def of_file(self, stamp: int) -> int:
        """The pts for a time stamp of the file."""
        return stamp - self._origin

    def in_file(self, pts: int) -> int:
        """The time stamp of the file for a pts."""
        return pts + self._origin
