"""Packets to pictures: decoding that outlives damage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vipnas_cli.media.clock import PictureClock
from vipnas_cli.media.connection import READ_S

StreamT = TypeVar("StreamT", bound=Stream)

# A broken file can fail to give its next packet again and again without coming to its end.
READ_ATTEMPTS = 5
# Between two looks at whether a camera has its next picture.
CAMERA_LOOK_S = 0.005


@dataclass
class Damage:
    """What went wrong so far: `packets` in, `frames` out, `errors` of decoder and demuxer, those of the demuxer among
    them as `unread`, `corrupt` frames; `broken`: the demuxer was given up."""

    packets: int = 0
    frames: int = 0
    errors: int = 0
    unread: int = 0
    corrupt: int = 0
    broken: bool = False

    def forget(self) -> None:
        """Start counting anew."""
        self.packets = self.frames = self.errors = self.unread = self.corrupt = 0
        self.broken = False

    @property
    def count(self) -> int:
        """Frames and packets that could not be decoded or came out corrupt."""
        return self.errors + self.corrupt

    @property
    def spoiled(self) -> int:
        """Those of them that came."""
        return self.errors - self.unread + self.corrupt

    def settle(self, missing: int, room: int | None) -> None:
        """At the end of the file: count packets that vanished without an error and frames `missing` after the last.

        Packets without a picture are normal in some codecs, so they count only in a file that is known to be damaged.
        Those behind the last frame are among the missing ones: with these no more than `room`, the frames that the
        header states beyond those that came.
        """
        if self.errors or missing:
            self.errors = max(self.errors, self.packets - self.frames)
        self.errors += missing
        if missing and room is not None:
            self.errors = max(min(self.errors, room), 1)

    def settle_break(self) -> None:
        """At the end of a connection that broke: what never came does not count."""
        self.errors, self.unread = self.errors - self.unread, 0


def decode(packets: Iterable[Packet[VideoStream]], clock: PictureClock, damage: Damage) -> Iterator[VideoFrame]:
    """The pictures of some packets in the order of presentation; failures are added to `damage`."""
    for packet in packets:
        if packet.size:  # the last packet is empty: it empties the decoder
            damage.packets += 1
            clock.expect(packet.dts)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            damage.errors += 1
            clock.give_up()
            continue
        for frame in frames:
            damage.frames += 1
            damage.corrupt += frame.is_corrupt
            yield frame


def read_packets(
    container: InputContainer, streams: Sequence[StreamT], damage: Damage, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Packet[StreamT]]:
    """The packets of some streams, and at the end, whatever it is, an empty one for each.

    Failures to read are added to `damage`; none is followed by a new try once it is `stopped`.
    """
    failures, came_s = 0, time.monotonic()
    while failures < READ_ATTEMPTS and not stopped():
        try:
            for packet in container.demux(*streams):
                yield cast("Packet[StreamT]", packet)
                failures, came_s = 0, time.monotonic()
            return
        except av.error.FFmpegError as error:
            waits = isinstance(error, av.error.BlockingIOError)
            # What cameras of macOS say between two pictures.
            if waits and time.monotonic() < came_s + READ_S:
                time.sleep(CAMERA_LOOK_S)
                continue
            damage.errors += 1
            damage.unread += 1
            # Where nothing came in time, each new try would wait as long again.
            failures += READ_ATTEMPTS if waits or isinstance(error, av.error.ExitError) else 1
    damage.broken = True
    for stream in streams:
        end = Packet()
        end.stream, end.time_base = stream, stream.time_base or Fraction(1)
        yield cast("Packet[StreamT]", end)
