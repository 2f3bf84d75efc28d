"""Poster frames: a few pictures that show what a clip is about, small enough to stand inside a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vipnas_cli.errors import VideoError
from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.painter import Background, Painter, PictureStyle
from vipnas_cli.media.pictures import PICTURE_RATE
from vipnas_cli.pose.skeletons import Skeleton

POSTERS = 6
# The longer side of a poster, in pixels: sharp on a screen of twice the density, where six take some 300 kB.
LONGEST = 640
QUALITY = 82
# While frames come, of which nobody knows how many, so many candidates are kept.
CANDIDATES = 2 * POSTERS
# Matroska rounds the times of a source and of what is drawn to milliseconds; frames are hardly closer than this.
EARLIER_S = 0.0011
# A picture that comes so much later, after a gap, is not of the frame.
LATE_S = 0.25


@dataclass(frozen=True)
class Poster:
    """A picture with the time of its frame in seconds, and whether it is higher than wide."""

    time_s: float
    portrait: bool
    jpeg: bytes

    @property
    def url(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"


def poster_of(time_s: float, picture: Image) -> Poster:
    """A poster of a painted RGB picture."""
    height, width = picture.shape[:2]
    share = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Poster(time_s, height > width, data.tobytes())


class PosterCollector:
    """Keeps posters that lie evenly in a video of unknown length: every second one goes when they are too many."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._kept: list[Poster] = []
        self._every = 1
        self._seen = 0

    def add(self, result: FrameResult, image: Image) -> None:
        """Takes a frame if it is its turn."""
        if self._seen % self._every == 0:
            self._kept.append(poster_of(result.time_s, self._painter.paint(result, image)))
            if len(self._kept) > CANDIDATES:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._seen += 1

    @property
    def posters(self) -> tuple[Poster, ...]:
        """Some of them, from the first to the last part of the video."""
        count = min(POSTERS, len(self._kept))
        places = (np.arange(count) + 0.5) / max(count, 1) * len(self._kept)
        return tuple(self._kept[int(place)] for place in places)


def chosen(frames: Sequence[FrameResult]) -> list[FrameResult]:
    """The frame of each part of a clip, as many as there are posters, in which most is seen of most people."""
    parts = np.array_split(np.arange(len(frames)), min(POSTERS, len(frames))) if frames else []
    best = []
    for part in parts:
        # The middle half, so that neighbours differ.
        middle = part[len(part) // 4 : max(len(part) // 4 + 1, -(-3 * len(part) // 4))]
        best.append(max((frames[row] for row in middle.tolist()), key=lambda frame: float(frame.people.scores.sum())))
    return best


def posters_of_video(
    video: Path,
    frames: Sequence[FrameResult],
    skeleton: Skeleton,
    style: PictureStyle,
    painted: bool,
    later_s: float = 0.0,
) -> tuple[Poster, ...]:
    """Posters out of a video, a picture or a folder whose poses are known; what is `painted` is shown as it is.

    The times of the frames are by `later_s` later than those of the video. Frames that cannot be read are left out;
    VideoError if the video cannot be opened, or has none of them.
    """
    with open_input(video):
        pass
    painter, rate = Painter(skeleton, style), _picture_rate(frames)
    found = []
    for frame in chosen(frames):
        time_s = max(0.0, frame.time_s - later_s)
        with suppress(VideoError), open_input(video, max(0.0, time_s - EARLIER_S), picture_rate=rate) as reader:
            picture = next(iter(reader), None)
            if picture is not None and picture.time_s - time_s < LATE_S:
                image = picture.image if painted else painter.paint(frame, picture.image)
                found.append(poster_of(frame.time_s, image))
    if frames and not found:
        raise VideoError(f"{shown(video)} has no picture at the times of the results")
    return tuple(found)


def _picture_rate(frames: Sequence[FrameResult]) -> float:
    """How many pictures of a folder make a second, by the numbers and times of its frames."""
    if len(frames) < 2 or frames[-1].time_s <= frames[0].time_s:
        return PICTURE_RATE
    return (frames[-1].frame_index - frames[0].frame_index) / (frames[-1].time_s - frames[0].time_s)


def posters_of_poses(frames: Sequence[FrameResult], size: tuple[int, int], skeleton: Skeleton) -> tuple[Poster, ...]:
    """Posters of poses on black, for a clip of this width and height whose pictures are not at hand."""
    width, height = size
    painter = Painter(skeleton, PictureStyle(Background.black))
    nothing = np.zeros((height, width, 3), np.uint8)
    return tuple(poster_of(frame.time_s, painter.paint(frame, nothing)) for frame in chosen(frames))
