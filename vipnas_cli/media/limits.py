"""How large pictures and times may be, and how many of them may wait: a small file can ask for any memory."""

from __future__ import annotations

import os

from vipnas_cli.errors import UsageError, VideoError

LIMIT_NAME = "VIPNAS_MAX_PIXELS"
# 8192 x 8192: twice the pixels of 8K. One such RGB picture takes 200 MB, and a run holds about ten.
MAX_PIXELS = 1 << 26
# Bytes of pictures that wait between two stages; more than one wait only as long as they take less.
WAITING_BYTES = 1 << 27
# A generation; no video is as long.
LONGEST_S = 1e9
# Numbers of frames are below; no video has as many.
LAST_FRAME = 1 << 31
# From here on (beyond 4K) encoder and decoder hold as few pictures as they can.
LARGE_PIXELS = 1 << 24


def max_pixels() -> int:
    """Width times height of the largest picture that is read; UsageError if the environment sets no whole number."""
    text = os.environ.get(LIMIT_NAME, "").strip()
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 10 and int(text) > 0):
        raise UsageError(f"{LIMIT_NAME} is {text[:40]!r}, not a number of pixels", "Set it to width times height.")
    return min(int(text), 2**31 - 1)


def check_size(width: int, height: int, name: str) -> None:
    """VideoError for pictures that are larger than allowed."""
    if width * height > max_pixels():
        raise VideoError(
            f"{name} has pictures of {width} x {height}, more than {max_pixels()} pixels",
            f"If it can be trusted and memory suffices, set {LIMIT_NAME}={width * height}.",
        )


def waiting(picture_bytes: int, most: int) -> int:
    """How many pictures of a size may wait between two stages: `most`, fewer if they are large, at least one."""
    return max(1, min(most, WAITING_BYTES // max(1, picture_bytes)))


def span(start_s: float, end_s: float | None) -> str:
    """A part of a video, in words."""
    return f"from {start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"


def check_span(start_s: float, end_s: float | None) -> None:
    """UsageError for a part that no video has."""
    # Written so that NaN is refused, too.
    if not 0 <= start_s < LONGEST_S or not (end_s is None or start_s < end_s < LONGEST_S):
        raise UsageError(f"there is no video {span(start_s, end_s)}", "Start at 0 or later, and end after the start.")
