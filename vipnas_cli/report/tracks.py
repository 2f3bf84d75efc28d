"""The frames of a clip as one track per person, which is what curves are drawn from.

Shapes: T frames of the clip, N frames of a person, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.metrics.steadiness import Steadiness, SteadinessMeter
from vipnas_cli.pose.angles import Degrees, joint_angles
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.sink import MOST_MISSING

Floats = NDArray[np.float64]

# Frames that are put back, all gaps of a clip together.
MOST_IN_ALL = 10 * MOST_MISSING


@dataclass(frozen=True, eq=False)
class Track:
    """One person: rows (N,) of the clip's frames in which he or she is, points (N, K, 2) and scores (N, K)."""

    person: int
    rows: NDArray[np.int64]
    points: Floats
    scores: Floats

    def over(self, frames: int, values: Floats) -> Floats:
        """Values (N, ...) as a curve (T, ...) over the clip, nan where the person is not there."""
        curve: Floats = np.full((frames, *values.shape[1:]), np.nan)
        curve[self.rows] = values
        return curve

    def angles(self, skeleton: Skeleton) -> Degrees:
        """The joint angles (N, A)."""
        return joint_angles(self.points, self.scores, skeleton)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """First and last row of each unbroken stretch."""
        breaks = np.flatnonzero(np.diff(self.rows) > 1)
        first = np.concatenate([self.rows[:1], self.rows[breaks + 1]])
        last = np.concatenate([self.rows[breaks], self.rows[-1:]])
        return list(zip(first.tolist(), last.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Clip:
    """Times (T,) in seconds, which frames (T,) are key frames, and the tracks, who is there longest first.

    `step_s` is the mean time between two frames.
    """

    skeleton: Skeleton
    times: Floats
    keys: NDArray[np.bool_]
    tracks: tuple[Track, ...]

    @property
    def step_s(self) -> float:
        """The mean time between two frames, 0 where there is one."""
        return float(self.times[-1] - self.times[0]) / (len(self.times) - 1) if len(self.times) > 1 else 0.0

    @property
    def people_per_frame(self) -> NDArray[np.int64]:
        """How many people are in each frame (T,)."""
        found = np.zeros(len(self.times), np.int64)
        for track in self.tracks:
            found[track.rows] += 1
        return found


def clip_of(frames: Sequence[FrameResult], skeleton: Skeleton, count: int | None = None) -> Clip:
    """The tracks of a clip's frames, in order of time; frames that a table left out as nobody is there are put back.

    Those before the first and after the last are if the `count` of all is known, which begin with frame 0. ValueError
    if more are missing than any table leaves out.
    """
    times, rows_of = _rows([frame.frame_index for frame in frames], [frame.time_s for frame in frames], count)
    keys = np.zeros(len(times), bool)
    rows: dict[int, list[int]] = {}
    points: dict[int, list[Floats]] = {}
    scores: dict[int, list[Floats]] = {}
    for row, frame in zip(rows_of, frames, strict=True):
        people = frame.people
        keys[row] = frame.key
        for person, pose, sure in zip(people.ids.tolist(), people.points_frame, people.scores, strict=True):
            rows.setdefault(person, []).append(row)
            points.setdefault(person, []).append(pose.astype(np.float64))
            scores.setdefault(person, []).append(sure.astype(np.float64))
    tracks = [
        Track(person, np.array(rows[person]), np.stack(points[person]), np.stack(scores[person])) for person in rows
    ]
    tracks.sort(key=lambda track: (-len(track.rows), track.person))
    return Clip(skeleton, times, keys, tuple(tracks))


def _rows(indices: list[int], times: list[float], count: int | None) -> tuple[Floats, list[int]]:
    """The times (T,) of all frames and the row of each that is known, by their numbers, which may be every N-th."""
    if not indices:
        return np.zeros(0), []
    numbers = np.array(indices)
    step = max(1, int(np.gcd.reduce(np.diff(numbers))))
    rows = (numbers - numbers[0]) // step
    span = int(rows[-1]) + 1
    before = 0 if count is None else min(int(numbers[0]) // step, max(0, count - span))
    after = 0 if count is None else max(0, count - before - span)
    _check_missing(numbers, rows, before + after)
    within = np.interp(np.arange(span), rows, np.array(times))
    apart = float(np.median(np.diff(within))) if len(within) > 1 else 0.0
    earlier, later = within[0] - apart * np.arange(before, 0, -1), within[-1] + apart * np.arange(1, after + 1)
    return np.concatenate([earlier, within, later]), (rows + before).tolist()


def _check_missing(numbers: NDArray[np.int64], rows: NDArray[np.int64], at_ends: int) -> None:
    """ValueError if so many frames are missing that curves over all of them would fill the memory."""
    gaps = np.diff(rows) - 1
    missing = int(gaps.sum()) + at_ends
    if gaps.max(initial=0) > MOST_MISSING:
        raise ValueError(f"{gaps.max()} frames are missing after frame {numbers[gaps.argmax()]}")
    if missing > MOST_IN_ALL:
        raise ValueError(f"{missing} frames are missing between {len(rows)} others")


def steadiness(tracks: Sequence[Track], skeleton: Skeleton) -> Steadiness:
    """How steady some people of a clip are."""
    meter = SteadinessMeter(skeleton)
    rows: dict[int, list[tuple[int, int]]] = {}
    for number, track in enumerate(tracks):
        for index, row in enumerate(track.rows.tolist()):
            rows.setdefault(row, []).append((number, index))
    for row in sorted(rows):
        ids = np.array([tracks[number].person for number, _ in rows[row]])
        points = np.array([tracks[number].points[index] for number, index in rows[row]], np.float32)
        scores = np.array([tracks[number].scores[index] for number, index in rows[row]], np.float32)
        boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
        meter.add(row, People(ids, boxes, points, scores))
    return meter.result
