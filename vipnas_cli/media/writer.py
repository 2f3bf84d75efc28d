"""Writing a video that plays everywhere: H.264 with the times of the source, and its sound."""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.frame import VideoFrame

from vipnas_cli.errors import OutputError
from vipnas_cli.files import PartialFile
from vipnas_cli.media.audio import AudioFeed, AudioTrack, left_out
from vipnas_cli.media.encoding import PictureEncoder
from vipnas_cli.media.frames import Image, VideoInfo
from vipnas_cli.media.limits import waiting
from vipnas_cli.media.sound import SoundOpener
from vipnas_cli.media.source import DRAWN

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Pictures that may wait for the encoder.
QUEUED = 3


class VideoWriter:
    """Writes RGB pictures (H, W, 3) with their pts, and the sound that `sound` opens between `start_s` and `end_s`.

    Size and time base are those of `info`; an odd height or width gains a row or column that repeats the last. With
    `start_s` the output begins with the first picture, without it every pts stays (Matroska rounds to milliseconds).
    With `drawn` the file says that poses are drawn into its pictures.

    The file has a partial name until `close`. An exception in the `with` block closes it too, with the frames written
    so far and sound of that length. Encoding runs in a thread of its own: it overlaps with the caller's work, and
    Ctrl-C, which Python raises in the main thread, never falls between an encoded packet and its place in the file.
    """

    def __init__(
        self,
        path: Path | str,
        info: VideoInfo,
        sound: SoundOpener | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        crf: int = 20,
        drawn: bool = False,
    ) -> None:
        self.path = Path(path)
        self._comment = DRAWN if drawn else None
        self._info, self._starts_later = info, bool(start_s)
        self._end_s = None if end_s is None else Fraction(end_s)
        self._tracks: tuple[AudioTrack, ...] = ()
        self._audio: AudioFeed | None = None
        self._origin: int | None = None
        self._last_pts: int | None = None
        self._closed = False
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise OutputError(
                f"{self.path} names no kind of video that can be written",
                f"Let it end in one of {', '.join(CONTAINERS)}.",
            )
        self._file = PartialFile(self.path)
        options = {} if suffix == ".mkv" else _quicktime_options(info.time_base)
        partial = str(self._file.partial.absolute())
        try:
            self._open(partial, CONTAINERS[suffix], options, crf, sound)
        except BaseException:
            self._file.discard()
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._jobs: deque[Future[None]] = deque()

    def _open(self, partial: str, kind: str, options: dict[str, str], crf: int, sound: SoundOpener | None) -> None:
        """The container with its tracks; without sound where a track of it makes the container impossible."""
        for opener in (sound, None) if sound else (None,):
            self._container = av.open(partial, "w", format=kind, container_options=options)
            self._container.metadata.update({"comment": self._comment} if self._comment else {})
            self._encoder = PictureEncoder(self._container, self._info, crf)
            self._audio = AudioFeed(self._container, opener()) if opener else None
            try:
                self._container.start_encoding()
            except av.error.FFmpegError as error:
                if self._audio is None or isinstance(error, OSError):
                    raise
                self._audio.close()
                self._tracks = tuple(AudioTrack(track.source, None) for track in self._audio.tracks)
                self._container.close()
            else:
                self._tracks = self._audio.tracks if self._audio else self._tracks
                return

    @property
    def audio(self) -> tuple[AudioTrack, ...]:
        """What becomes of each audio track of the source."""
        return self._tracks

    @property
    def notes(self) -> tuple[str, ...]:
        """What was lost of the sound, in sentences."""
        return self._audio.notes if self._audio else left_out(self._tracks, f"{self.path.suffix} cannot hold it")

    def write(self, image: Image, pts: int) -> None:
        """Add a picture, which is copied; OutputError for a wrong size, a pts that does not grow, or a full disk."""
        expected = (self._info.height, self._info.width, 3)
        if image.shape != expected or image.dtype != "uint8":
            raise OutputError(f"{self.path} takes uint8 pictures of shape {expected}, not {image.dtype} {image.shape}")
        if self._last_pts is not None and pts <= self._last_pts:
            raise OutputError(f"{self.path} got the pts {pts} after {self._last_pts}; time must go on")
        while len(self._jobs) >= waiting(image.nbytes, QUEUED):
            failure = self._jobs.popleft().exception()
            if failure is not None:
                raise self._told(failure)
        self._last_pts = pts
        self._jobs.append(self._thread.submit(self._add, self._encoder.picture(image), pts))

    def close(self) -> None:
        """Write the rest of pictures and sound, and give the file its name; OutputError if that fails."""
        self._finish(whole=True)

    def abandon(self) -> None:
        """Remove what was written, if the file has no name yet."""
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.shutdown(cancel_futures=True)
            with suppress(av.error.FFmpegError, OSError):
                self._let_go()
        finally:
            self._file.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            # Another exception on its way says what went wrong first; an interrupt says nothing about the file.
            with nullcontext() if issubclass(kind, KeyboardInterrupt) and self._last_pts else suppress(OutputError):
                self._finish(whole=False)

    def _finish(self, whole: bool) -> None:
        if self._closed:
            return
        self._closed = True
        completion = self._thread.submit(self._complete, whole)
        try:
            self._thread.shutdown()
        except BaseException:  # interrupted once more
            self._file.discard()
            raise
        if completion.exception() is None and self._last_pts is not None:
            self._file.keep()
        else:
            self._file.discard()
        for job in (*self._jobs, completion):
            failure = job.exception()
            if failure is not None:
                raise self._told(failure)
        if self._last_pts is None:
            raise OutputError(f"no picture was written to {self.path}")

    def _told(self, failure: BaseException) -> BaseException:
        if not isinstance(failure, (av.error.FFmpegError, OSError)):
            return failure
        told = OutputError(f"{self.path} cannot be written: {failure.strerror}", "Check the space on the disk.")
        told.__cause__ = failure
        return told

    def _add(self, picture: VideoFrame, pts: int) -> None:
        if self._origin is None:
            self._origin = pts if self._starts_later else 0
            if self._audio is not None:
                self._audio.begin(self._origin * self._info.time_base, self._end_s)
        pts -= self._origin
        self._container.mux(self._encoder.encode(picture, pts))
        if self._audio is not None:
            self._audio.advance(pts * self._info.time_base)

    def _complete(self, whole: bool) -> None:
        try:
            self._container.mux(self._encoder.flush())
            if self._audio is not None and whole:
                self._audio.advance(None)
            elif self._audio is not None:
                self._audio.finish(self._encoder.end * self._info.time_base)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._audio is not None:
            self._audio.close()
        self._container.close()


def _quicktime_options(time_base: Fraction) -> dict[str, str]:
    ticks = time_base.denominator
    # The index first, so that the video plays while it loads; edit lists, which hold the time of the first picture,
    # in its own time base instead of milliseconds, but no coarser.
    options = {"movflags": "+faststart", "movie_timescale": str(ticks * math.ceil(1000 / ticks))}
    # FFmpeg counts at least 10,000 ticks a second, of which some pictures of a time lapse have more than 32 bits hold.
    return options | ({"video_track_timescale": str(ticks)} if time_base >= 1 else {})
