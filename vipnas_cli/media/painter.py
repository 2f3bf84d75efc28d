"""What a person sees: the picture or black behind the poses, faces blurred, trails, and the bar of facts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from vipnas_cli.errors import UsageError
from vipnas_cli.media.caption import draw_caption
from vipnas_cli.media.drawing import draw_people, draw_trail
from vipnas_cli.media.faces import blur_circles, head_circles
from vipnas_cli.media.frames import FrameResult, Image, VideoInfo
from vipnas_cli.pose.people import Floats
from vipnas_cli.pose.skeletons import Skeleton

# The face of somebody who is lost stays blurred where it was for so long.
BLUR_HOLD_S = 0.5
# Frames without a point that a trail bridges.
BRIDGED = 3
HIPS = ("left_hip", "right_hip")


class Background(StrEnum):
    """What is behind the poses."""

    picture = "picture"
    black = "black"
    beside = "beside"


@dataclass(frozen=True)
class PictureStyle:
    """How the poses are shown.

    `background`: the picture, black, or the picture on the left and the poses on black on the right of it.
    `trails_s`: how long a trail lasts, 0 for none; `trail_of`: the keypoints that leave one, none of them for the
    middle of the hips. `bar`: the line of facts and the legend. `min_score`: keypoints below are left out.
    """

    background: Background = Background.picture
    blur_faces: bool = False
    trails_s: float = 0.0
    trail_of: tuple[str, ...] = ()
    bar: bool = True
    min_score: float = 0.3


@dataclass(eq=False)
class Painter:
    """Makes the pictures of a video one after the other; UsageError for a trail of a keypoint that there is not.

    `caption` gives the text in the bar of a frame; without it there is no bar.
    """

    skeleton: Skeleton
    style: PictureStyle = PictureStyle()
    caption: Callable[[FrameResult], str] | None = None
    _heads: dict[int, tuple[float, Floats]] = field(default_factory=dict, init=False)
    _trails: dict[int, deque[_Place]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name in self.style.trail_of:
            if name not in self.skeleton.keypoints:
                raise UsageError(
                    f"there is no keypoint {name!r} to draw a trail of", f"use {', '.join(self.skeleton.keypoints)}"
                )

    def info(self, info: VideoInfo) -> VideoInfo:
        """The facts of the painted video, which may be wider than the source."""
        return replace(info, width=2 * info.width) if self.style.background is Background.beside else info

    def paint(self, result: FrameResult, image: Image) -> Image:
        """A new picture of a frame: RGB, twice as wide with the background beside."""
        people, style = result.people, self.style
        if style.background is Background.black:
            picture = np.zeros_like(image)
        else:
            picture = image.copy()
            if style.blur_faces:
                blur_circles(picture, self._heads_of(result))
        canvas = np.zeros_like(image) if style.background is Background.beside else picture
        if style.trails_s:
            self._draw_trails(canvas, result)
        draw_people(canvas, people, self.skeleton, style.min_score)
        if style.bar and self.caption is not None:
            draw_caption(picture, self.caption(result), legend=True)
        return picture if canvas is picture else np.concatenate([picture, canvas], axis=1)

    def _heads_of(self, result: FrameResult) -> Floats:
        """The heads of everyone who is there, told of or not, or was a moment ago."""
        time_s = result.time_s
        for people in filter(None, (result.people, result.others)):
            heads = head_circles(people, self.skeleton)
            self._heads.update(zip(people.ids.tolist(), ((time_s, head) for head in heads), strict=True))
        self._heads = {person: seen for person, seen in self._heads.items() if time_s - seen[0] <= BLUR_HOLD_S}
        return np.array([head for _, head in self._heads.values()], np.float32).reshape(-1, 3)

    def _draw_trails(self, canvas: Image, result: FrameResult) -> None:
        """Adds where everyone is to the trails, and draws those of the people who are there."""
        for person, places in zip(result.people.ids.tolist(), self._places(result), strict=True):
            trail = self._trails.setdefault(person, deque())
            trail.append(places)
            while trail[-1].time_s - trail[0].time_s > self.style.trails_s:
                trail.popleft()
            for points in np.stack([place.points for place in trail], axis=1):
                draw_trail(canvas, _connected(points), person)
        ends = result.time_s - self.style.trails_s
        self._trails = {person: trail for person, trail in self._trails.items() if trail[-1].time_s >= ends}

    def _places(self, result: FrameResult) -> list[_Place]:
        """For each person the points that leave trails, nan where they are unsure."""
        people = result.people
        points = np.where(people.scores[..., None] >= self.style.min_score, people.points_frame, np.nan)
        if self.style.trail_of:
            chosen = points[:, [self.skeleton.index(name) for name in self.style.trail_of]]
        else:
            chosen = points[:, [self.skeleton.index(name) for name in HIPS]].mean(axis=1, keepdims=True)
        return [_Place(result.time_s, each) for each in chosen]


@dataclass(frozen=True)
class _Place:
    """Where the points (N, 2) that leave trails are at a time."""

    time_s: float
    points: Floats


def _connected(points: Floats) -> list[Floats]:
    """The pieces (N, 2) of a trail (T, 2) without unsure points: it goes over short gaps and breaks at long ones."""
    sure = np.flatnonzero(np.isfinite(points).all(axis=-1))
    pieces = np.split(sure, np.flatnonzero(np.diff(sure) > BRIDGED) + 1)
    return [points[piece] for piece in pieces if len(piece) > 1]
