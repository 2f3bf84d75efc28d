"""The sound of a video on its way into another: copied where the container can carry it, else encoded as AAC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard

from vipnas_cli.media.decoding import Damage, read_packets
from vipnas_cli.media.source import audio_codecs, clock_rules, clock_start, has_index, open_container, picture_stream

# What players expect in a container; FFmpeg would put more into it (PCM in mp4) that few of them play.
PLAYABLE = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}),
    "mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}),
}
AAC_BITS_PER_CHANNEL = 96_000

# Bytes of a file that are looked through for the first sound of each track.
PROBED_BYTES = 1 << 28
# Time stamps of one track that differ by more from what is due come from another recording, joined to the first.
JOINED_S = 10

AudioPacket: TypeAlias = "Packet[AudioStream]"


@dataclass(frozen=True)
class AudioTrack:
    """What becomes of a track: its codec in the source and in the output, None if it is left out."""

    source: str
    output: str | None


def left_out(tracks: Sequence[AudioTrack], source: Path) -> tuple[str, ...]:
    """One sentence for each track that is left out of an output."""
    why = "no sound of it can be decoded" if source.is_file() else "a pipe is read once, for its pictures"
    return tuple(
        f"sound track {number} ({track.source}) is left out: {why}"
        for number, track in enumerate(tracks, 1)
        if track.output is None
    )


@dataclass(frozen=True)
class Cut:
    """The part of the sound that is wanted, in seconds of the output, which begins `shift_s` later in the source."""

    shift_s: Fraction
    first_s: Fraction | None
    end_s: Fraction | None


@dataclass(frozen=True)
class Sound:
    """What the first decoded sound of a track says about it."""

    rate: int
    channels: int


class AudioFeed:
    """Moves all audio tracks of a file into an output, a little at a time, so that sound and pictures interleave.

    `tracks` says what becomes of each. A track that is announced but holds no sound that can be decoded is left out,
    and so are all of a pipe, which is read once, for its pictures.
    """

    def __init__(self, output: OutputContainer, path: Path, codecs: Sequence[str] = ()) -> None:
        self._output = output
        self._container: InputContainer | None = None
        self._moves: dict[int, _Move] = {}
        self._ready: Iterator[AudioPacket] = iter(())
        self._pending: AudioPacket | None = None
        self.tracks = tuple(AudioTrack(codec, None) for codec in codecs)
        if not path.is_file():
            return
        sounds = first_sounds(path)
        self._container = open_container(path)
        self._start_s = clock_start(self._container, picture_stream(self._container, path))
        tracks = []
        for stream, codec in zip(self._container.streams.audio, audio_codecs(self._container), strict=True):
            move = _connect(output, stream, codec, sounds[stream.index]) if stream.index in sounds else None
            if move is not None:
                self._moves[stream.index] = move
            tracks.append(AudioTrack(codec, None if move is None else move.codec))
        self.tracks = tuple(tracks)
        for other in self._container.streams:
            if other.index not in self._moves:
                other.discard = Discard.all

    def begin(self, origin_s: Fraction, end_s: Fraction | None) -> None:
        """Take the sound from `origin_s` to `end_s` of the source; the output begins at `origin_s`."""
        if self._container is None or not self._moves:
            return
        shift_s = origin_s + self._start_s
        # Encoders put a packet of silence before time zero. QuickTime files hide it by edit lists; Matroska knows the
        # length of its own, but would delay the pictures for that of others.
        early = not origin_s and (
            self._output.format.name != "matroska" or self._container.format.name.startswith("matroska")
        )
        cut = Cut(shift_s, None if early else Fraction(0), None if end_s is None else end_s - origin_s)
        if origin_s and has_index(self._container):
            with suppress(av.error.FFmpegError):  # what cannot seek is read from its beginning
                self._container.seek(int(shift_s * av.time_base))
        self._ready = self._moved(self._container, cut)

    def advance(self, until_s: Fraction | None) -> None:
        """Write the packets up to a time of the output, all of them for None."""
        while (packet := self._pending or next(self._ready, None)) is not None:
            self._pending = None
            if until_s is not None and (packet.pts or 0) * packet.time_base >= until_s:
                self._pending = packet
                return
            try:
                self._output.mux(packet)
            except av.error.FFmpegError as error:
                if isinstance(error, OSError):  # the disk
                    raise
                # A damaged packet, which some containers do not take.

    def finish(self, until_s: Fraction) -> None:
        """Write the packets up to a time of the output, and no more."""
        self.advance(until_s)
        self._pending, self._ready = None, iter(())

    def close(self) -> None:
        """Let go of the source."""
        if self._container is not None:
            self._container.close()

    def _moved(self, container: InputContainer, cut: Cut) -> Iterator[AudioPacket]:
        streams = [stream for stream in container.streams.audio if stream.index in self._moves]
        seams = {stream.index: _Seams(container) for stream in streams}
        unfinished = set(self._moves)
        for packet in read_packets(container, streams, Damage()):
            index = packet.stream.index
            seams[index].close(packet)
            if _is_past(packet, cut):
                unfinished.discard(index)
            else:
                yield from self._moves[index].take(packet, cut)
            if not unfinished:
                break
        for move in self._moves.values():
            yield from move.flush()


class _Seams:
    """Makes the clock of a track go on where recordings are joined, as that of the pictures does."""

    def __init__(self, container: InputContainer) -> None:
        self._jumps = clock_rules(container).jumps
        self._due: int | None = None
        self._offset = 0

    def close(self, packet: AudioPacket) -> None:
        """Moves the time stamps of the next packet."""
        if packet.pts is None or not self._jumps:
            return
        if self._due is not None and abs(packet.pts + self._offset - self._due) * packet.time_base > JOINED_S:
            self._offset = self._due - packet.pts
        packet.pts += self._offset
        if packet.dts is not None:
            packet.dts += self._offset
        self._due = packet.pts + (packet.duration or 0)


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
                sound = _sound(cast(AudioPacket, packet))
                if sound is not None:
                    found[packet.stream.index] = sound
            if wanted <= found.keys() or seen > PROBED_BYTES:
                break
    return found


def _sound(packet: AudioPacket) -> Sound | None:
    try:
        frames = packet.decode()
    except (av.error.FFmpegError, ValueError):
        return None
    for frame in frames:
        channels = frame.layout.nb_channels
        if frame.sample_rate > 0 and channels > 0:
            return Sound(frame.sample_rate, channels)
    return None


def _is_past(packet: AudioPacket, cut: Cut) -> bool:
    return cut.end_s is not None and packet.pts is not None and packet.pts * packet.time_base - cut.shift_s >= cut.end_s


def _shifted(pts: int, time_base: Fraction, cut: Cut) -> int | None:
    """The pts in the output, None before its beginning."""
    shifted = pts - round(cut.shift_s / time_base)
    return None if cut.first_s is not None and shifted * time_base < cut.first_s else shifted


class _Move(Protocol):
    """One track on its way."""

    codec: str

    def take(self, packet: AudioPacket, cut: Cut) -> Iterator[AudioPacket]: ...

    def flush(self) -> Iterator[AudioPacket]: ...


def _connect(output: OutputContainer, stream: AudioStream, codec: str, sound: Sound) -> _Move:
    """A track in the output for one of the source."""
    known = stream.codec_context.sample_rate > 0 and stream.codec_context.layout.nb_channels > 0
    if known and codec in PLAYABLE.get(output.format.name, {codec}):
        with suppress(ValueError):  # the container cannot carry the codec
            return _Copy(output.add_stream_from_template(stream), stream, codec)
    return _Encode(output, stream, sound)


def _describe(target: AudioStream, source: AudioStream) -> None:
    target.metadata.update({key: source.metadata[key] for key in ("language", "title") if key in source.metadata})
    target.disposition = source.disposition


class _Copy:
    """Packets as they are."""

    def __init__(self, target: AudioStream, source: AudioStream, codec: str) -> None:
        self.codec = codec
        self._target = target
        self._last_dts: int | None = None
        _describe(target, source)

    def take(self, packet: AudioPacket, cut: Cut) -> Iterator[AudioPacket]:
        if packet.pts is None or packet.dts is None:  # the empty packet at the end
            return
        pts = _shifted(packet.pts, packet.time_base, cut)
        if pts is None:
            return
        dts = pts - packet.pts + packet.dts
        if self._last_dts is not None and dts <= self._last_dts:  # joined or damaged recordings; muxers refuse it
            return
        self._last_dts = dts
        packet.pts, packet.dts, packet.stream = pts, dts, self._target
        yield packet

    def flush(self) -> Iterator[AudioPacket]:
        return iter(())


class _Encode:
    """Packets decoded and encoded as AAC, mono or stereo."""

    codec = "aac"

    def __init__(self, output: OutputContainer, source: AudioStream, sound: Sound) -> None:
        encoder = av.Codec("aac", "w")
        rate = sound.rate
        self._target = output.add_stream("aac", rate if rate in (encoder.audio_rates or ()) else 48_000)
        channels = min(2, sound.channels)
        self._target.codec_context.layout = "stereo" if channels == 2 else "mono"
        self._target.bit_rate = AAC_BITS_PER_CHANNEL * channels
        _describe(self._target, source)

    def take(self, packet: AudioPacket, cut: Cut) -> Iterator[AudioPacket]:
        try:
            for frame in packet.decode():
                frame.pts = None if frame.pts is None else _shifted(frame.pts, packet.time_base, cut)
                if frame.pts is not None:
                    yield from self._target.encode(frame)
        except (av.error.FFmpegError, ValueError):  # damaged, or of another layout than the track began with
            return

    def flush(self) -> Iterator[AudioPacket]:
        with suppress(av.error.FFmpegError):
            yield from self._target.encode(None)
