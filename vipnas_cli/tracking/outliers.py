"""Joints that leave their path: the next best peak of the heatmap in their place, or where the path leads.

A network now and then takes another place for a joint, for a frame or a few, and comes back. Each joint has a path
(place and velocity, with their own uncertainty: a Kalman filter of constant velocity). What lies on it is left exactly
as the network gives it, so nothing is smoothed. What does not is compared with the rest of its heatmap, and believed
only if it stays: a new path begins there. Followers carry their own errors on, so a path that only they have seen since
the last key frame does not overrule a key network that is sure.
Shapes: P people, K keypoints, N joints of any people, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec, People, Skeleton
from vipnas_cli.tracking.similarity import Floats, body_sizes, finite, keypoint_weights, median

Flags = NDArray[np.bool_]
# Fewer sure joints do not tell how the body moved.
FEWEST_JOINTS = 4
# Of a joint without any score the place is still not unknown altogether.
LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class OutlierOptions:
    """When a joint has left its path; lengths in body sizes (root of the box area), chosen on clips with labels.

    noise: error of a sure joint, in its spread by OKS; speed, acceleration: how fast a path may change unforeseen;
    gate: by how many standard deviations of path and joint together a joint may lie off;
    evidence: sum of the scores, those of followers times `follower`, at which another place is believed, and
    hold_s: how long it has to be seen there at least, follower_hold_s: where it is a follower that sees it;
    coast_s: a path without any joint on it is believed so long;
    least_score: a peak of the heatmap on the path below it is none; sure: a score from which a joint tells about the
    body; certain, alone: scores from which a key network is believed against followers, the second if there is no peak
    on the path; flank: what is nearer to a peak of a key network, in σ of a heatmap, is the same peak;
    together: if a smaller share of the sure joints is on its path, the body has moved, not they; rival_speed: how
    fast another place may move to be the same one; fade_s: time constant of the velocity of a path without joints;
    forget_s: who is away for longer begins anew.
    """

    noise: float = 0.4
    speed: float = 0.5
    acceleration: float = 3.0
    gate: float = 1.6
    evidence: float = 0.7
    follower: float = 0.6
    hold_s: float = 0.03
    follower_hold_s: float = 0.06
    coast_s: float = 0.5
    least_score: float = 0.05
    sure: float = 0.3
    certain: float = 0.9
    alone: float = 0.5
    flank: float = 1.0
    together: float = 0.33
    rival_speed: float = 2.0
    fade_s: float = 0.3
    forget_s: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= 0:
                raise UsageError(
                    f"outlier option {field.name} is {getattr(self, field.name)}, but must not be negative"
                )


@dataclass(frozen=True)
class _Paths:
    """The paths of people, last seen at times_s (P,): places and velocities (P, K, 2) and their variances (P, K).

    agreed_s (P, K): when a joint was last on its path; rivals (P, K, 2): where one was seen off it, NaN if it was not;
    since_s and evidence (P, K): of that; by_key (P,): whether the key network saw them last.
    """

    ids: NDArray[np.int64]
    times_s: Floats
    places: Floats
    velocities: Floats
    place_variance: Floats
    speed_variance: Floats
    agreed_s: Floats
    rivals: Floats
    since_s: Floats
    evidence: Floats
    by_key: Flags

    def __getitem__(self, rows: NDArray[np.int64]) -> _Paths:
        return _Paths(*(getattr(self, field.name)[rows] for field in fields(self)))

    def updated(self, rows: Flags, other: _Paths) -> _Paths:
        """The same with the paths of `other` at the joints (P, K)."""
        if not rows.any():
            return self
        chosen = []
        for field in fields(self):
            old, new = getattr(self, field.name), getattr(other, field.name)
            chosen.append(old if old.ndim == 1 else np.where(rows[..., None] if old.ndim == 3 else rows, new, old))
        return _Paths(*chosen)


@dataclass(frozen=True)
class _Measured:
    """Joints of people as they are seen: points (P, K, 2), their weights and variances `noise` (P, K) in square pixels,
    and the sizes (P, 1) of the bodies."""

    points: Floats
    sizes: Floats
    weights: Floats
    noise: Floats


class JointPaths:
    """Puts joints that left their path back onto it."""

    def __init__(self, skeleton: Skeleton = COCO17, options: OutlierOptions = OutlierOptions()) -> None:
        self.options = options
        self._sigmas, self._flipped = np.array(skeleton.sigmas), np.array(skeleton.flip_order)
        self.reset()

    def reset(self) -> None:
        """Forget everyone."""
        self._paths: _Paths | None = None

    def corrected(
        self,
        people: People,
        heatmaps: NDArray[np.float32],
        transforms: Sequence[CropTransform],
        key: bool,
        time_s: float,
        keep: bool = True,
    ) -> tuple[People, NDArray[np.float32]]:
        """The people of the next frame, given by heatmaps (P, K, h, w) of their crops, each joint on its path.

        The score of a joint that was moved is that of its heatmap in the new place; the heatmap of one that was seen on
        somebody else's body is left with what is on its path. `key`: whether the key network saw them, which knows
        nothing of the frames before. Without `keep` the paths are only asked.
        """
        seen = self._measured(people)
        fresh = _begun(people.ids, seen, time_s)
        before, known = self._before(fresh, time_s)
        ahead, gaps = self._ahead(before, seen.sizes, time_s)
        ahead, off, others, new = self._compared(seen, people.scores, ahead, known)
        turned = np.zeros_like(off)
        if off.any():
            wander = self.options.rival_speed * seen.sizes * gaps
            reach = self.options.gate * np.sqrt(2 * (seen.noise + wander**2))
            weights = seen.weights * (1.0 if key else self.options.follower)
            hold_s = self.options.hold_s if key else self.options.follower_hold_s
            ahead, turned = self._turned(ahead, fresh, off, reach, weights, hold_s)
            turned &= ~others
            off &= ~turned
        elif ahead.evidence.any():
            ahead = replace(ahead, rivals=fresh.rivals, evidence=fresh.evidence)
        on_path = ~off
        if off.any():
            heatmaps = _without_others(heatmaps, transforms, ahead.places, self._gates(ahead, seen), others & off)
            people, seen, on_path, at_once = self._put_back(people, heatmaps, transforms, seen, ahead, off, others, key)
            turned = turned | at_once
        if keep:
            now = self._seen(ahead, seen, gaps, on_path, key)
            self._keep(now.updated(new[:, None] | turned, fresh))
        return people, heatmaps

    def _measured(self, people: People) -> _Measured:
        """The joints of people with what their scores say of their errors."""
        sizes = body_sizes(people.boxes_frame)[:, None]
        weights = np.maximum(keypoint_weights(people.points_frame, people.scores), LEAST_WEIGHT)
        noise = (self.options.noise * self._sigmas * sizes) ** 2 / weights
        return _Measured(finite(people.points_frame), sizes, weights, noise)

    def _gates(self, ahead: _Paths, seen: _Measured) -> Floats:
        """How far (P, K) a joint may be off its path."""
        return np.sqrt(ahead.place_variance + seen.noise) * self.options.gate

    def _compared(
        self, seen: _Measured, scores: NDArray[np.float32], ahead: _Paths, known: Flags
    ) -> tuple[_Paths, Flags, Flags, Flags]:
        """The paths, moved on with the body, the joints (P, K) off them, those on somebody else, and who begins anew.

        scores (P, K); known (P,): who had paths before.
        """
        sure, spreads = scores >= self.options.sure, np.sqrt(ahead.place_variance + seen.noise)
        off = _off(seen.points, ahead.places, spreads * self.options.gate)
        others = off & self._of_others(seen.points, ahead.places, seen.sizes)
        own = sure & ~others
        shift = _common_shift(seen.points - ahead.places, spreads, own)
        if shift.any():
            ahead = replace(ahead, places=ahead.places + shift)
            off = _off(seen.points, ahead.places, spreads * self.options.gate)
        # A body that moved as a whole begins anew, as those do who are new; but not on somebody else's.
        moved = (~off & own).sum(1) < self.options.together * own.sum(1)
        new = ~known | (moved & (others.sum(1) < self.options.together * sure.sum(1)))
        return ahead, off & ~new[:, None], others, new

    def _put_back(
        self,
        people: People,
        heatmaps: NDArray[np.float32],
        transforms: Sequence[CropTransform],
        seen: _Measured,
        ahead: _Paths,
        off: Flags,
        others: Flags,
        key: bool,
    ) -> tuple[People, _Measured, Flags, Flags]:
        """People and joints with those `off` (P, K) at the next peaks on their paths, the joints that are on them then,
        and those that a key network is believed about at once."""
        peaks, peak_scores = _next_peaks(people, heatmaps, transforms, ahead.places, self._gates(ahead, seen), off)
        points, moved_on, at_once = seen.points, off, np.zeros_like(off)
        if key:
            moved_on = off & ~_same_peaks(points, peaks, transforms, self.options.flank)
            at_once = off & ~others & self._overrules(points, people.scores, peak_scores, ahead, seen.sizes)
            off, moved_on = off & ~at_once, moved_on & ~at_once
        points, scores = np.where(off[..., None], peaks, points), np.where(off, peak_scores, people.scores)
        on_path = ~off | (scores >= self.options.least_score)
        points = np.where(on_path[..., None], points, ahead.places)
        noise = np.where(off, seen.noise * seen.weights / np.maximum(scores, LEAST_WEIGHT), seen.noise)
        shown = np.where(moved_on[..., None], points, people.points_frame).astype("f4")
        people = replace(people, points_frame=shown, scores=np.where(moved_on, scores, people.scores))
        return people, replace(seen, points=points, noise=noise), on_path, at_once

    def _overrules(
        self, points: Floats, scores: NDArray[np.float32], rest: NDArray[np.float32], ahead: _Paths, sizes: Floats
    ) -> Flags:
        """Which joints (P, K) off the paths `ahead` are where a key network sees them, as followers made the paths.

        points (P, K, 2) with scores (P, K), of bodies of sizes (P, 1); `rest` (P, K): scores of the peaks on the paths.
        A joint that is where its partner on the other side should be is not, as key networks exchange sides.
        """
        alone = (scores >= self.options.alone) & (rest < self.options.least_score)
        paired = self._flipped != np.arange(len(self._flipped))
        exchanged = paired & (_lengths(points - ahead.places[:, self._flipped]) < 2 * self._sigmas * sizes)
        believed: Flags = ((scores >= self.options.certain) | alone) & ~exchanged & ~ahead.by_key[:, None]
        return believed

    def _of_others(self, points: Floats, places: Floats, sizes: Floats) -> Flags:
        """Which points (P, K, 2) lie where the same joint of somebody else should be, or its partner on the other side.

        places (P, K, 2): where the joints of everyone should be; sizes (P, 1) of the bodies.
        """
        near = np.zeros(points.shape[:2], np.bool_)
        if len(points) < 2:
            return near
        # One standard deviation by OKS.
        reach = 2 * self._sigmas * sizes
        for order in (slice(None), self._flipped):
            alike = _lengths(points[:, None] - places[None, :, order]) < reach
            alike[np.arange(len(points)), np.arange(len(points))] = False
            near |= alike.any(1)
        return near

    def exchange(self, ids: NDArray[np.int64], order: NDArray[np.int64]) -> None:
        """From now on each joint of people with ids (P,) goes on along the path of the joint at `order` (P, K)."""
        if self._paths is None or (order == np.arange(order.shape[1])).all():
            return
        rows, people = np.nonzero(self._paths.ids[:, None] == ids)
        values = []
        for field in fields(self._paths):
            value = getattr(self._paths, field.name)
            if value.ndim > 1:
                value = value.copy()
                value[rows] = value[rows[:, None], order[people]]
            values.append(value)
        self._paths = _Paths(*values)

    def _before(self, fresh: _Paths, time_s: float) -> tuple[_Paths, Flags]:
        """The paths as they were of the people of `fresh`, theirs for those who are new, and who is not (P,)."""
        paths = self._paths
        if paths is None:
            return fresh, np.zeros(len(fresh.ids), np.bool_)
        if np.array_equal(paths.ids, fresh.ids):
            known = time_s - paths.times_s <= self.options.forget_s
        else:
            row_of = {identity: row for row, identity in enumerate(paths.ids.tolist())}
            rows = np.array([row_of.get(identity, -1) for identity in fresh.ids.tolist()], np.int64)
            known = rows >= 0
            known[known] = time_s - paths.times_s[rows[known]] <= self.options.forget_s
            paths = replace(paths[rows], ids=fresh.ids) if known.any() else fresh
        return paths.updated(~known[:, None], fresh), known

    def _ahead(self, before: _Paths, sizes: Floats, time_s: float) -> tuple[_Paths, Floats]:
        """The paths at a later time, and how much later (P, 1); sizes (P, 1)."""
        options = self.options
        # Time stamps that stand still or jump back teach nothing about speed.
        gaps = np.maximum(time_s - before.times_s, 1e-3)[:, None]
        speed_variance = before.speed_variance + (options.acceleration * sizes * gaps) ** 2
        return replace(
            before,
            times_s=np.full(len(before.ids), time_s),
            places=before.places + before.velocities * gaps[..., None],
            place_variance=before.place_variance + (speed_variance + (options.speed * sizes) ** 2) * gaps**2,
            speed_variance=speed_variance,
        ), gaps

    def _turned(
        self, ahead: _Paths, seen: _Paths, off: Flags, reach: Floats, weights: Floats, hold_s: float
    ) -> tuple[_Paths, Flags]:
        """The paths with their rivals, and the joints (P, K) of those `off` that are believed where they are seen.

        seen: paths that begin there; reach (P, K): how far a rival may have moved since the frame before.
        One is believed after hold_s.
        """
        same = _lengths(seen.places - ahead.rivals) < reach
        evidence = np.where(off, np.where(same, ahead.evidence, 0.0) + weights, 0.0)
        since_s = np.where(off & same, ahead.since_s, seen.since_s)
        rivals = np.where(off[..., None], seen.places, np.nan)
        stayed = (evidence >= self.options.evidence) & (seen.agreed_s - since_s >= hold_s)
        turned = off & (stayed | (seen.agreed_s - ahead.agreed_s > self.options.coast_s))
        return replace(ahead, rivals=rivals, since_s=since_s, evidence=evidence), turned

    def _seen(self, ahead: _Paths, seen: _Measured, gaps: Floats, on_path: Flags, by_key: bool) -> _Paths:
        """The paths after joints were seen, where these are `on_path` (P, K); gaps (P, 1) in seconds."""
        total = ahead.place_variance + seen.noise
        gain, speed_gain = ahead.place_variance / total, ahead.speed_variance * gaps / total
        velocities, agreed_s = ahead.velocities, np.broadcast_to(ahead.times_s[:, None], on_path.shape)
        if not on_path.all():
            gain, speed_gain = np.where(on_path, gain, 0.0), np.where(on_path, speed_gain, 0.0)
            velocities = np.where(on_path, 1.0, np.exp(-gaps / self.options.fade_s))[..., None] * velocities
            agreed_s = np.where(on_path, agreed_s, ahead.agreed_s)
        offsets = seen.points - ahead.places
        return _Paths(
            ahead.ids,
            ahead.times_s,
            ahead.places + gain[..., None] * offsets,
            velocities + speed_gain[..., None] * offsets,
            (1 - gain) * ahead.place_variance,
            (1 - speed_gain * gaps) * ahead.speed_variance,
            agreed_s,
            ahead.rivals,
            ahead.since_s,
            ahead.evidence,
            np.full(len(on_path), by_key),
        )

    def _keep(self, now: _Paths) -> None:
        """Remembers the paths of now, and those of people who are away for a short time."""
        if self._paths is not None and len(now.ids) and not np.array_equal(now.ids, self._paths.ids):
            recent = now.times_s[0] - self._paths.times_s <= self.options.forget_s
            others = self._paths[np.flatnonzero(recent & ~np.isin(self._paths.ids, now.ids))]
            both = ((getattr(now, field.name), getattr(others, field.name)) for field in fields(now))
            now = _Paths(*(np.concatenate(pair) for pair in both))
        if len(now.ids):
            self._paths = now


def _begun(ids: NDArray[np.int64], seen: _Measured, time_s: float) -> _Paths:
    """Paths that begin at the joints as they are seen."""
    now = np.full(seen.noise.shape, time_s)
    return _Paths(
        ids,
        now[:, 0],
        seen.points,
        np.zeros_like(seen.points),
        seen.noise,
        np.broadcast_to(seen.sizes**2, seen.noise.shape),
        now,
        np.full_like(seen.points, np.nan),
        now,
        np.zeros_like(seen.noise),
        np.ones(len(ids), np.bool_),
    )


def _off(points: Floats, places: Floats, reach: Floats) -> Flags:
    """Which points (P, K, 2) are farther than reach (P, K) from their places (P, K, 2)."""
    off: Flags = _lengths(points - places) > reach
    return off


def _lengths(offsets: Floats) -> Floats:
    """How long offsets (…, 2) are."""
    squares = offsets * offsets
    lengths: Floats = np.sqrt(squares[..., 0] + squares[..., 1])
    return lengths


def _common_shift(offsets: Floats, spreads: Floats, sure: Flags) -> Floats:
    """How far (P, 1, 2) the sure joints (P, K) are off their paths together, as where a camera pans; else 0."""
    shifts = np.zeros((len(offsets), 1, 2))
    for person in np.flatnonzero(sure.sum(1) >= FEWEST_JOINTS):
        shift = median(offsets[person, sure[person]])
        if np.hypot(*shift) > median(spreads[person]):
            shifts[person, 0] = shift
    return shifts


def _same_peaks(points: Floats, others: Floats, transforms: Sequence[CropTransform], flank: float) -> Flags:
    """Which points (P, K, 2) and others (P, K, 2) are nearer to each other than `flank` times a heatmap's σ."""
    codecs = [HeatmapCodec(transform.height, transform.width) for transform in transforms]
    cells = [codec.sigma * codec.stride / t.scale for codec, t in zip(codecs, transforms, strict=True)]
    same: Flags = _lengths(others - points) < flank * np.array(cells)[:, None]
    return same


