"""Reading a video: upright RGB frames with their true times; damaged parts are counted and passed over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vipnas_cli.errors import VideoError
from vipnas_cli.media import source
from vipnas_cli.media.address import Origin, Stream
from vipnas_cli.media.clock import REORDERED, PictureClock
from vipnas_cli.media.closing import Closer, SteppedReader, refusal
from vipnas_cli.media.decoding import Damage, decode, read_packets
from vipnas_cli.media.frames import NO_YUV, UNSPECIFIED, ColorTags, Frame, VideoInfo
from vipnas_cli.media.limits import check_size, check_span, span
from vipnas_cli.media.orientation import Orientation, square_size
from vipnas_cli.media.sound import APART_S, FileSound, SinglePass, SoundSource
from vipnas_cli.media.starting import Place, packets_from, packets_from_index

# A file whose last frame ends this long before the end that its header states was cut off.
CUT_OFF_S = 0.5
DRAWN_NOTE = "poses are drawn in it already: the video as it was filmed gives better ones"

Stamped = tuple[int, VideoFrame]


def open_video(
    path: Path | str, start_s: float | None = None, end_s: float | None = None, stride: int = 1
) -> VideoReader:
    """A reader of every `stride`-th frame with start_s <= time < end_s; VideoError if none of them can be decoded."""
    return VideoReader(Path(path), start_s, end_s, stride)


class _DoubtError(Exception):
    """The quick way may lose pictures here."""


class VideoReader(SteppedReader):
    """Iterates over the frames of a video, once; any thread may close it, which ends an iteration that is under way.

    `damaged` counts the frames and packets so far that could not be decoded or came out corrupt; at the end of a file
    that was cut off it also counts, by the average rate, the frames that its header promised, and at that of a
    connection that broke at least one.
    """

    def __init__(self, path: Origin, start_s: float | None = None, end_s: float | None = None, stride: int = 1) -> None:
        # No circle of references: what is dropped midway goes at once, not when garbage is collected.
        self._reading = _Reading(path, start_s, end_s, stride)
        self._frames = self._reading.begin()
        self._closer = Closer(str(path), self._reading.close)

    @property
    def info(self) -> VideoInfo:
        """Facts about the video, with a note on a connection that broke."""
        return self._reading.info

    @property
    def damaged(self) -> int:
        """Frames and packets that could not be decoded so far."""
        return self._reading.damaged

    @property
    def spoiled(self) -> int:
        """Those of them that came: not what a connection that broke did not bring."""
        return self._reading.spoiled

    @property
    def stamped(self) -> bool:
        """Whether times are those that the video states, not taken from an assumed rate."""
        return self._reading.stamped

    def stop(self) -> None:
        """Make a thread that waits for the data of a pipe come to an end."""
        self._reading.stop()

    def close(self) -> None:
        """Let go of the file, at the latest when a thread that reads it now has its frame or fails to get one."""
        self._reading.give_up()
        self._closer.close()

    def sound(self) -> SoundSource:
        """The sound, opened for one output; that of a pipe before its first frame is taken."""
        sound = self._closer.step(self._reading.sound)
        if sound is None or self._closer.closed:
            raise refusal(self._closer.name)
        return sound


class _Reading:
    """What a reader reads, in one thread at a time; see VideoReader."""

    def __init__(self, path: Origin, start_s: float | None, end_s: float | None, stride: int) -> None:
        self._start_s, self._end_s, self._stride = start_s or 0.0, end_s, stride
        self._broke_s: float | None = None
        self._given_up = False
        check_span(self._start_s, end_s)
        self._path = path
        self._damage = Damage()
        self._pipe = source.open_pipe(path)
        try:
            self._container = source.open_container(path, self._pipe)
        except BaseException:
            self._close_pipe()
            raise

    def begin(self) -> Iterator[Frame]:
        """The frames, to be taken once; VideoError if there is none."""
        try:
            self._take_stream(careful=self._pipe is not None)
            pictures = self._wanted()
            first = next(pictures, None)
            if first is None or self._beyond_end(first[0]):
                raise self._nothing_found(decoded=first is not None or self._damage.frames > 0)
            self._heed_interrupt()
            self._described = self._describe(first[1])
            return self._to_the_end(self._deliver(chain([first], pictures), first[1]))
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> VideoInfo:
        """Facts about the video, with a note on a connection that broke."""
        info = self._described
        if self._broke_s is None:
            return info
        whole = f" of {info.duration_s:.1f} s" if info.duration_s else ""
        note = f"the connection to {self._path} broke at {self._broke_s:.1f} s{whole}; run it again"
        return replace(info, notes=(*info.notes, note))

    @property
    def damaged(self) -> int:
        """Frames and packets that could not be decoded so far, and at least one where a connection broke."""
        return max(self._damage.count, self._broke_s is not None)

    @property
    def spoiled(self) -> int:
        """See VideoReader."""
        return self._damage.spoiled

    @property
    def stamped(self) -> bool:
        """See VideoReader."""
        return not source.is_bare(self._container)

    def close(self) -> None:
        """Let go of the file; nothing may be taken of it afterwards, or FFmpeg crashes."""
        self._container.close()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def stop(self) -> None:
        """Make a thread that waits for the data of a pipe come to an end."""
        if self._pipe is not None:
            self._pipe.stop()

    def give_up(self) -> None:
        """Make a thread that waits for a frame come to an end as soon as it can."""
        self._given_up = True
        self.stop()

    def sound(self) -> SoundSource:
        """See VideoReader."""
        if self._once is None:
            assert isinstance(self._path, Path)  # streams are read once
            sound: SoundSource = FileSound(self._path)
        else:
            sound = self._once.listen()
            self._heed_interrupt()
        sound.start_s -= self._clock.early_s
        return sound

    def _heed_interrupt(self) -> None:
        """Raises the KeyboardInterrupt that came while FFmpeg waited for the data of a pipe."""
        if self._pipe is not None and self._pipe.interrupted and not self._given_up:
            raise KeyboardInterrupt

    def _beyond_end(self, pts: int) -> bool:
        return self._end_s is not None and pts >= self._clock.ticks(self._end_s)

    def _nothing_found(self, decoded: bool) -> BaseException:
        if self._pipe is not None and self._pipe.interrupted:
            return KeyboardInterrupt()
        if not decoded and self._pipe is not None and self._container.format.name.startswith("mov"):
            what = f"the index of {self._path} comes behind its pictures, too late for what is read once"
            return VideoError(what, "Name the file itself, or write it with -movflags +faststart.")
        if not decoded:
            return VideoError(f"not one frame of {self._path} can be decoded", "Check that it plays in a video player.")
        duration = source.file_duration(self._container)
        length = "" if duration is None else f"; it is {float(duration):.2f} s long"
        wanted = span(self._start_s, self._end_s)
        return VideoError(f"{self._path} has no frame {wanted}{length}", "Choose another range.")

    def _take_stream(self, careful: bool) -> None:
        """The stream, its decoder and its clock, from the file as it was just opened."""
        self._careful = careful
        self._stream = source.picture_stream(self._container, self._path)
        source.prepare(self._stream, careful)
        self._clock = PictureClock(
            self._stream.time_base or Fraction(1, 90_000),
            source.average_rate(self._stream),
            source.clock_start(self._container, self._stream),
            source.clock_rules(self._container),
        )
        self._damage.forget()
        pipe, read = self._pipe, (self._container, self._stream, self._damage, Fraction(self._start_s) - APART_S)
        self._once = None if pipe is None else SinglePass(*read, stopped=lambda: pipe.interrupted)

    def _open_again(self, careful: bool) -> None:
        self._container.close()
        self._container = source.open_container(self._path)
        self._take_stream(careful)

    def _describe(self, picture: VideoFrame) -> VideoInfo:
        stream, orientation = self._stream, Orientation.of(picture)
        duration, pictures = self._duration(), self._pictures_stated()
        aspect = source.pixel_aspect(stream)
        width, height = square_size(picture.width, picture.height, aspect)
        check_size(width, height, str(self._path))
        if (width, height) != (picture.width, picture.height):
            aspect = Fraction(1)
        if orientation.transpose:
            width, height, aspect = height, width, 1 / aspect
        drawn, color = source.is_drawn(self._container), _color(picture)
        notes = (source.stream_note(self._container, stream), DRAWN_NOTE if drawn else None, _hdr_note(color))
        return VideoInfo(
            path=self._path,
            width=width,
            height=height,
            time_base=self._clock.time_base,
            average_rate=source.average_rate(stream) / self._stride,
            frames=None if pictures is None else max(1, math.ceil(pictures / self._stride)),
            duration_s=None if duration is None else float(duration),
            rotation=orientation.rotation,
            mirrored=orientation.mirrored,
            audio=source.audio_codecs(self._container),
            codec=stream.codec_context.codec.canonical_name,
            pixel_aspect=aspect,
            color=color,
            drawn=drawn,
            notes=tuple(filter(None, notes)),
        )

    def _duration(self) -> Fraction | None:
        stated = source.picture_duration(self._container, self._stream) or source.file_duration(self._container)
        if stated is None or not self._clock.early_s:
            return stated
        # The header states it from the first time stamp on.
        return stated + self._clock.of_file(self._stream.start_time or 0) * self._clock.time_base

    def _pictures_stated(self) -> int | None:
        """How many pictures the header states between start and end, with those that a stride leaves out."""
        duration, frames = self._duration(), source.stated_frames(self._container, self._stream)
        if not duration:
            return frames
        whole = frames or duration * source.average_rate(self._stream)
        end = duration if self._end_s is None else min(duration, Fraction(self._end_s))
        return round(whole * (end - Fraction(self._start_s)) / duration)

    def _wanted(self) -> Iterator[Stamped]:
        """The pictures from the wanted start on.

        Frame threads are quick, but an error makes PyAV drop the good pictures that they hold. At the first one all is
        decoded again without them, less what was delivered before, which is the same.
        """
        delivered = 0
        try:
            for stamped in self._from_start():
                delivered += 1
                yield stamped
        except _DoubtError:
            self._open_again(careful=True)
            yield from islice(self._from_start(), delivered, None)

    def _from_start(self) -> Iterator[Stamped]:
        """The pictures from the wanted start on, exact also where seeking is not."""
        wanted = self._clock.ticks(self._start_s)
        if not self._start_s:
            yield from self._stamped(self._packets())
            return
        for place in self._places():
            packets = self._packets() if place is None else place(self._container, self._stream, self._clock, wanted)
            pictures = self._stamped(packets or iter(()))
            first = packets and self._first_wanted(pictures, wanted, whole=place is None)
            if first:
                self._damage.forget()
                yield from chain([first], pictures)
                return
            if place is not None:
                self._open_again(self._careful)

    def _places(self) -> tuple[Place | None, ...]:
        """Where to begin to decode, best first; None is the beginning, which is always right."""
        if self._pipe is not None:
            return (None,)
        return (packets_from_index, packets_from, None) if source.has_index(self._container) else (packets_from, None)

    def _first_wanted(self, pictures: Iterator[Stamped], wanted: int, whole: bool) -> Stamped | None:
        """The first picture at or after a time; None if there is none, or where the beginning is not to be trusted."""
        try:
            for index, (pts, picture) in enumerate(pictures):
                if not whole and (self._damage.count or (index == 0 and (pts > wanted or not picture.key_frame))):
                    return None
                if pts >= wanted:
                    return pts, picture
        except _DoubtError:
            if whole:
                raise
        return None

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        if self._once is not None:
            return self._once.pictures()
        return read_packets(self._container, [self._stream], self._damage)

    def _stamped(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[Stamped]:
        """The pictures of packets with their times; _DoubtError where the careful way may find more."""
        newest = last = -math.inf

        def watched() -> Iterator[Packet[VideoStream]]:
            nonlocal newest
            for packet in packets:
                if packet.pts is not None and not packet.is_discard:
                    newest = max(newest, packet.pts)
                yield packet

        for picture in self._led(decode(watched(), self._clock, self._damage)):
            if self._damage.errors and not self._careful:
                raise _DoubtError
            last = max(last, -math.inf if picture.pts is None else picture.pts)
            yield self._clock.stamp(picture), picture
        # Frame threads do not always tell of an error in a file that is cut off.
        lost = self._damage.packets > self._damage.frames and (newest > last or source.is_bare(self._container))
        if not self._careful and (self._damage.errors or not self._damage.frames or lost):
            raise _DoubtError

    def _led(self, pictures: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """The same pictures, of which the first one with a time stamp tells when those before it were."""
        early: list[VideoFrame] = []
        if source.has_times(self._container):
            for picture in pictures:
                early.append(picture)
                if picture.pts is not None or len(early) > REORDERED:
                    break
        self._clock.begin(early)
        yield from chain(early, pictures)

    def _to_the_end(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; behind them a pipe is let go of, for which what writes to it may wait."""
        try:
            yield from frames
        finally:
            self._close_pipe()

    def _deliver(self, pictures: Iterator[Stamped], first: VideoFrame) -> Iterator[Frame]:
        orientation, reformatter = Orientation.of(first), VideoReformatter()
        width, height = square_size(first.width, first.height, source.pixel_aspect(self._stream))
        last_end = count = 0
        if self._once is not None:
            self._once.deliver()
        for count, (pts, picture) in enumerate(pictures, 1):
            if self._given_up:
                return
            if self._beyond_end(pts):
                if self._once is not None and self._end_s is not None:
                    self._once.finish(Fraction(self._end_s))
                return
            last_end = pts + max(self._clock.step, self._clock.of_file(picture.duration) - self._clock.of_file(0))
            if (count - 1) % self._stride:
                continue
            # Some streams change their size on the way; every frame is brought to that of the first.
            rgb = reformatter.reformat(picture, width, height, "rgb24", threads=1)
            # A view of the picture's memory: copied where its rows are padded, or where it is still the decoder's.
            image = np.array(rgb.to_ndarray(), np.uint8, copy=rgb is picture or None, order="C")
            yield Frame(count - 1, pts, self._clock.time_base, orientation.apply(image))
        if self._pipe is not None and self._pipe.interrupted:
            return
        if self._pipe is not None and self._pipe.timed_out:
            raise source.no_more_data(self._path)
        self._settle(last_end, count)

    def _settle(self, last_end: int, count: int) -> None:
        """Counts what was lost of a video whose last picture, of so many, is over at a pts."""
        stated, missing = self._pictures_stated(), self._frames_missing(last_end)
        if self._damage.broken and isinstance(self._path, Stream):
            self._damage.settle_break()
            # Servers that do not say how long a file is end it as if it broke.
            if stated is None or count < stated or missing:
                self._broke_s = float(last_end * self._clock.time_base)
            return
        self._damage.settle(missing, None if stated is None else stated - count)

    def _frames_missing(self, last_end: int) -> int:
        """How many frames the header promises after the last one, by the average rate."""
        stated = source.picture_duration(self._container, self._stream)
        if stated is None:
            return 0
        end = self._clock.of_file(self._stream.start_time or 0) * self._clock.time_base + stated
        if self._end_s is not None:
            end = min(end, Fraction(self._end_s))
        gap = end - last_end * self._clock.time_base
        return round(gap * source.average_rate(self._stream)) if gap > CUT_OFF_S else 0


def _color(picture: VideoFrame) -> ColorTags:
    """How the values of a picture are meant."""
    matrix, form = picture.colorspace, picture.format
    if matrix in (NO_YUV, UNSPECIFIED):
        matrix = NO_YUV if form.is_rgb or len(form.components) < 3 else UNSPECIFIED
    return ColorTags(matrix, picture.color_primaries, picture.color_trc)


def _hdr_note(color: ColorTags) -> str | None:
    """What is told of pictures with a high dynamic range, which nothing here converts."""
    if color.hdr is None:
        return None
    where = "poses are found in it as it is, pictures of it look flat, and drawn videos stay HDR"
    return f"HDR ({color.hdr}) is not converted: {where}"
