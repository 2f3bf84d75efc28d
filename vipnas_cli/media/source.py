"""Opening a video file, with every way in which that fails turned into a VideoError; what its header says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vipnas_cli.errors import VideoError

# Recordings cut from a broadcast begin at any time. A later start than this is such a clock and is taken off; an
# earlier one (a few frames of encoder delay) is part of the timing and stays.
LATE_START_S = 1


def open_container(path: Path) -> InputContainer:
    """The demuxer of a media file; VideoError if there is nothing to read."""
    try:
        if path.is_dir():
            raise VideoError(f"{path} is a folder, not a video", "Name one video file.")
        if not path.exists():
            raise VideoError(f"{path} does not exist", "Check the path.")
        if path.is_file() and path.stat().st_size == 0:
            raise VideoError(f"{path} is empty", "The recording or the copy failed; get the file again.")
        # An absolute path, because FFmpeg takes the "12" of a file "12:30.mp4" for a protocol.
        container = av.open(str(path.absolute()), "r", metadata_errors="replace")
    except PermissionError as error:
        raise VideoError(f"{path} cannot be read: permission denied", "Change the rights of the file.") from error
    except av.error.FFmpegError as error:
        raise _unreadable(path) from error
    if container.format.name == "tty":  # FFmpeg would film the text of a .txt file
        container.close()
        raise _unreadable(path)
    return container


def _unreadable(path: Path) -> VideoError:
    with path.open("rb") as file:
        quicktime = file.read(8)[4:] == b"ftyp"
    if quicktime:
        return VideoError(
            f"{path} is cut off or damaged: the index of its frames (moov) cannot be read",
            "The recording or the copy was not finished; get the file again or repair it.",
        )
    return VideoError(f"{path} is not a video that can be read", "Check that it plays in a video player.")


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream of moving pictures, cover art left aside; VideoError if there is none."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        # PyAV has no codec context where FFmpeg has no decoder, though its stubs say otherwise.
        if getattr(stream, "codec_context", None) is None:
            raise VideoError(f"{path} uses a codec that cannot be decoded", "Convert it to H.264 first.")
        return stream
    kinds = sorted({stream.type for stream in container.streams} - {"video"})
    raise VideoError(f"{path} holds no video, only {' and '.join(kinds) or 'a still cover'}", "Name a video file.")


def clock_start(container: InputContainer) -> Fraction:
    """Seconds to take off every time stamp of the file, so that its recording begins near zero."""
    if container.start_time is None:
        return Fraction(0)
    start = Fraction(container.start_time, av.time_base)
    return start if start > LATE_START_S else Fraction(0)


def average_rate(stream: VideoStream) -> Fraction:
    """Frames per second over the whole video, for display and progress; 25 where the file gives no hint."""
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def picture_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds of pictures that the header states; None if it speaks of the whole file with its sound only."""
    if stream.duration is not None and stream.time_base is not None:
        return stream.duration * stream.time_base
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:02.000000000
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        return None if container.streams.audio else file_duration(container)


def file_duration(container: InputContainer) -> Fraction | None:
    """Seconds from the first to the last packet of any kind, as far as the header states it."""
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def audio_codecs(container: InputContainer) -> tuple[str, ...]:
    """The codec of each audio track, `unknown` where there is no decoder."""
    contexts = (getattr(stream, "codec_context", None) for stream in container.streams.audio)
    return tuple("unknown" if context is None else context.codec.canonical_name for context in contexts)