def _without_others(
    heatmaps: NDArray[np.float32],
    transforms: Sequence[CropTransform],
    places: Floats,
    reach: Floats,
    joints: Flags,
) -> NDArray[np.float32]:
    """The heatmaps (P, K, h, w) with zeros farther than reach (P, K) from places (P, K, 2) for some joints (P, K)."""
    if not joints.any():
        return heatmaps
    heatmaps = heatmaps.copy()
    for person in np.flatnonzero(joints.any(1)).tolist():
        transform, own = transforms[person], joints[person]
        codec = HeatmapCodec(transform.height, transform.width)
        near = codec.near(transform.to_crop(places[person, own]), transform.scale * reach[person, own]) <= 1
        heatmaps[person, own] *= near
    return heatmaps


def _next_peaks(
    people: People,
    heatmaps: NDArray[np.float32],
    transforms: Sequence[CropTransform],
    places: Floats,
    reach: Floats,
    off: Flags,
) -> tuple[Floats, NDArray[np.float32]]:
    """Points (P, K, 2) and scores (P, K) with the peaks near places (P, K, 2) for the joints that are `off`.

    All crops are of one size.
    """
    points, scores = finite(people.points_frame), people.scores.copy()
    each = [(transforms[person], off[person]) for person in range(len(off))]
    near = np.concatenate([t.to_crop(places[row, joints]) for row, (t, joints) in enumerate(each)])
    within = np.concatenate([t.scale * reach[row, joints] for row, (t, joints) in enumerate(each)])
    codec = HeatmapCodec(transforms[0].height, transforms[0].width)
    found, scores[off] = codec.decode_near(heatmaps[off], near, within)
    ends = np.cumsum(off.sum(1))[:-1]
    for row, ((transform, joints), part) in enumerate(zip(each, np.split(found, ends), strict=True)):
        points[row, joints] = transform.to_frame(part)
    return points, scores
