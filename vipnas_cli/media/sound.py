"""Where the packets of sound come from: a second reading of a file, or the only one of a pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeAlias, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from vipnas_cli.media.clock import JOINED_S, JUMP_S
from vipnas_cli.media.decoding import Damage, read_packets
from vipnas_cli.media.source import clock_rules, clock_start, has_index, open_container, picture_stream

# Bytes of a file that are looked through for the first sound of each track.
PROBED_BYTES = 1 << 28
# A pipe may be live: no longer than this is waited for the first sound, in its own time and in bytes.
PROBED_PIPE_S, PROBED_PIPE_BYTES = 10, 1 << 24
# Sound of a pipe that waits for its pictures, in bytes of packets.
WAITING_SOUND = 1 << 27
# Sound and pictures of the same time may stand so far apart in a pipe.
APART_S = 2
AudioPacket: TypeAlias = "Packet[AudioStream]"


@dataclass(frozen=True)
class Sound:
    """What the first decoded sound of a track says about it; `samples` are those of one packet."""

    rate: int
    channels: int
    samples: int = 0


@dataclass(frozen=True)
class SoundPacket:
    """A packet to move, and what decodes it, if that is needed: each once, in the order of their track."""

    packet: AudioPacket
    decode: Callable[[], list[AudioFrame]]


class SoundSource(Protocol):
    """The sound of a video; `first` holds that of each track, by the index of its stream, that has any."""

    container: InputContainer
    first: dict[int, Sound]
    # Where its own clock begins, in seconds, which the clock of the pictures takes off.
    start_s: Fraction

    @property
    def why_silent(self) -> str:
        """Why a track can be missing in `first`."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was lost on the way."""
        ...

    def packets(self, streams: list[AudioStream], from_s: Fraction) -> Iterator[SoundPacket | None]:
        """The packets of some tracks from about a time of the file on; None where the next ones are still to come."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


SoundOpener: TypeAlias = Callable[[], SoundSource]


class FileSound:
    """The sound of a file, which is opened once more for it."""

    why_silent = "no sound of it can be decoded"
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.first = first_sounds(path)
        self.container = open_container(path)
        self.start_s = clock_start(self.container, picture_stream(self.container, path))

    def packets(self, streams: list[AudioStream], from_s: Fraction) -> Iterator[SoundPacket]:
        """See SoundSource."""
        wanted = {stream.index for stream in streams}
        for other in self.container.streams:
            if other.index not in wanted:
                other.discard = Discard.all
        if from_s and has_index(self.container):
            with suppress(av.error.FFmpegError):  # what cannot seek is read from its beginning
                self.container.seek(int((from_s + self.start_s) * av.time_base))
        clocks = SoundClocks(self.container, self.first)
        for packet in read_packets(self.container, streams, Damage()):
            clocks.stamp(packet)
            yield SoundPacket(packet, packet.decode)

    def close(self) -> None:
        """See SoundSource."""
        self.container.close()


class SinglePass:
    """Pictures and sound out of one reading of a container, for what can be read once only.

    Sound waits until a listener takes it. Before pictures are delivered it is kept from `keep_from_s` of the video on,
    afterwards for listeners only.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        damage: Damage,
        keep_from_s: Fraction,
        stopped: Callable[[], bool],
    ) -> None:
        self.container, self._keep_from_s = container, keep_from_s
        self.start_s = clock_start(container, stream)
        self.ended = False
        self._tracks = [track for track in container.streams.audio if getattr(track, "codec_context", None) is not None]
        self._packets = read_packets(container, [stream, *self._tracks], damage, stopped)
        self._pictures: deque[Packet[VideoStream]] = deque()
        self._early: deque[_Shared] = deque()
        self._listeners: list[PipeSound] = []
        self._delivering = False
        self._first: dict[int, Sound] = {}
        self._clocks = SoundClocks(container, self._first)
        self._heard_s: dict[int, Fraction] = {}
        self._decoding = Lock()

    def pictures(self) -> Iterator[Packet[VideoStream]]:
        """The packets of the pictures, and at the end an empty one."""
        while self._pictures or self._read() is not None:
            if self._pictures:
                yield self._pictures.popleft()

    def deliver(self) -> None:
        """The first picture leaves: from here on sound is for those who listen already."""
        self._delivering = True
        self._early.clear()
        for track in () if self._listeners else self._tracks:
            track.discard = Discard.all

    def finish(self, end_s: Fraction) -> None:
        """Reads the sound up to a time of the video, where it stands behind the pictures of that time."""
        seen_s = Fraction(0)
        while self._listeners and seen_s < end_s + APART_S:
            packet = self._read() if any(self._heard_s.get(index, 0) < end_s for index in self._first) else None
            if packet is None:
                break
            self._pictures.clear()
            seen_s = max(seen_s, self._time_s(packet))
        self.ended = True

    def listen(self) -> PipeSound:
        """The sound for one output, to be taken before the first picture is delivered."""
        if not self._listeners and not self._delivering:
            self._look_ahead()
        listener = PipeSound(self, self._first)
        for shared in self._early:
            listener.add(shared)
        self._listeners.append(listener)
        return listener

    def leave(self, listener: PipeSound) -> None:
        """Ends the sound of a listener."""
        self._listeners = [other for other in self._listeners if other is not listener]

    def _look_ahead(self) -> None:
        """Finds the first sound of each track; reads on for it, but no longer than a live picture may wait."""
        for shared in self._early:
            self._look_at(shared.packet)
        begun_s: Fraction | None = None
        size = 0
        while len(self._first) < len(self._tracks) and size < PROBED_PIPE_BYTES:
            found = self._read()
            if found is None:
                break
            size += found.size
            if found.stream.type == "audio":
                self._look_at(cast("AudioPacket", found))
            elif found.dts is not None:
                begun_s = self._time_s(found) if begun_s is None else begun_s
                if self._time_s(found) > begun_s + PROBED_PIPE_S:
                    break
        for track in self._tracks:
            track.codec_context.flush_buffers()

    def _look_at(self, packet: AudioPacket) -> None:
        sound = None if packet.stream.index in self._first else first_sound(packet)
        if sound is not None:
            self._first[packet.stream.index] = sound

    def _read(self) -> Packet[Stream] | None:
        """Puts the next packet where it belongs; None at the end."""
        packet = next(self._packets, None)
        if packet is None:
            self.ended = True
        elif packet.stream.type == "video":
            self._pictures.append(cast("Packet[VideoStream]", packet))
        else:
            self._keep(cast("AudioPacket", packet))
        return packet

    def _keep(self, packet: AudioPacket) -> None:
        self._clocks.stamp(packet)
        if packet.pts is not None:
            self._heard_s[packet.stream.index] = self._time_s(packet)
            if self._time_s(packet) < self._keep_from_s:
                return
        shared = _Shared(packet, self._decoding)
        if not self._delivering:
            self._early.append(shared)
        for listener in self._listeners:
            listener.add(shared)

    def _time_s(self, packet: Packet[Any]) -> Fraction:
        stamp = packet.dts if packet.pts is None else packet.pts
        return (stamp or 0) * packet.time_base - self.start_s


