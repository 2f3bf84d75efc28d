"""How steady poses are over time, without labels: jumps, spikes, exchanges of left and right, accelerations.

A step is a person in two consecutive frames. Lengths are shares of the person's height: the median over the frames of
the longer side of the box around the sure keypoints. Quick motion at a low frame rate counts as jumps, too; spikes
leave motion out.
Shapes: N steps, K keypoints, S pairs of a left and a right keypoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import COCO17, People, Skeleton
from vipnas_cli.pose.people import are_sure

Floats = NDArray[np.float64]

# A keypoint that moves by more than this share of the height from one frame to the next jumps; one that is so far off
# the middle between the frames before and after is a spike.
JUMP = 0.1
# Left and right are exchanged where both move, together by more than a jump, and less than this share of it is left
# when the sides of one of the frames are exchanged.
EXCHANGED = 0.5


@dataclass(frozen=True)
class Steadiness:
    """Steps, how many of them have at least one jump, a spike in their first frame, an exchange; median acceleration.

    `acceleration` is |a - 2 b + c| of a keypoint in three consecutive frames, in percent of the height; NaN without
    any.
    """

    steps: int
    jumps: int
    spikes: int
    exchanges: int
    acceleration: float

    @property
    def jumps_per_100(self) -> float:
        """Steps with a jump per 100 steps; NaN without steps."""
        return 100 * self.jumps / self.steps if self.steps else float("nan")

    @property
    def spikes_per_100(self) -> float:
        """Steps that begin with a spike per 100 steps; NaN without steps."""
        return 100 * self.spikes / self.steps if self.steps else float("nan")

    @property
    def exchanges_per_100(self) -> float:
        """Steps with an exchange of sides per 100 steps; NaN without steps."""
        return 100 * self.exchanges / self.steps if self.steps else float("nan")

    def to_json(self) -> dict[str, float | None]:
        """The measures as JSON values; None where nothing could be measured."""
        found = {
            "steps": self.steps,
            "jumps": self.jumps,
            "jumps_per_100_steps": self.jumps_per_100,
            "spikes": self.spikes,
            "spikes_per_100_steps": self.spikes_per_100,
            "exchanges": self.exchanges,
            "exchanges_per_100_steps": self.exchanges_per_100,
            "acceleration_percent": self.acceleration,
        }
        return {name: value if math.isfinite(value) else None for name, value in found.items()}


@dataclass
class _Track:
    """One person: what each step and frame measured in pixels; the last frames, newest last."""

    heights: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    exchanges: list[float] = field(default_factory=list)
    accelerations: list[Floats] = field(default_factory=list)
    last: list[tuple[int, Floats, NDArray[np.bool_]]] = field(default_factory=list)


class SteadinessMeter:
    """Measures the poses of a video, frame by frame."""

    def __init__(self, skeleton: Skeleton = COCO17) -> None:
        self._sides = np.array(skeleton.flip_pairs, np.int64).reshape(-1, 2).T
        self._tracks: dict[int, _Track] = {}

    def add(self, frame_index: int, people: People) -> None:
        """Takes the people of a frame; frames come in order, and one that is left out ends all steps."""
        for row, identity in enumerate(people.ids.tolist()):
            track = self._tracks.setdefault(identity, _Track())
            points = people.points_frame[row].astype(np.float64)
            sure = are_sure(people.scores[row]) & np.isfinite(points).all(-1)
            if sure.any():
                track.heights.append(float(np.ptp(points[sure], axis=0).max()))
            track.last = [seen for seen in track.last if seen[0] >= frame_index - 2][-2:]
            if track.last and track.last[-1][0] == frame_index - 1:
                self._step(track, points, sure)
            track.last.append((frame_index, points, sure))

    @property
    def result(self) -> Steadiness:
        """The measures of all frames so far."""
        steps = jumps = spikes = exchanges = 0
        accelerations = [np.zeros(0)]
        for track in self._tracks.values():
            height = float(np.median(track.heights)) if track.heights else 0.0
            if height > 0:
                steps += len(track.moves)
                jumps += int(np.count_nonzero(np.array(track.moves) > JUMP * height))
                exchanges += int(np.count_nonzero(np.array(track.exchanges) > JUMP * height))
                spikes += sum(found.max(initial=0.0) > 2 * JUMP * height for found in track.accelerations)
                accelerations += [found / height for found in track.accelerations]
        joined = np.concatenate(accelerations)
        acceleration = 100 * float(np.median(joined)) if len(joined) else float("nan")
        return Steadiness(steps, jumps, int(spikes), exchanges, acceleration)

    def _step(self, track: _Track, points: Floats, sure: NDArray[np.bool_]) -> None:
        """Measures the step from the last frame of a person to this one."""
        _, before, sure_before = track.last[-1]
        both = sure & sure_before
        track.moves.append(float(np.linalg.norm(points - before, axis=-1)[both].max(initial=0.0)))
        left, right = self._sides
        pairs = both[left] & both[right]
        moved = _distances(points, before, left, left) + _distances(points, before, right, right)
        crossed = _distances(points, before, left, right) + _distances(points, before, right, left)
        track.exchanges.append(float(moved[pairs & (crossed < EXCHANGED * moved)].max(initial=0.0)))
        if len(track.last) == 2 and track.last[0][0] == track.last[1][0] - 1:
            _, earlier, sure_earlier = track.last[0]
            change = np.linalg.norm(earlier - 2 * before + points, axis=-1)
            track.accelerations.append(change[both & sure_earlier])


def _distances(a: Floats, b: Floats, from_: NDArray[np.int64], to: NDArray[np.int64]) -> Floats:
    """Distances (S,) of the keypoints `from_` of one pose (K, 2) and the keypoints `to` of another."""
    distances: Floats = np.linalg.norm(a[from_] - b[to], axis=-1)
    return distances
