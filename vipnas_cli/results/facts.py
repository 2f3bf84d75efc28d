"""What files of poses say about themselves, whatever their layout.

Coordinates are pixels of the upright picture, (0, 0) the centre of its top-left pixel; scores are
about the probability that the keypoint is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import LARGEST_LABELS, DocumentKind, brief
from vipnas_cli.errors import DataError
from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.media.limits import LAST_FRAME, LONGEST_S
from vipnas_cli.pose.people import People, finite_places
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

SCHEMA = 1
COORDINATES = "display pixels after rotation, x to the right and y down; 0,0 is the centre of the top-left pixel"
SCORE = "share of the heatmap near its peak, 0 to 1: about the probability that the keypoint is there"
POSES = DocumentKind("a file of poses as `run` writes it", DataError, "Give a file of `run`.", LARGEST_LABELS)
# By so much a score may be outside 0 to 1, as other programs round.
SCORE_SLACK = 1e-3
# Times of tables have six decimals.
MICROSECONDS = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class ResultHeader:
    """What a result file says about itself: source file name, size of the upright picture, how the poses were made.

    A file that has lost its facts has no size, empty texts and ticks of a microsecond. `stride`: by so much the indices
    of its frames differ; files of earlier versions do not state it. `pictures`: the file names of frames that are
    pictures, by index; only lists of images have them.
    """

    source: str = ""
    width: int | None = None
    height: int | None = None
    time_base: Fraction = MICROSECONDS
    pipeline: str = ""
    smoothing: str = "none"
    stride: int = 1
    pictures: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """A result file read back, in the order of the frames; `skeleton` has the keypoints in the order of the arrays.

    `whole`: frames without people are among them.
    """

    header: ResultHeader
    skeleton: Skeleton
    frames: tuple[FrameResult, ...]
    whole: bool = True

    @staticmethod
    def of(header: ResultHeader, skeleton: Skeleton, frames: Iterable[FrameResult], whole: bool = True) -> Results:
        """Frames in any order; ValueError for a frame or a person that is there twice, and for what is no number of a
        frame, no time or no score.

        Keypoints without finite numbers are not known: NaN, with a score of 0.
        """
        ordered = sorted(frames, key=lambda frame: frame.frame_index)
        twice = next((b.frame_index for a, b in pairwise(ordered) if a.frame_index == b.frame_index), None)
        if twice is not None:
            raise ValueError(f"frame {twice} is there twice")
        for frame in ordered:
            if not 0 <= frame.frame_index < LAST_FRAME:
                raise ValueError(f"frame {brief(frame.frame_index)} is none of 0 to {LAST_FRAME - 1}")
            if not abs(frame.time_s) < LONGEST_S:
                raise ValueError(f"frame {frame.frame_index} has a time of {frame.time_s:g} s")
            if len(np.unique(frame.people.ids)) < len(frame.people):
                raise ValueError(f"frame {frame.frame_index} holds a person twice")
            check_scores(frame, skeleton)
        known = tuple(replace(frame, people=known_people(frame.people)) for frame in ordered)
        return Results(header, skeleton, known, whole)

    @property
    def keypoints(self) -> tuple[str, ...]:
        """The names in the order of the arrays."""
        return self.skeleton.keypoints


# Frames that follow each other: number and pts of the first, how many they are, and the ticks from one to the next.
Stretch = tuple[int, int, int, int]


class FrameFacts(TypedDict):
    """What the facts of a table say about its frames once all are there: how many, and which are without people."""

    frames: NotRequired[int]
    frames_without_people: NotRequired[list[Stretch]]


class Facts(FrameFacts):
    """The facts of a file of poses, as its JSON has them."""

    schema: int
    source: str
    width: int | None
    height: int | None
    time_base: str
    pipeline: str
    smoothing: str
    stride: NotRequired[int]
    skeleton: NotRequired[str]
    keypoints: list[str]
    pictures: NotRequired[list[tuple[int, str]]]


def facts_of(header: ResultHeader, skeleton: Skeleton) -> dict[str, Any]:
    """The facts of a file, by the names of `Facts`, and what its numbers mean."""
    return {
        "schema": SCHEMA,
        "source": header.source,
        "width": header.width,
        "height": header.height,
        "time_base": str(header.time_base),
        "pipeline": header.pipeline,
        "smoothing": header.smoothing,
        "stride": header.stride,
        "skeleton": skeleton.name,
        "keypoints": skeleton.keypoints,
        "coordinates": COORDINATES,
        "score": SCORE,
    }


def table_facts(header: ResultHeader, skeleton: Skeleton) -> dict[str, Any]:
    """The facts of a table, which has no other place for the names of pictures."""
    pictures = {"pictures": tuple(header.pictures.items())} if header.pictures else {}
    return {**facts_of(header, skeleton), **pictures}


def header_of(facts: Facts) -> ResultHeader:
    """The header of a file with such facts; ValueError for another schema, and what is no size, time base or stride."""
    if facts["schema"] != SCHEMA:
        raise ValueError(f"schema {facts['schema']}, known is {SCHEMA}")
    width, height, stride = facts["width"], facts["height"], facts.get("stride", 1)
    if any(size is not None and size < 1 for size in (width, height)):
        raise ValueError(f"no picture has a size of {brief(width)} x {brief(height)}")
    if not 0 < stride < LAST_FRAME:
        raise ValueError(f"the stride {brief(stride)} is none of 1 to {LAST_FRAME - 1}")
    return ResultHeader(
        facts["source"],
        width,
        height,
        time_base_of(facts["time_base"]),
        facts["pipeline"],
        facts["smoothing"],
        stride,
        dict(facts.get("pictures", ())),
    )


def time_base_of(text: str) -> Fraction:
    """Seconds per tick as `1/90000`; numbers with exponents would have any number of digits."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}(/[1-9][0-9]{0,17})?", text):
        raise ValueError(f"the time base {brief(text)} is no fraction above 0")
    return Fraction(text)