class PipeSound:
    """What one output takes of the sound of a SinglePass; see SoundSource."""

    why_silent = f"no sound of it could be decoded within {PROBED_PIPE_S} s"

    def __init__(self, source: SinglePass, first: Mapping[int, Sound]) -> None:
        self.container, self.start_s, self.first = source.container, source.start_s, dict(first)
        self._source = source
        self._waiting: deque[SoundPacket] = deque()
        self._added = self._taken = self._lost = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """See SoundSource."""
        told = f"{self._lost} packets of sound are left out: they came too long before their pictures"
        return (told,) if self._lost else ()

    def add(self, shared: _Shared) -> None:
        """Lets a packet wait."""
        if self._added - self._taken + shared.packet.size > WAITING_SOUND:
            self._lost += 1
            return
        self._added += shared.packet.size
        self._waiting.append(shared.part())

    def packets(self, streams: list[AudioStream], from_s: Fraction) -> Iterator[SoundPacket | None]:
        """See SoundSource."""
        wanted = {stream.index for stream in streams}
        while True:
            ended = self._source.ended
            part = self._waiting.popleft() if self._waiting else None
            if part is None and ended:
                return
            self._taken += 0 if part is None else part.packet.size
            if part is None or part.packet.stream.index in wanted:
                yield part

    def close(self) -> None:
        """See SoundSource."""
        self._source.leave(self)
        self._waiting.clear()


