"""Pictures as inputs: one file, or all of a folder as the frames of a video.

Shapes: H, W pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from vipnas_cli.errors import UsageError, VideoError, VipnasError
from vipnas_cli.files import read_regular, shown
from vipnas_cli.media.closing import Closer, SteppedReader
from vipnas_cli.media.frames import NO_YUV, ColorTags, Frame, Image, VideoInfo
from vipnas_cli.media.heif import upright
from vipnas_cli.media.limits import LIMIT_NAME, LONGEST_S, check_span, max_pixels, span
from vipnas_cli.media.picture_size import stated_size

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".avif"})
LARGEST_FILE = 1_000_000_000
# Frames per second of a folder of pictures, which say nothing of time.
PICTURE_RATE = 25.0
# Formats that can hold several pictures, with what makes all of them an input.
SEVERAL = {
    ".png": "rename it .apng to read all",
    ".webp": "convert it to a video to read all",
    ".avif": "convert it to a video to read all",
    ".tif": "save each as a file of one folder to read all",
    ".tiff": "save each as a file of one folder to read all",
}
# What stands for a codec.
PICTURE_CODEC = "pictures"
FASTEST_RATE = 1000
# Seconds from one picture to the next at most: a little more than a day. MP4, whose ticks here are 1/1001 s or longer,
# has room for 2^31 of them from where a picture is decoded to where it is shown, some pictures later.
LONGEST_STEP_S = 100_000


def read_picture(path: Path, kind: type[VipnasError], hint: str) -> Image:
    """A picture file as RGB (H, W, 3), upright; an error of `kind` if it cannot be read or is larger than allowed."""
    return decode_picture(path, picture_bytes(path, kind, hint), kind, hint)


def picture_bytes(path: Path, kind: type[VipnasError], hint: str) -> bytes:
    """The bytes of a picture file; an error of `kind` if it cannot be read."""
    try:
        return read_regular(path, LARGEST_FILE)
    except FileNotFoundError:
        raise kind(f"{shown(path)} does not exist", hint) from None
    except OSError as error:
        raise kind(f"{shown(path)} cannot be read: {error.strerror}", hint) from error


def decode_picture(path: Path, data: bytes, kind: type[VipnasError], hint: str) -> Image:
    """The picture in the bytes of a file; an error of `kind` if there is none or it is larger than allowed."""
    width, height = stated_size(data) or (0, 0)
    if width * height > max_pixels():
        raise kind(
            f"{shown(path)} is a picture of {width}×{height}, more than {max_pixels()} pixels",
            f"if it can be trusted and memory suffices, set {LIMIT_NAME}={width * height}",
        )
    turn = upright(data)
    # OpenCV applies EXIF, but not what AVIF has in its place.
    flags = cv2.IMREAD_COLOR if turn is None else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise kind(f"{shown(path)} is not a readable image", hint)
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return rgb if turn is None else turn.apply(rgb)


def _several_note(path: Path) -> str | None:
    """What is told of a readable picture that holds more than the one that is read."""
    advice = SEVERAL.get(path.suffix.lower())
    count = cv2.imcount(str(path)) if advice else 1
    return f"the picture has {count} frames, of which the first is read: {advice}" if count > 1 else None


def is_picture(path: Path) -> bool:
    """Whether a name is that of a picture."""
    return path.suffix.lower() in PICTURES


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names, 2 before 10; VideoError if it cannot be looked into."""
    try:
        entries = [path for path in folder.iterdir() if is_picture(path) and not path.name.startswith(".")]
        found = [path for path in entries if not path.is_dir()]
    except OSError as error:
        raise VideoError(f"{shown(folder)} cannot be read: {error.strerror}", "Check its rights.") from error
    return sorted(found, key=natural)


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts numbers within names by their value."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], str(path)


