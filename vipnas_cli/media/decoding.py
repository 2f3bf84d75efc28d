"""Packets to pictures: decoding that outlives damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vipnas_cli.media.clock import PictureClock

StreamT = TypeVar("StreamT", bound=Stream)

# A broken file can fail to give its next packet again and again without coming to its end.
READ_ATTEMPTS = 5


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


def read_packets(container: InputContainer, streams: Sequence[StreamT], damage: Damage) -> Iterator[Packet[StreamT]]:
    """The packets of some streams, and at the end an empty one for each; failures to read are added to `damage`."""
    failures = 0
    while failures < READ_ATTEMPTS:
        try:
            for packet in container.demux(*streams):
                failures = 0
                yield cast("Packet[StreamT]", packet)
            return
        except av.error.ExitError:  # nothing came in time; each new try would wait as long again
            damage.errors += 1
            return
        except av.error.FFmpegError:
            damage.errors += 1
            failures += 1
