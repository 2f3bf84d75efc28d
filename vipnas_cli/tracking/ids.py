"""Who is who: ids that stay with people through key frames and short occlusions.

Shapes: P people, N remembered people, M found people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17, People, Skeleton
from vipnas_cli.tracking.appearance import PARTS, blended_look, look_agreement
from vipnas_cli.tracking.assignment import best_assignment
from vipnas_cli.tracking.memory import Memory, Sighting, nobody_known
from vipnas_cli.tracking.similarity import (
    Floats,
    body_sizes,
    box_overlap,
    covered_share,
    finite,
    keypoint_weights,
    pose_agreement,
)


@dataclass(frozen=True)
class TrackingOptions:
    """When two sightings are the same person; times in seconds, lengths in body sizes (root of the box area).

    memory_s: how long someone who is lost is remembered;
    min_similarity: least similarity (0 to 1) at which a person keeps the id;
    pose_weight: share of the poses in the similarity, the boxes have the rest;
    drift_per_s: how fast the predicted place becomes uncertain, which widens the gate;
    longest_drift_s: for how long it does; after a longer gap somebody far away is somebody else;
    velocity_time_s: time constant of the remembered velocity;
    duplicate_agreement: OKS above which two ids are taken to sit on the same body;
    look_weight: share of the looks, where they are known, in the similarity of people who stand clear;
    doubtful_look_weight: the same for people who were in each other's way since they last stood clear;
    least_look: how alike people must look for a place that only doubt brings within reach;
    strange_look: someone who looks less alike than this is doubtful even when standing clear;
    clear_cover: share of a box that may be common with another's while both stand clear;
    look_time_s: time constant of the remembered looks.
    """

    memory_s: float = 1.5
    min_similarity: float = 0.25
    pose_weight: float = 0.7
    drift_per_s: float = 1.0
    longest_drift_s: float = 3.0
    velocity_time_s: float = 0.2
    duplicate_agreement: float = 0.9
    look_weight: float = 0.3
    doubtful_look_weight: float = 0.7
    least_look: float = 0.5
    strange_look: float = 0.4
    clear_cover: float = 0.1
    look_time_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("memory_s", "drift_per_s", "longest_drift_s", "velocity_time_s", "look_time_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"tracking option {name} is {getattr(self, name)}, but must not be negative")
        shares = ("look_weight", "doubtful_look_weight", "least_look", "strange_look", "clear_cover")
        for name in ("min_similarity", "pose_weight", "duplicate_agreement", *shares):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"tracking option {name} is {getattr(self, name)}, but must lie between 0 and 1")


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
        self._memory = nobody_known(len(self._spreads), len(PARTS))
        self._next_id = 0
        self._observed_s = -np.inf

    def forget(self) -> None:
        """Forget everyone, as after a scene cut, but go on counting ids."""
        count = self._next_id
        self.reset()
        self._next_id = count

    @property
    def knows_one_at_most(self) -> bool:
        """Whether there is at most one person whom somebody found could be."""
        return len(self._memory.ids) < 2

    def match(
        self,
        boxes_frame: NDArray[np.float32],
        points_frame: NDArray[np.float32],
        scores: NDArray[np.float32],
        time_s: float,
        looks: Floats | None = None,
        known: NDArray[np.int64] | None = None,
        may_be_new: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Ids (M,) of freshly found people: boxes (M, 4), points (M, K, 2), scores (M, K); they are remembered.

        `looks` (M, R, 3), see `look_of`, tell apart those who cross; without them place and motion decide. `known`
        (M,) are ids that are certain already, -1 where they are not. Who matches nobody known gets a new id, or -1
        where `may_be_new` (M,) is false, and is forgotten then.
        """
        ids = np.full(len(boxes_frame), -1, np.int64) if known is None else known.copy()
        taken = ids[ids >= 0]
        found = People(ids, boxes_frame, points_frame, scores)
        if looks is None:
            looks = np.full((len(found), len(PARTS), 3), np.nan)
        memory = self._remembered(time_s)
        # Who was lost in a crowd may be the one in sight, and the one in sight the one who is lost.
        in_sight = memory.last.times_s == self._observed_s
        first = in_sight | (memory.doubtful & _any_known(memory.looks))
        open_ids = ~np.isin(memory.ids, taken) if len(taken) else np.ones(len(memory.ids), np.bool_)
        for chosen in (first & open_ids, ~first & open_ids):
            free = np.flatnonzero(ids < 0)
            if not len(free) or not chosen.any():
                continue
            group = memory[chosen]
            rows, columns = best_assignment(*self._similarity(group, found[free], looks[free], time_s))
            ids[free[columns]] = group.ids[rows]
        new = ids < 0 if may_be_new is None else (ids < 0) & may_be_new
        ids[new] = self._next_id + np.arange(np.count_nonzero(new))
        there = np.flatnonzero(ids >= 0)
        self._remember(People(ids, boxes_frame, points_frame, scores)[there], time_s, looks[there])
        return ids

    def observe(self, people: People, time_s: float) -> None:
        """Remember where `people`, whose ids are known, are at `time_s`."""
        self._remember(people, time_s, None)

    def _remember(self, people: People, time_s: float, looks: Floats | None) -> None:
        """Replace the memory of `people`; doubts about who is who end only where `looks` were compared."""
        old = self._remembered(time_s)
        row_of = {track: row for row, track in enumerate(old.ids.tolist())}
        before = np.array([row_of.get(track, -1) for track in people.ids.tolist()], np.int64)
        believed = ~self._collapsed(old.last, people, before, time_s)
        if not believed.all():
            people, before = people[believed], before[believed]
        known = before >= 0
        past = old[before[known]]
        velocities = np.zeros((len(people), 2))
        velocities[known] = self._velocities(past.last, people[known], time_s)
        sighting = Sighting(people, velocities, np.full(len(people), time_s))
        absent = np.ones(len(old.ids), bool)
        absent[before[known]] = False
        others = old[absent]
        clear = self._clear(people, others, time_s)
        certain = clear | ~known
        now = None if looks is None else looks[believed]
        certain[known] &= self._recognised(past, None if now is None else now[known], time_s)
        sure = sighting if certain.all() else _last_certain(sighting, certain, past.certain, known)
        # What someone looks like who appears in a crowd is not known: it may be another's body.
        learnt = np.full((len(people), len(PARTS), 3), np.nan)
        if now is not None:
            learnt[clear] = now[clear]
        learnt[known] = past.looks if now is None else self._learnt(past, now[known], certain[known], time_s)
        self._memory = Memory(sighting, sure, learnt).followed_by(others)
        self._observed_s = time_s
        self._next_id = max(self._next_id, int(people.ids.max(initial=-1)) + 1)

    def _clear(self, people: People, others: Memory, time_s: float) -> NDArray[np.bool_]:
        """Who (P,) is in nobody's way, neither of those in sight nor of those who were lost in a crowd."""
        if len(people) < 2 and not len(others.ids):
            return np.ones(len(people), np.bool_)
        boxes = people.boxes_frame
        if others.doubtful.any():
            hidden = others.last[others.doubtful].predicted(time_s)
            boxes = np.concatenate([boxes, hidden.boxes_frame])
        covered = covered_share(people.boxes_frame, boxes)
        np.fill_diagonal(covered, 0)
        clear: NDArray[np.bool_] = covered.max(1, initial=0) <= self.options.clear_cover
        return clear

    def _recognised(self, past: Memory, looks: Floats | None, time_s: float) -> NDArray[np.bool_]:
        """Whether the looks (P, R, 3) of people speak for their ids (P,); whom doubt has left for long is accepted."""
        known = ~past.doubtful | ~_any_known(past.looks)
        if looks is not None:
            agreement, shared = look_agreement(past.looks, looks)
            alike, compared = np.diagonal(agreement), np.diagonal(shared) > 0
            known = np.where(compared, alike >= self.options.strange_look, known)
        accepted: NDArray[np.bool_] = known | (past.certain.gaps(time_s) > self.options.memory_s)
        return accepted

    def _learnt(self, past: Memory, looks: Floats, certain: NDArray[np.bool_], time_s: float) -> Floats:
        """The looks to remember (P, R, 3): those of before, moved towards the new ones of people who are `certain`."""
        tau = self.options.look_time_s
        gaps = past.last.gaps(time_s)
        share = 1 - np.exp(-gaps / tau) if tau > 0 else np.ones_like(gaps)
        return np.where(certain[:, None, None], blended_look(past.looks, looks, share), past.looks)

    def _remembered(self, time_s: float) -> Memory:
        """Everyone in sight, whatever the frame rate, and those who were lost not too long ago."""
        last = self._memory.last
        return self._memory[(last.times_s == self._observed_s) | (last.gaps(time_s) <= self.options.memory_s)]

    def _similarity(
        self, memory: Memory, found: People, looks: Floats, time_s: float
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Similarity (N, M) from 0 to 1 of remembered and found people, and which pairs can be one person."""
        options = self.options
        fit = self._fit(memory.last, found, memory.last.gaps(time_s), time_s)
        near = fit >= options.min_similarity
        if not np.isfinite(looks).any():
            return fit, near
        alike, shared = look_agreement(memory.looks, looks)
        # An unknown look is neither like nor unlike, so those whose look is known go first.
        unknown = ~_any_known(memory.looks)[:, None] & _any_known(looks)
        alike, shared = np.where(unknown, 0.5, alike), np.where(unknown, 1.0, shared)
        if not shared.any():
            return fit, near
        doubtful = memory.doubtful[:, None] & (shared > 0)
        # The pose of someone who is hidden slides onto who is in front, so motion goes on from where all was certain.
        doubts_s = np.minimum(memory.certain.gaps(time_s), options.memory_s)
        expected = np.where(doubtful, self._fit(memory.certain, found, doubts_s, time_s), 0.0)
        fit = np.maximum(fit, expected)
        near |= (expected >= options.min_similarity) & (alike >= options.least_look) & ~unknown
        weight = shared * np.where(doubtful, options.doubtful_look_weight, options.look_weight)
        return fit + weight * (alike - fit), near

    def _fit(self, sighting: Sighting, found: People, doubts_s: Floats, time_s: float) -> Floats:
        """How well (N, M), from 0 to 1, found people fit where those of a sighting should be, after `doubts_s` (N,)."""
        predicted = sighting.predicted(time_s, self.options.longest_drift_s)
        drifts = self.options.drift_per_s * np.minimum(doubts_s, self.options.longest_drift_s)
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

    def _velocities(self, old: Sighting, people: People, time_s: float) -> Floats:
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

    def _collapsed(self, old: Sighting, people: People, before: NDArray[np.int64], time_s: float) -> NDArray[np.bool_]:
        """Which people (P,) slid onto someone else's body.

        When two slots show the same pose, the one whose own past fits worse is mistaken: a person in front hides it.
        """
        collapsed = np.zeros(len(people), np.bool_)
        if len(people) < 2 or not len(old.people):
            return collapsed
        alike, _ = self._agreement(people, people, np.zeros(len(people)))
        pairs = np.argwhere(np.triu(alike > self.options.duplicate_agreement, 1))
        if not len(pairs):
            return collapsed
        past = old[np.maximum(before, 0)].predicted(time_s)
        # Without drift: being out of sight for long must not make a bad fit look good.
        own = np.diagonal(self._agreement(past, people, np.zeros(len(people)))[0])
        known = before >= 0
        for a, b in pairs:
            if known[a] and known[b] and not collapsed[a] and not collapsed[b]:
                collapsed[b if own[b] <= own[a] else a] = True
        return collapsed


def _last_certain(now: Sighting, certain: NDArray[np.bool_], before: Sighting, known: NDArray[np.bool_]) -> Sighting:
    """The sightings of now where they are `certain` (P,), else those `before`, which are of the `known` (P,) people."""
    rows = np.arange(len(certain))
    # The old sightings stand behind the new ones.
    rows[known] = np.where(certain[known], rows[known], len(certain) + np.arange(np.count_nonzero(known)))
    return now.followed_by(before)[rows]


def _any_known(looks: Floats) -> NDArray[np.bool_]:
    """Which looks (N, R, 3) tell anything (N,)."""
    return np.asarray(np.isfinite(looks).any((1, 2)), np.bool_)
