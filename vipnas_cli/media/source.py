"""Opening a video file, with every way in which that fails turned into a VideoError; what its header says."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from av.stream import Stream as AnyStream
from av.video.stream import VideoStream

from vipnas_cli.errors import VideoError
from vipnas_cli.files import shown
from vipnas_cli.media.address import STDIN_PATH, Origin, Stream
from vipnas_cli.media.clock import ClockRules
from vipnas_cli.media.connection import Connection
from vipnas_cli.media.limits import LARGE_PIXELS, check_size, max_pixels
from vipnas_cli.media.pipe import PATIENCE_S, PipeFile, is_pipe

# Recordings cut from a broadcast begin at any time. A later start than this is such a clock and is taken off; an
# earlier one (a few frames of encoder delay) is part of the timing and stays.
LATE_START_S = 1
# What HEIF files with pictures call themselves. Phones store large pictures in tiles, each a stream of its own; how
# they are put together FFmpeg tells, but PyAV does not.
STILL_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "mif2", "avif"})
COVERS = Disposition.attached_pic | Disposition.timed_thumbnails
# Rates and aspects beyond these are mistakes of the file (DV tapes say 60000 frames per second).
SLOWEST_RATE, FASTEST_RATE = Fraction(1, 86_400), 1000
WIDEST_PIXEL = 8
# What programs write for the number of frames while they do not know it yet (AVI through a pipe).
NO_LENGTH = 1 << 30
# What a video says of itself, and under which names, when `run` drew poses into its pictures.
DRAWN = "poses drawn by vipnas"
_COMMENTS = ("comment", "COMMENT")
_MATROSKA_DURATION = re.compile(r"([0-9]{1,6}):([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]{1,12})?)")  # 00:00:02.000000000


def open_container(path: Origin, pipe: PipeFile | Connection | None = None) -> InputContainer:
    """The demuxer of a media file, which reads `pipe` if there is one; VideoError if there is nothing to read."""
    if isinstance(pipe, Connection):
        return pipe.open()
    assert isinstance(path, Path)  # streams are read through their connection
    try:
        # An absolute path, because FFmpeg takes the "12" of a file "12:30.mp4" for a protocol.
        file = str(path.absolute()) if pipe is None else pipe
        container = av.open(file, "r", metadata_errors="replace")
    except PermissionError as error:
        raise VideoError(f"{path} cannot be read: permission denied", "Change the rights of the file.") from error
    except (av.error.FFmpegError, UnicodeError) as error:
        if pipe is not None and pipe.interrupted:
            raise KeyboardInterrupt from error
        if pipe is not None and pipe.timed_out:
            raise no_more_data(path) from error
        if pipe is not None and pipe.empty:
            name = "standard input" if path == STDIN_PATH else shown(path)
            raise VideoError(f"nothing came through {name}", "Look what the command that writes to it says.") from error
        raise _unreadable(path) from error
    if container.format.name == "tty":  # FFmpeg would film the text of a .txt file
        container.close()
        raise _unreadable(path)
    return container


def no_more_data(path: Origin) -> VideoError:
    """The error for a pipe that is given up."""
    return VideoError(f"no data came through {path} for {PATIENCE_S} s", "Start what writes to it.")


def open_pipe(path: Origin) -> PipeFile | Connection | None:
    """What is read once, a pipe or a connection; None for a file. VideoError if there is nothing to read."""
    if isinstance(path, Stream):
        return Connection(path)
    try:
        if is_pipe(path):
            return PipeFile(path)
        if path.is_dir():
            raise VideoError(f"{path} is a folder, not a video", "Name one video file.")
        if not path.exists():
            raise VideoError(f"{path} does not exist", "Check the path.")
        if path.is_file() and path.stat().st_size == 0:
            raise VideoError(f"{path} is empty", "The recording or the copy failed; get the file again.")
        return None
    except PermissionError as error:
        raise VideoError(f"{path} cannot be read: permission denied", "Change the rights of the file.") from error
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}", "Check the path.") from error


def _unreadable(path: Path) -> VideoError:
    if path.is_file() and _is_quicktime(path):
        return VideoError(
            f"{path} is cut off or damaged: the index of its frames (moov) cannot be read",
            "The recording or the copy was not finished; get the file again or repair it.",
        )
    return VideoError(f"{path} is not a video that can be read", "Check that it plays in a video player.")


def _is_quicktime(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def picture_stream(container: InputContainer, path: Origin) -> VideoStream:
    """The stream of moving pictures to read; VideoError if there is none.

    Covers and single stills are left aside where anything moves, and what cannot be decoded where anything can; of the
    rest the largest picture is the recording (the others are previews), and of equal ones the first.
    """
    candidates = [stream for stream in container.streams.video if not stream.disposition & COVERS]
    if not candidates:
        kinds = sorted({stream.type for stream in container.streams} - {"video"})
        raise VideoError(f"{path} holds no video, only {' and '.join(kinds) or 'a still cover'}", "Name a video file.")
    # PyAV has no codec context where FFmpeg has no decoder, though its stubs say otherwise.
    decodable = [stream for stream in candidates if getattr(stream, "codec_context", None) is not None]
    if not decodable:
        raise VideoError(f"{path} uses a codec that cannot be decoded", "Convert it to H.264 first.")
    chosen = max(decodable, key=lambda stream: (stream.frames != 1, _pixels(stream)))
    if _is_tiled(container, chosen):
        raise VideoError(f"{path} is a picture of several tiles, which is not read", "Convert it to JPEG or PNG.")
    check_size(chosen.codec_context.width, chosen.codec_context.height, str(path))
    return chosen


def _is_tiled(container: InputContainer, chosen: VideoStream) -> bool:
    """Whether a stream is a tile, or the small preview, of a still picture that has no stream of its own."""
    if container.metadata.get("major_brand", "") not in STILL_BRANDS or chosen.disposition & Disposition.default:
        return False
    return any(stream.disposition & Disposition.dependent for stream in container.streams.video)


def _pixels(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def stream_note(container: InputContainer, chosen: VideoStream) -> str | None:
    """Which stream of pictures was chosen, where there are several."""
    streams = list(container.streams.video)
    if len(streams) < 2:
        return None
    context = chosen.codec_context
    number = 1 + next(n for n, stream in enumerate(streams) if stream.index == chosen.index)
    return f"read video stream {number} of {len(streams)} ({context.width} x {context.height})"


def is_drawn(container: InputContainer) -> bool:
    """Whether `run` drew poses into the pictures."""
    return any(container.metadata.get(name) == DRAWN for name in _COMMENTS)


def prepare(stream: VideoStream, careful: bool) -> None:
    """Sets a decoder up: fast with frame threads, or `careful`, so that an error costs no other picture."""
    context = stream.codec_context
    stream.thread_type = "SLICE" if careful else "AUTO"
    if _pixels(stream) > LARGE_PIXELS:
        context.thread_count = 1
    context.options = {**context.options, "max_pixels": str(max_pixels())}


def clock_start(container: InputContainer, stream: VideoStream | None) -> Fraction:
    """Seconds to take off every time stamp of the file, so that its recording begins near zero and not before it."""
    if stream is not None and stream.start_time is not None and stream.time_base is not None and stream.start_time < 0:
        return stream.start_time * stream.time_base
    if container.start_time is None:
        return Fraction(0)
    start = Fraction(container.start_time, av.time_base)
    return start if start > LATE_START_S else Fraction(0)


def clock_rules(container: InputContainer) -> ClockRules:
    """How far the time stamps of a format are to be believed."""
    jumps = bool(container.format.flags & cast(int, Flags.ts_discont.value))
    return ClockRules(jumps, by_decoding=container.format.name == "avi")


def is_bare(container: InputContainer) -> bool:
    """Whether a file is the stream itself, without time stamps: each packet is cut out as one picture."""
    return bool(container.format.flags & cast(int, Flags.no_timestamps.value))


def has_times(container: InputContainer) -> bool:
    """Whether decoded pictures get the time stamps of the file."""
    return not is_bare(container) and not clock_rules(container).by_decoding


def has_index(container: InputContainer) -> bool:
    """Whether the format knows where each time is, on one clock that never jumps."""
    return container.format.name.startswith(("mov", "matroska"))


def average_rate(stream: VideoStream) -> Fraction:
    """Frames per second over the whole video, as a hint; 25 where the file gives no sound hint."""
    hints = (stream.average_rate, stream.guessed_rate, stream.base_rate, stream.codec_context.framerate)
    return next((Fraction(rate) for rate in hints if rate and SLOWEST_RATE <= rate <= FASTEST_RATE), Fraction(25))


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width over height of a pixel as it is shown; 1 where the file says nothing, or nothing that can be meant."""
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL else Fraction(1)


