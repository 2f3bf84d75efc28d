"""Where decoding begins for a start within the file, so that every frame is that of a whole run.

A seek is not believed: transport streams lead anywhere, and clocks may jump on the way. Files with an index are led by
it, and the reader looks at where they landed. In all others the packets before the start are read, not decoded, and
must be of one clock; otherwise None says that everything is to be decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vipnas_cli.media.clock import PictureClock
from vipnas_cli.media.decoding import Damage, read_packets
from vipnas_cli.media.source import has_index

# A longer way from packet to packet may be a jump of the clock.
STEADY_S = Fraction(1)
# Compressed bytes that are kept while the start is looked for.
KEPT_BYTES = 1 << 27

VideoPackets: TypeAlias = Iterator["Packet[VideoStream]"]
Place: TypeAlias = Callable[[InputContainer, VideoStream, PictureClock, int], VideoPackets | None]


def packets_from_index(
    container: InputContainer, stream: VideoStream, clock: PictureClock, wanted: int
) -> VideoPackets | None:
    """The packets from where the index of the file leads for a pts, None without one.

    None also where pictures without time stamps come first, which have a place in time only from the beginning on.
    """
    if not has_index(container):
        return None
    with suppress(av.error.FFmpegError):
        if next(read_packets(container, [stream], Damage())).pts is None:
            return None
        container.seek(clock.in_file(wanted), stream=stream)
        return read_packets(container, [stream], Damage())
    return None


def packets_from(
    container: InputContainer, stream: VideoStream, clock: PictureClock, wanted: int
) -> VideoPackets | None:
    """The packets from the last but one key frame before a pts on, None if their clock is not steady up to there."""
    if stream.start_time is None or container.format.name == "avi":  # a bare stream; stamps in the order of decoding
        return None
    damage, wanted_stamp = Damage(), clock.in_file(wanted)
    packets = read_packets(container, [stream], damage)
    kept: list[Packet[VideoStream]] = []
    last_key = size = 0
    last: int | None = None
    for packet in packets:
        if not packet.size:
            kept.append(packet)
            break
        if damage.errors or not _steady(packet, last, clock):
            return None
        last = packet.dts
        if packet.is_keyframe and (packet.pts or 0) <= wanted_stamp:
            kept = kept[last_key:]  # the last key frame may be none (intra refresh), or have pictures before it
            last_key, size = len(kept), sum(one.size for one in kept)
        kept.append(packet)
        size += packet.size
        if size > KEPT_BYTES:
            return None
        if last is not None and last >= wanted_stamp:
            break
    return chain(kept, packets)


def _steady(packet: Packet[VideoStream], last: int | None, clock: PictureClock) -> bool:
    if packet.pts is None or packet.dts is None or clock.of_file(packet.pts) < 0:
        return False
    return last is None or 0 < packet.dts - last <= STEADY_S / packet.time_base
