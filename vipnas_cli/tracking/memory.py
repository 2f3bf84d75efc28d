"""What is remembered of each person between two frames.

Shapes: N remembered people, R body parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import People
from vipnas_cli.pose.people import chooses_all
from vipnas_cli.tracking.similarity import Floats

Choice = NDArray[np.int64] | NDArray[np.bool_]
Rows = Choice | slice


@dataclass(frozen=True)
class Sighting:
    """Where people were, their velocities in pixels per second (N, 2) and when that was, in seconds (N,)."""

    people: People
    velocities_frame: Floats
    times_s: Floats

    def __getitem__(self, keep: Rows) -> Sighting:
        """The people that an index array, a mask or a slice selects."""
        return Sighting(self.people[keep], self.velocities_frame[keep], self.times_s[keep])

    def gaps(self, time_s: float) -> Floats:
        """Seconds since each person was seen (N,); never negative, as time stamps of damaged videos can jump back."""
        return np.maximum(time_s - self.times_s, 0.0)

    def predicted(self, time_s: float, longest_s: float = np.inf) -> People:
        """Everyone moved on at constant velocity, for so many seconds at most."""
        shifts = (self.velocities_frame * np.minimum(self.gaps(time_s), longest_s)[:, None]).astype(np.float32)
        boxes = self.people.boxes_frame + np.concatenate([shifts, shifts], axis=1)
        return People(self.people.ids, boxes, self.people.points_frame + shifts[:, None], self.people.scores)

    def followed_by(self, other: Sighting) -> Sighting:
        """These people, then those of `other`."""
        a, b = self.people, other.people
        people = People(
            np.concatenate([a.ids, b.ids]),
            np.concatenate([a.boxes_frame, b.boxes_frame]),
            np.concatenate([a.points_frame, b.points_frame]),
            np.concatenate([a.scores, b.scores]),
        )
        velocities = np.concatenate([self.velocities_frame, other.velocities_frame])
        return Sighting(people, velocities, np.concatenate([self.times_s, other.times_s]))


@dataclass(frozen=True)
class Memory:
    """The last sighting of each known person, the last that was certain, and the looks (N, R, 3), NaN where unknown.

    A sighting is not certain while people are in each other's way.
    """

    last: Sighting
    certain: Sighting
    looks: Floats

    def __getitem__(self, keep: Choice) -> Memory:
        """The people that an index array or a mask selects."""
        if chooses_all(keep, len(self.ids)):
            return self
        rows = keep if keep.any() or keep.dtype != np.bool_ else slice(0)
        return Memory(self.last[rows], self.certain[rows], self.looks[rows])

    @property
    def ids(self) -> NDArray[np.int64]:
        """Who is remembered (N,)."""
        return self.last.people.ids

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """Whose last sighting (N,) was not certain."""
        return self.certain.times_s < self.last.times_s

    def followed_by(self, other: Memory) -> Memory:
        """These people, then those of `other`."""
        if not len(other.ids):
            return self
        return Memory(
            self.last.followed_by(other.last),
            self.certain.followed_by(other.certain),
            np.concatenate([self.looks, other.looks]),
        )


def nobody_known(keypoints: int, parts: int) -> Memory:
    """The memory before the first frame."""
    nobody = Sighting(People.nobody(keypoints), np.zeros((0, 2)), np.zeros(0))
    return Memory(nobody, nobody, np.full((0, parts, 3), np.nan))