def picture_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Seconds of pictures that the header states; None if it speaks of the whole file with its sound only.

    Matroska states where pictures end, from zero on, wherever they begin.
    """
    if stream.duration is not None and stream.time_base is not None and _knows_length(container):
        return stream.duration * stream.time_base
    stated = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if stated is None:
        return None if container.streams.audio else file_duration(container)
    end = 3600 * int(stated[1]) + 60 * int(stated[2]) + Fraction(stated[3])
    return max(end - _begin(stream), Fraction(0))


def file_duration(container: InputContainer) -> Fraction | None:
    """Seconds from the first to the last packet of any kind, as far as the header states it."""
    if container.duration is None or not _knows_length(container):
        return None
    stated = Fraction(container.duration, av.time_base)
    if not container.format.name.startswith("matroska"):
        return stated
    begin = min(
        (_begin(stream) for stream in (*container.streams.video, *container.streams.audio)), default=Fraction(0)
    )
    return max(stated - begin, Fraction(0))


def _begin(stream: AnyStream) -> Fraction:
    """The time of a stream's first packet, 0 if it is not known or before."""
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return max(stream.start_time * stream.time_base, Fraction(0))


def stated_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many frames the header states, without those of MP4 that an edit list hides."""
    if not 0 < stream.frames < NO_LENGTH:
        return None
    listed = stream.index_entries if container.format.name.startswith("mov") else ()
    return sum(not entry.is_discard for entry in listed) or stream.frames


def _knows_length(container: InputContainer) -> bool:
    return all(stream.frames < NO_LENGTH for stream in container.streams.video)


def audio_codecs(container: InputContainer) -> tuple[str, ...]:
    """The codec of each audio track, `unknown` where there is no decoder."""
    contexts = (getattr(stream, "codec_context", None) for stream in container.streams.audio)
    return tuple("unknown" if context is None else context.codec.canonical_name for context in contexts)