def ticks_of(time_s: str, time_base: Fraction) -> int:
    """The pts of a time that is written in seconds; ValueError for none, or one that is longer than any video."""
    # A fraction of a number with a large exponent would have any number of digits; a float's has three at most.
    if not abs(float(time_s)) < LONGEST_S or re.search(r"[eE][+-]?[\d_]{4}", time_s):
        raise ValueError(f"the time {brief(time_s)} is none of a video")
    return round(Fraction(time_s) / time_base)


def check_scores(frame: FrameResult, skeleton: Skeleton) -> None:
    """ValueError for a score that is a number outside 0 to 1."""
    scores = frame.people.scores
    wrong = np.argwhere((scores < -SCORE_SLACK) | (scores > 1 + SCORE_SLACK))
    for person, keypoint in wrong[:1].tolist():
        place = f"frame {frame.frame_index}, person {frame.people.ids[person]}, {shown(skeleton.keypoints[keypoint])}"
        raise ValueError(f"{place}: the score {scores[person, keypoint]:g} is none of 0 to 1")


def known_people(people: People) -> People:
    """The people, what is not known of them in one form: keypoints NaN with a score of 0, boxes around the others."""
    known = people.known & np.isfinite(people.scores)
    boxes = finite_places(people.boxes_frame)
    if known.all() and boxes.all():
        return people
    points = np.where(known[..., None], people.points_frame, np.float32(np.nan))
    found = np.where(boxes[:, None], people.boxes_frame, around(points))
    return People(people.ids, found, points, np.where(known, people.scores, np.float32(0)))


def around(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The boxes (P, 4) xyxy around those of the points (P, K, 2) that are known; zeros without any."""
    known = finite_places(points)[..., None]
    low = np.where(known, points, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, points, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(known.any(1), np.concatenate([low, high], axis=1), 0).astype(np.float32)


def skeleton_of(keypoints: Sequence[str], limbs: Sequence[tuple[int, int]] = ()) -> Skeleton:
    """The known keypoint set with these names, or one of its own with no OKS constants."""
    names = tuple(keypoints)
    known = (one for one in (COCO17, POSETRACK15) if one.keypoints == names)
    return next(known, None) or Skeleton("own", names, tuple(limbs), (0.0,) * len(names))
