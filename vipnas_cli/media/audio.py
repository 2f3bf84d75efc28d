"""The sound of a video on its way into another: copied where the container can carry it, else encoded as AAC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from vipnas_cli.media.sound import AudioPacket, Sound, SoundPacket, SoundSource
from vipnas_cli.media.source import audio_codecs

# What players expect in a container; FFmpeg would put more into it (PCM in mp4) that few of them play.
PLAYABLE = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}),
    "mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}),
}
AAC_BITS_PER_CHANNEL = 96_000


@dataclass(frozen=True)
class AudioTrack:
    """What becomes of a track: its codec in the source and in the output, None if it is left out."""

    source: str
    output: str | None


@dataclass(frozen=True)
class Cut:
    """The part of the sound that is wanted, in seconds of the output, which begins `shift_s` later in the source."""

    shift_s: Fraction
    first_s: Fraction | None
    end_s: Fraction | None


class AudioFeed:
    """Moves all audio tracks of a source into an output, a little at a time, so that sound and pictures interleave.

    `tracks` says what becomes of each. A track that is announced but holds no sound that can be decoded is left out.
    """

    def __init__(self, output: OutputContainer, source: SoundSource) -> None:
        self._output, self._source = output, source
        self._moves: dict[int, _Move] = {}
        self._ready: Iterator[AudioPacket | None] = iter(())
        self._pending: AudioPacket | None = None
        tracks = []
        for stream, codec in zip(source.container.streams.audio, audio_codecs(source.container), strict=True):
            sound = source.first.get(stream.index)
            move = None if sound is None else _connect(output, stream, codec, sound)
            if move is not None:
                self._moves[stream.index] = move
            tracks.append(AudioTrack(codec, None if move is None else move.codec))
        self.tracks = tuple(tracks)

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each track that is left out, and for whatever else was lost."""
        return (*left_out(self.tracks, self._source.why_silent), *self._source.notes)

    def begin(self, origin_s: Fraction, end_s: Fraction | None) -> None:
        """Take the sound from `origin_s` to `end_s` of the source; the output begins at `origin_s`."""
        if not self._moves:
            self._source.close()  # what nobody takes would wait in memory
            return
        shift_s = origin_s + self._source.start_s
        # Encoders put a packet of silence before time zero. QuickTime files hide it by edit lists; Matroska knows the
        # length of its own, but would delay the pictures for that of others.
        kinds = self._output.format.name, self._source.container.format.name
        early = not origin_s and (kinds[0] != "matroska" or kinds[1].startswith("matroska"))
        cut = Cut(shift_s, None if early else Fraction(0), None if end_s is None else end_s - origin_s)
        self._ready = self._moved(origin_s, cut)

    def advance(self, until_s: Fraction | None) -> None:
        """Write the packets up to a time of the output, all of them for None, as far as they are there."""
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
        self._source.close()

    def _moved(self, from_s: Fraction, cut: Cut) -> Iterator[AudioPacket | None]:
        """The packets for the output; None where the next ones are still to come."""
        streams = [stream for stream in self._source.container.streams.audio if stream.index in self._moves]
        unfinished = set(self._moves)
        for part in self._source.packets(streams, from_s):
            if part is None:
                yield None
                continue
            index = part.packet.stream.index
            if _is_past(part.packet, cut):
                unfinished.discard(index)
            else:
                yield from self._moves[index].take(part, cut)
            if not unfinished:
                break
        for move in self._moves.values():
            yield from move.flush()


def left_out(tracks: Sequence[AudioTrack], why: str) -> tuple[str, ...]:
    """One sentence for each track that is left out of an output."""
    return tuple(
        f"sound track {number} ({track.source}) is left out: {why}"
        for number, track in enumerate(tracks, 1)
        if track.output is None
    )


def _is_past(packet: AudioPacket, cut: Cut) -> bool:
    return cut.end_s is not None and packet.pts is not None and packet.pts * packet.time_base - cut.shift_s >= cut.end_s


def _shifted(pts: int, time_base: Fraction, cut: Cut) -> int | None:
    """The pts in the output, None before its beginning."""
    shifted = pts - round(cut.shift_s / time_base)
    return None if cut.first_s is not None and shifted * time_base < cut.first_s else shifted


class _Move(Protocol):
    """One track on its way."""

    codec: str

    def take(self, part: SoundPacket, cut: Cut) -> Iterator[AudioPacket]: ...

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

    def take(self, part: SoundPacket, cut: Cut) -> Iterator[AudioPacket]:
        packet = part.packet
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

    def take(self, part: SoundPacket, cut: Cut) -> Iterator[AudioPacket]:
        try:
            for frame in part.decode():
                frame.pts = None if frame.pts is None else _shifted(frame.pts, part.packet.time_base, cut)
                if frame.pts is not None:
                    yield from self._target.encode(frame)
        except (av.error.FFmpegError, ValueError):  # damaged, or of another layout than the track began with
            return

    def flush(self) -> Iterator[AudioPacket]:
        with suppress(av.error.FFmpegError):
            yield from self._target.encode(None)
