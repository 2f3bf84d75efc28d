"""Reading a video: upright RGB frames with their true times; damaged parts are counted and passed over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vipnas_cli.errors import UsageError, VideoError
from vipnas_cli.media import source
from vipnas_cli.media.decoding import Damage, PictureClock, decode
from vipnas_cli.media.frames import ColorTags, Frame, VideoInfo
from vipnas_cli.media.orientation import Orientation

# A file whose last frame ends this long before the end that its header states was cut off.
CUT_OFF_S = 0.5
# How far before a wanted time decoding begins: most files lead to the key frame before it, transport streams to
# anywhere near it, and some files nowhere at all (None: from the beginning).
SEEK_LEADS_S = (0, 10, None)

Stamped = tuple[int, VideoFrame]


def open_video(path: Path | str, start_s: float | None = None, end_s: float | None = None) -> VideoReader:
    """A reader of the frames with start_s <= time < end_s; VideoError if none of them can be decoded."""
    return VideoReader(Path(path), start_s, end_s)


class VideoReader:
    """Iterates over the frames of a video, once; `info` describes it.

    `damaged` counts the frames and packets so far that could not be decoded or came out corrupt; at the end of a file
    that was cut off it also counts, by the average rate, the frames that its header promised.
    """

    def __init__(self, path: Path, start_s: float | None = None, end_s: float | None = None) -> None:
        self._start_s, self._end_s = start_s or 0.0, end_s
        if self._start_s < 0 or (end_s is not None and end_s <= self._start_s):
            raise UsageError(f"there is no video {self._span}", "Start at 0 or later, and end after the start.")
        self._path = path
        self._damage = Damage()
        self._container = source.open_container(path)
        try:
            self._stream = source.picture_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self._clock = PictureClock(
                self._stream.time_base or Fraction(1, 90_000),
                source.average_rate(self._stream),
                source.clock_start(self._container),
                regular=self._container.format.name == "avi",
            )
            pictures = self._from_start()
            first = next(pictures, None)
            if first is None or self._beyond_end(first[0]):
                raise self._nothing_found()
            self.info = self._describe(first[1])
            self._frames = self._deliver(chain([first], pictures), first[1])
        except BaseException:
            self._container.close()
            raise

    @property
    def damaged(self) -> int:
        """Frames and packets that could not be decoded so far."""
        return self._damage.count

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    @property
    def _span(self) -> str:
        return f"from {self._start_s:g} s to {'its end' if self._end_s is None else f'{self._end_s:g} s'}"

    def _beyond_end(self, pts: int) -> bool:
        return self._end_s is not None and pts >= self._clock.ticks(self._end_s)

    def _nothing_found(self) -> VideoError:
        if not self._damage.frames:
            return VideoError(f"not one frame of {self._path} can be decoded", "Check that it plays in a video player.")
        duration = source.file_duration(self._container)
        length = "" if duration is None else f"; it is {float(duration):.2f} s long"
        return VideoError(f"{self._path} has no frame {self._span}{length}", "Choose another range.")

    def _describe(self, picture: VideoFrame) -> VideoInfo:
        stream, orientation = self._stream, Orientation.of(picture)
        duration = source.picture_duration(self._container, stream) or source.file_duration(self._container)
        width, height = picture.width, picture.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if orientation.transpose:
            width, height, aspect = height, width, 1 / aspect
        return VideoInfo(
            path=self._path,
            width=width,
            height=height,
            time_base=self._clock.time_base,
            average_rate=source.average_rate(stream),
            frames=self._frames_expected(duration),
            duration_s=None if duration is None else float(duration),
            rotation=orientation.rotation,
            audio=source.audio_codecs(self._container),
            codec=stream.codec_context.codec.canonical_name,
            pixel_aspect=aspect,
            color=ColorTags(picture.colorspace, picture.color_primaries, picture.color_trc),
        )

    def _frames_expected(self, duration: Fraction | None) -> int | None:
        if not duration:
            return self._stream.frames or None
        whole = self._stream.frames or duration * source.average_rate(self._stream)
        end = duration if self._end_s is None else min(duration, Fraction(self._end_s))
        return max(1, round(whole * (end - Fraction(self._start_s)) / duration))

    def _from_start(self) -> Iterator[Stamped]:
        """The pictures from the wanted start on, exact also where seeking is not."""
        if not self._start_s:
            return self._stamped()
        wanted = self._clock.ticks(self._start_s)
        timed = self._stream.start_time is not None  # a bare H.264 stream is not, and frames can only be counted
        for lead_s in SEEK_LEADS_S if timed else (None,):
            target = 0 if lead_s is None else max(0, self._clock.ticks(self._start_s - lead_s))
            if timed:
                _seek(self._container, self._stream, self._clock.in_file(target))
            self._clock.restart()
            self._damage.forget()
            certain = lead_s is None  # that no wanted picture lies before the place where decoding began
            pictures = self._stamped()
            for pts, picture in pictures:
                if pts < wanted:
                    certain = True
                elif certain:
                    self._damage.forget()
                    return chain([(pts, picture)], pictures)
                else:
                    break
            else:
                if certain:
                    break
        return iter(())

    def _stamped(self) -> Iterator[Stamped]:
        """The pictures from the current place to the end of the file."""
        last = None
        for picture in decode(self._container, self._stream, self._damage):
            last = picture
            yield self._clock.stamp(picture), picture
        if last is not None and last.pts is not None and self._damage.unaccounted:
            for picture in self._tail(last.pts):
                yield self._clock.stamp(picture), picture

    def _tail(self, after: int) -> Iterator[VideoFrame]:
        """The pictures with file time stamps above `after`, decoded once more without frame threads.

        A damaged packet among the last ones makes PyAV drop the good pictures that frame threads still hold behind it.
        """
        damage = Damage()
        with source.open_container(self._path) as container:
            stream = source.picture_stream(container, self._path)
            stream.thread_type = "SLICE"
            _seek(container, stream, after)
            for picture in decode(container, stream, damage):
                if picture.pts is None or picture.pts <= after:
                    damage.forget()
                else:
                    yield picture
        self._damage.add(damage)

    def _deliver(self, pictures: Iterator[Stamped], first: VideoFrame) -> Iterator[Frame]:
        orientation, reformatter = Orientation.of(first), VideoReformatter()
        last_end = 0
        for index, (pts, picture) in enumerate(pictures):
            if self._beyond_end(pts):
                return
            # Some streams change their size on the way; every frame is brought to that of the first.
            rgb = reformatter.reformat(picture, first.width, first.height, "rgb24", threads=1)
            # A view of the picture's memory: copied where its rows are padded, or where it is still the decoder's.
            image = np.array(rgb.to_ndarray(), np.uint8, copy=rgb is picture or None, order="C")
            last_end = pts + max(self._clock.step, picture.duration)
            yield Frame(index, pts, self._clock.time_base, orientation.apply(image))
        self._damage.settle(self._frames_missing(last_end))

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


def _seek(container: InputContainer, stream: VideoStream, stamp: int) -> None:
    # Where a file cannot seek, decoding goes on from where it is, which is its beginning.
    with suppress(av.error.FFmpegError):
        container.seek(stamp, stream=stream)