class _Shared:
    """A packet of sound for several outputs, which is decoded once."""

    def __init__(self, packet: AudioPacket, decoding: Lock) -> None:
        self.packet, self._decoding = packet, decoding
        self._parts = 0
        self._frames: list[AudioFrame] | None = None

    def part(self) -> SoundPacket:
        """What one output gets."""
        self._parts += 1
        return SoundPacket(_copied(self.packet), self._decode)

    def _decode(self) -> list[AudioFrame]:
        with self._decoding:
            if self._frames is None:
                self._frames = []
                self._frames = self.packet.decode()
        return self._frames if self._parts == 1 else [_copied_frame(frame) for frame in self._frames]


class SoundClocks:
    """Gives every packet of sound its time: tracks go on where recordings are joined, as the pictures do.

    Packets have no time stamps where FFmpeg could not tell what sound it is, because it begins late; by what `first`
    says of each track they follow one another.
    """

    def __init__(self, container: InputContainer, first: Mapping[int, Sound]) -> None:
        self._jumps, self._first = clock_rules(container).jumps, first
        self._last: dict[int, _Stamp] = {}
        self._offset: dict[int, int] = {}

    def stamp(self, packet: AudioPacket) -> None:
        """Sets the time stamps of the next packet."""
        track = packet.stream.index
        due, offset = self._due(track), self._offset.get(track, 0)
        if packet.pts is None and packet.size and due is not None:
            packet.pts = packet.dts = due - offset
        if packet.pts is None:
            return
        ahead_s = Fraction(0) if due is None else (packet.pts + offset - due) * packet.time_base
        if due is not None and (ahead_s < -JOINED_S or (self._jumps and ahead_s > JUMP_S)):
            offset = self._offset[track] = due - packet.pts
        packet.pts += offset
        if packet.dts is not None:
            packet.dts += offset
        self._last[track] = _Stamp(packet.pts, packet.duration or 0, packet.time_base)

    def _due(self, track: int) -> int | None:
        """When the next packet of a track is due, None before the first."""
        last, sound = self._last.get(track), self._first.get(track)
        if last is None:
            return None
        length = Fraction(sound.samples, sound.rate) / last.time_base if sound else 0
        return last.pts + (last.duration or round(length))


@dataclass(frozen=True)
class _Stamp:
    """The time of a packet, in its time base."""

    pts: int
    duration: int
    time_base: Fraction


def first_sounds(path: Path) -> dict[int, Sound]:
    """What the first sound of each track is, by the index of its stream; tracks without any are missing."""
    found: dict[int, Sound] = {}
    with open_container(path) as container:
        streams = [stream for stream in container.streams if getattr(stream, "codec_context", None) is not None]
        wanted = {stream.index for stream in streams if stream.type == "audio"}
        seen = 0
        for packet in read_packets(container, streams, Damage()) if wanted else ():
            seen += packet.size
            if packet.stream.index in wanted:
                sound = first_sound(cast(AudioPacket, packet))
                if sound is not None:
                    found[packet.stream.index] = sound
            if wanted <= found.keys() or seen > PROBED_BYTES:
                break
    return found


def first_sound(packet: AudioPacket) -> Sound | None:
    """What the sound of a packet is, None if it gives none."""
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return None
    for frame in frames:
        channels = frame.layout.nb_channels
        if frame.sample_rate > 0 and channels > 0:
            return Sound(frame.sample_rate, channels, frame.samples)
    return None


def _copied(packet: AudioPacket) -> AudioPacket:
    """The same packet, to be changed without changing what others hold."""
    copy = cast("AudioPacket", Packet(bytes(packet)) if packet.size else Packet())
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    for data in packet.iter_sidedata():
        copy.set_sidedata(data)
    return copy


def _copied_frame(frame: AudioFrame) -> AudioFrame:
    copy = AudioFrame.from_ndarray(frame.to_ndarray(), frame.format.name, frame.layout.name)
    copy.sample_rate, copy.pts, copy.time_base = frame.sample_rate, frame.pts, frame.time_base
    return copy