def _step(rate: float, stride: int) -> Fraction:
    """Seconds from a picture to the next; UsageError for a rate that no video has, or not with every `stride`-th."""
    # Written so that NaN is refused, too.
    if not 1 / LONGEST_STEP_S <= rate <= FASTEST_RATE:
        slowest = f"{1 / LONGEST_STEP_S:.5f}"
        raise UsageError(f"{rate:g} pictures per second are not {slowest} to {FASTEST_RATE}", "25, for example")
    # Below one a second the rate itself would be rounded to few digits.
    step = Fraction(1 / rate).limit_denominator(1001) if rate < 1 else 1 / Fraction(rate).limit_denominator(1001)
    if step * stride > LONGEST_STEP_S:
        what = f"--stride {stride} of {rate:g} pictures per second leaves less than one in {LONGEST_STEP_S} s"
        raise UsageError(what, "choose a smaller --stride or a higher --picture-rate")
    return step


class PictureReader(SteppedReader):
    """Iterates over the pictures of a folder, or over one, as a VideoReader does over the frames of a video.

    `damaged` counts pictures so far that could not be decoded. A picture of another size than the first one ends it
    with a VideoError.
    """

    sound: None = None

    def __init__(
        self,
        path: Path,
        start_s: float | None = None,
        end_s: float | None = None,
        stride: int = 1,
        rate: float = PICTURE_RATE,
    ) -> None:
        step = _step(rate, stride)
        check_span(start_s or 0.0, end_s)
        files = pictures_in(path) if path.is_dir() else [path]
        if len(files) * step >= LONGEST_S:
            what = f"{len(files)} pictures at {rate:g} per second are longer than any video"
            raise UsageError(what, "choose a higher --picture-rate")
        first = math.ceil(Fraction(start_s or 0).limit_denominator(1_000_000) / step)
        last = len(files)
        if end_s is not None:
            last = min(last, math.ceil(Fraction(end_s).limit_denominator(1_000_000) / step))
        self._files = files
        self._numbers = range(first, last, stride)
        self._closer = Closer(shown(path), lambda: None)
        self.damaged = 0
        self._frames = self._read(step)
        frame = next(self._frames, None)
        if frame is None:
            raise self._nothing_found(path, span(start_s or 0.0, end_s))
        self._frames = chain([frame], self._frames)
        height, width = frame.image.shape[:2]
        note = f"{len(files)} pictures are the frames of one video, in the order of their names, {rate:g} a second"
        note = note if len(files) > 1 else "the folder holds one picture, which is a video of one frame"
        notes = (note,) if path.is_dir() else tuple(filter(None, [_several_note(path)]))
        self.info = VideoInfo(
            path=path,
            width=width,
            height=height,
            time_base=step,
            average_rate=1 / (step * stride),
            frames=len(self._numbers),
            duration_s=float(len(files) * step),
            codec=PICTURE_CODEC,
            color=ColorTags(matrix=NO_YUV),
            notes=notes,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The file names of the pictures, by the number of their frame."""
        return tuple(shown(path.name) for path in self._files[self._numbers.start :])

    def close(self) -> None:
        """Come to an end; nothing is held between two pictures."""
        self._closer.close()

    def stop(self) -> None:
        """Nothing is waited for."""

    def _read(self, step: Fraction) -> Iterator[Frame]:
        shape: tuple[int, ...] | None = None
        for number in self._numbers:
            try:
                image = read_picture(self._files[number], VideoError, "Get the file again.")
            except VideoError:
                if len(self._files) == 1:
                    raise
                self.damaged += 1
                continue
            shape = shape or image.shape
            if image.shape != shape:
                raise VideoError(
                    f"{shown(self._files[number])} is {image.shape[1]} x {image.shape[0]}, not {shape[1]} x {shape[0]} "
                    "as the pictures before it",
                    "A folder is one video; pictures of several sizes are inputs of their own: 'FOLDER/*.jpg'.",
                )
            yield Frame(number - self._numbers.start, number, step, image)

    def _nothing_found(self, path: Path, wanted: str) -> VideoError:
        if not self._files:
            return VideoError(f"{shown(path)} is a folder without pictures", "Name a video, or a folder of pictures.")
        if self.damaged:
            return VideoError(f"not one picture of {shown(path)} can be decoded", "Get the files again.")
        return VideoError(f"{shown(path)} has no picture {wanted}", "Choose another range.")
