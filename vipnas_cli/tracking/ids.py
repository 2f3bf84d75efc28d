"""Who is who: ids that stay with people through key frames and short occlusions.

Shapes: P people, N remembered people, M found people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17, People, Skeleton
from vipnas_cli.tracking.similarity import Floats, body_sizes, box_overlap, finite, keypoint_weights, pose_agreement


@dataclass(frozen=True)
class TrackingOptions:
    """When two sightings are the same person; times in seconds, lengths in body sizes (root of the box area).

    memory_s: how long someone who is lost is remembered;
    min_similarity: least similarity (0 to 1) at which a person keeps the id;
    pose_weight: share of the poses in the similarity, the boxes have the rest;
    drift_per_s: how fast the predicted place becomes uncertain, which widens the gate;
    velocity_time_s: time constant of the remembered velocity;
    duplicate_agreement: OKS above which two ids are taken to sit on the same body.
    """

    memory_s: float = 1.5
    min_similarity: float = 0.25
    pose_weight: float = 0.7
    drift_per_s: float = 1.0
    velocity_time_s: float = 0.2
    duplicate_agreement: float = 0.9

    def __post_init__(self) -> None:
        for name in ("memory_s", "drift_per_s", "velocity_time_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"tracking option {name} is {getattr(self, name)}, but must not be negative")
        for name in ("min_similarity", "pose_weight", "duplicate_agreement"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"tracking option {name} is {getattr(self, name)}, but must lie between 0 and 1")


@dataclass(frozen=True)
class _Memory:
    """The last sighting of each known person, its velocity in pixels per second (N, 2) and its time (N,)."""

    people: People
    velocities_frame: Floats
    seen_s: Floats

    def __getitem__(self, keep: NDArray[np.int64] | NDArray[np.bool_]) -> _Memory:
        return _Memory(self.people[keep], self.velocities_frame[keep], self.seen_s[keep])

    def gaps(self, time_s: float) -> Floats:
        """Seconds since each person was seen (N,); never negative, as time stamps of damaged videos can jump back."""
        return np.maximum(time_s - self.seen_s, 0.0)

    def predicted(self, time_s: float) -> People:
        """Everyone moved on at constant velocity."""
        shifts = (self.velocities_frame * self.gaps(time_s)[:, None]).astype(np.float32)
        boxes = self.people.boxes_frame + np.tile(shifts, 2)
        return People(self.people.ids, boxes, self.people.points_frame + shifts[:, None], self.people.scores)


class IdentityTracker:
    """Gives ids on key frames (`match`) and follows the people in between (`observe`).

    People in sight are matched first, those out of sight get what is left. Ids count up from 0 and are never reused.
    """

    def __init__(self, skeleton: Skeleton = COCO17, options: TrackingOptions | None = None) -> None:
        self.options = options or TrackingOptions()
        # COCO's constants: one standard deviation of a keypoint is 2 sigma body sizes.
        self._spreads = 2 * np.array(skeleton.sigmas)
        self.reset()

    def reset(self) -> None:
        """Forget everyone and count ids from 0 again."""
        nobody = People.nobody(len(self._spreads))
        self._memory = _Memory(nobody, np.zeros((0, 2)), np.zeros(0))
        self._next_id = 0
        self._observed_s = -np.inf

    def forget(self) -> None:
        """Forget everyone, as after a scene cut, but go on counting ids."""
        count = self._next_id
        self.reset()
        self._next_id = count

    def match(
        self,
        boxes_frame: NDArray[np.float32],
        points_frame: NDArray[np.float32],
        scores: NDArray[np.float32],
        time_s: float,
    ) -> NDArray[np.int64]:
        """Ids (M,) of freshly found people: boxes (M, 4), points (M, K, 2), scores (M, K); they are remembered."""
        ids = np.full(len(boxes_frame), -1, np.int64)
        found = People(ids, boxes_frame, points_frame, scores)
        memory = self._remembered(time_s)
        in_sight = memory.seen_s == self._observed_s
        for group in (memory[in_sight], memory[~in_sight]):
            free = np.flatnonzero(ids < 0)
            rows, columns = self._assign(self._similarity(group, found[free], time_s))
            ids[free[columns]] = group.people.ids[rows]
        new = ids < 0
        ids[new] = self._next_id + np.arange(np.count_nonzero(new))
        self.observe(People(ids, boxes_frame, points_frame, scores), time_s)
        return ids

    def observe(self, people: People, time_s: float) -> None:
        """Remember where `people`, whose ids are known, are at `time_s`."""
        old = self._remembered(time_s)
        rows = {int(track): row for row, track in enumerate(old.people.ids)}
        before = np.array([rows.get(int(track), -1) for track in people.ids], np.int64)
        believed = ~self._collapsed(old, people, before, time_s)
        people, before = people[believed], before[believed]
        velocities = np.zeros((len(people), 2))
        known = before >= 0
        velocities[known] = self._velocities(old[before[known]], people[known], time_s)
        sighting = _Memory(people, velocities, np.full(len(people), time_s))
        self._memory = _joined(sighting, old[~np.isin(old.people.ids, people.ids)])
        self._observed_s = time_s
        self._next_id = max(self._next_id, int(people.ids.max(initial=-1)) + 1)

    def _remembered(self, time_s: float) -> _Memory:
        """Everyone in sight, whatever the frame rate, and those who were lost not too long ago."""
        memory = self._memory
        return memory[(memory.seen_s == self._observed_s) | (memory.gaps(time_s) <= self.options.memory_s)]

    def _similarity(self, memory: _Memory, found: People, time_s: float) -> Floats:
        """Similarity (N, M) from 0 to 1 of remembered and found people."""
        gaps = memory.gaps(time_s)
        predicted = memory.predicted(time_s)
        drifts = self.options.drift_per_s * gaps
        agreement, trust = self._agreement(predicted, found, drifts)
        overlap = box_overlap(predicted.boxes_frame, found.boxes_frame, drifts * body_sizes(predicted.boxes_frame))
        weight = self.options.pose_weight * trust
        total = weight + 1 - self.options.pose_weight
        mixed = weight * agreement + (1 - self.options.pose_weight) * overlap
        return np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0)

    def _agreement(self, a: People, b: People, drifts: Floats) -> tuple[Floats, Floats]:
        """OKS (N, M) of two sets of poses, `a` uncertain by `drifts` (N,) body sizes, and its mean weight (N, M)."""
        weights_a = keypoint_weights(a.points_frame, a.scores)
        weights_b = keypoint_weights(b.points_frame, b.scores)
        weights = np.minimum(weights_a[:, None], weights_b[None])
        sizes = np.sqrt(np.multiply.outer(body_sizes(a.boxes_frame), body_sizes(b.boxes_frame)))
        offsets = finite(a.points_frame)[:, None] - finite(b.points_frame)[None]
        distances = np.linalg.norm(offsets, axis=-1) / sizes[..., None]
        spreads = np.hypot(self._spreads, drifts[:, None, None])
        return pose_agreement(distances, weights, spreads), weights.mean(-1)

    def _assign(self, similarity: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the best one-to-one assignment among the pairs inside the gate."""
        if not similarity.size:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        # Imported late: scipy.optimize takes longer to load than everything else here.
        from scipy.optimize import linear_sum_assignment

        inside = similarity >= self.options.min_similarity
        rows, columns = linear_sum_assignment(np.where(inside, similarity, 0.0), maximize=True)
        keep = inside[rows, columns]
        return rows[keep], columns[keep]

    def _velocities(self, old: _Memory, people: People, time_s: float) -> Floats:
        """Velocities (P, 2) of people from their last sightings, smoothed over `velocity_time_s`."""
        before, gaps = old.people, old.gaps(time_s)[:, None]
        weights = np.minimum(
            keypoint_weights(before.points_frame, before.scores), keypoint_weights(people.points_frame, people.scores)
        )[..., None]
        moves = finite(people.points_frame) - finite(before.points_frame)
        centre_moves = (people.boxes_frame.astype(np.float64) - before.boxes_frame).reshape(-1, 2, 2).mean(1)
        total = weights.sum(1)
        move = np.divide((weights * moves).sum(1), total, out=centre_moves, where=total > 0)
        speed = np.divide(move, gaps, out=old.velocities_frame.copy(), where=gaps > 0)
        tau = self.options.velocity_time_s
        share = 1 - np.exp(-gaps / tau) if tau > 0 else np.ones_like(gaps)
        velocities: Floats = old.velocities_frame + share * (speed - old.velocities_frame)
        return velocities

    def _collapsed(self, old: _Memory, people: People, before: NDArray[np.int64], time_s: float) -> NDArray[np.bool_]:
        """Which people (P,) slid onto someone else's body.

        When two slots show the same pose, the one whose own past fits worse is mistaken: a person in front hides it.
        """
        collapsed = np.zeros(len(people), np.bool_)
        if len(people) < 2 or not len(old.people):
            return collapsed
        alike, _ = self._agreement(people, people, np.zeros(len(people)))
        past = old[np.maximum(before, 0)].predicted(time_s)
        # Without drift: being out of sight for long must not make a bad fit look good.
        own = np.diagonal(self._agreement(past, people, np.zeros(len(people)))[0])
        known = before >= 0
        for a, b in np.argwhere(np.triu(alike > self.options.duplicate_agreement, 1)):
            if known[a] and known[b] and not collapsed[a] and not collapsed[b]:
                collapsed[b if own[b] <= own[a] else a] = True
        return collapsed


def _joined(a: _Memory, b: _Memory) -> _Memory:
    people = People(
        np.concatenate([a.people.ids, b.people.ids]),
        np.concatenate([a.people.boxes_frame, b.people.boxes_frame]),
        np.concatenate([a.people.points_frame, b.people.points_frame]),
        np.concatenate([a.people.scores, b.people.scores]),
    )
    velocities = np.concatenate([a.velocities_frame, b.velocities_frame])
    return _Memory(people, velocities, np.concatenate([a.seen_s, b.seen_s]))
