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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec, People, Skeleton
from vipnas_cli.tracking.paths import Flags, Measured, OutlierOptions, Paths, lengths
from vipnas_cli.tracking.similarity import Floats, body_sizes, finite, keypoint_weights, median

# Fewer sure joints do not tell how the body moved.
FEWEST_JOINTS = 4
# Of a joint without any score the place is still not unknown altogether.
LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class _Frame:
    """People as a network sees them, heatmaps (P, K, h, w) of their crops, what is measured of their joints, and
    whether it was the key network."""

    people: People
    heatmaps: NDArray[np.float32]
    transforms: Sequence[CropTransform]
    seen: Measured
    key: bool


@dataclass(frozen=True)
class _PutBack:
    """People with joints on their paths again and what is measured of them then, the joints (P, K) that are on their
    paths, and those that a key network is believed about at once."""

    people: People
    seen: Measured
    on_path: Flags
    at_once: Flags


class JointPaths:
    """Puts joints that left their path back onto it."""

    def __init__(self, skeleton: Skeleton = COCO17, options: OutlierOptions | None = None) -> None:
        self.options = options or OutlierOptions()
        self._sigmas, self._flipped = np.array(skeleton.sigmas), np.array(skeleton.flip_order)
        self.reset()

    def reset(self) -> None:
        """Forget everyone."""
        self._paths: Paths | None = None

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
        fresh = Paths.begun(people.ids, seen, time_s)
        before, known = self._before(fresh, time_s)
        ahead, gaps = before.ahead(seen.sizes, time_s, self.options)
        ahead, off, others, new = self._compared(seen, people.scores, ahead, known)
        doubted = self._doubted(people.scores, gaps, off | new[:, None])
        if doubted.any():
            frame = _Frame(people, heatmaps, transforms, seen, key)
            people = self._decided(frame, ahead, doubted)
            seen = self._measured(people)
        turned = np.zeros_like(off)
        if off.any():
            ahead, turned = self._turned(ahead, fresh, off, seen, gaps, key)
            turned &= ~others
            off &= ~turned
        elif ahead.evidence.any():
            ahead = replace(ahead, rivals=fresh.rivals, evidence=fresh.evidence)
        on_path = ~off
        if off.any():
            heatmaps = _without_others(heatmaps, transforms, ahead.places, self._gates(ahead, seen), others & off)
            found = self._put_back(_Frame(people, heatmaps, transforms, seen, key), ahead, off, others)
            people, seen, on_path, turned = found.people, found.seen, found.on_path, turned | found.at_once
        if keep:
            now = ahead.after(seen, gaps, on_path, key, self.options.fade_s)
            self._keep(now.updated(new[:, None] | turned, fresh))
        return people, heatmaps

    def _measured(self, people: People) -> Measured:
        """The joints of people with what their scores say of their errors."""
        sizes = body_sizes(people.boxes_frame)[:, None]
        weights = np.maximum(keypoint_weights(people.points_frame, people.scores), LEAST_WEIGHT)
        noise = (self.options.noise * self._sigmas * sizes) ** 2 / weights
        return Measured(finite(people.points_frame), sizes, weights, noise)

    def _gates(self, ahead: Paths, seen: Measured) -> Floats:
        """How far (P, K) a joint may be off its path."""
        return np.sqrt(ahead.place_variance + seen.noise) * self.options.gate

    def _compared(
        self, seen: Measured, scores: NDArray[np.float32], ahead: Paths, known: Flags
    ) -> tuple[Paths, Flags, Flags, Flags]:
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

    def _doubted(self, scores: NDArray[np.float32], gaps: Floats, settled: Flags) -> Flags:
        """The joints (P, K) with such scores that may be elsewhere on their paths, gaps (P, 1) seconds after they were
        seen last; not those that are `settled`."""
        # Within a shorter time, what is remembered of the heatmaps decides better.
        doubted: Flags = (scores < self.options.doubt) & (gaps >= self.options.doubt_s) & ~settled
        return doubted

    def _decided(self, frame: _Frame, ahead: Paths, doubted: Flags) -> People:
        """The people of a frame with the doubted joints (P, K) at the peaks nearer to their paths, where there are
        such."""
        people = frame.people
        peaks, scores = _next_peaks(frame, ahead.places, self._gates(ahead, frame.seen), doubted)
        other = ~_same_peaks(finite(people.points_frame), peaks, frame.transforms, 2 * self.options.flank)
        other &= doubted & (scores >= self.options.doubt_share * people.scores)
        points = np.where(other[..., None], peaks, people.points_frame).astype("f4")
        return replace(people, points_frame=points, scores=np.where(other, scores, people.scores))

    def _put_back(self, frame: _Frame, ahead: Paths, off: Flags, others: Flags) -> _PutBack:
        """The people of a frame with joints `off` (P, K) their paths at the next peaks there; `others` (P, K) are seen
        on somebody else's body."""
        people, seen, transforms = frame.people, frame.seen, frame.transforms
        peaks, peak_scores = _next_peaks(frame, ahead.places, self._gates(ahead, seen), off)
        points, moved_on, at_once = seen.points, off, np.zeros_like(off)
        if frame.key:
            moved_on = off & ~_same_peaks(points, peaks, transforms, self.options.flank)
            at_once = off & ~others & self._overrules(points, people.scores, peak_scores, ahead, seen.sizes)
            off, moved_on = off & ~at_once, moved_on & ~at_once
        points, scores = np.where(off[..., None], peaks, points), np.where(off, peak_scores, people.scores)
        on_path = ~off | (scores >= self.options.least_score)
        points = np.where(on_path[..., None], points, ahead.places)
        noise = np.where(off, seen.noise * seen.weights / np.maximum(scores, LEAST_WEIGHT), seen.noise)
        shown = np.where(moved_on[..., None], points, people.points_frame).astype("f4")
        people = replace(people, points_frame=shown, scores=np.where(moved_on, scores, people.scores))
        return _PutBack(people, replace(seen, points=points, noise=noise), on_path, at_once)

    def _overrules(
        self, points: Floats, scores: NDArray[np.float32], rest: NDArray[np.float32], ahead: Paths, sizes: Floats
    ) -> Flags:
        """Which joints (P, K) off the paths `ahead` are where a key network sees them, as followers made the paths.

        points (P, K, 2) with scores (P, K), of bodies of sizes (P, 1); `rest` (P, K): scores of the peaks on the paths.
        A joint that is where its partner on the other side should be is not, as key networks exchange sides.
        """
        alone = (scores >= self.options.alone) & (rest < self.options.least_score)
        paired = self._flipped != np.arange(len(self._flipped))
        exchanged = paired & (lengths(points - ahead.places[:, self._flipped]) < 2 * self._sigmas * sizes)
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
            alike = lengths(points[:, None] - places[None, :, order]) < reach
            alike[np.arange(len(points)), np.arange(len(points))] = False
            near |= alike.any(1)
        return near

    def exchange(self, ids: NDArray[np.int64], order: NDArray[np.int64]) -> None:
        """From now on each joint of people with ids (P,) goes on along the path of the joint at `order` (P, K)."""
        if self._paths is not None and (order != np.arange(order.shape[1])).any():
            self._paths = self._paths.exchanged(ids, order)

    def _before(self, fresh: Paths, time_s: float) -> tuple[Paths, Flags]:
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

    def _turned(
        self, ahead: Paths, fresh: Paths, off: Flags, seen: Measured, gaps: Floats, key: bool
    ) -> tuple[Paths, Flags]:
        """The paths with their rivals, and the joints (P, K) of those `off` that are believed where they are seen.

        fresh: paths that begin there; gaps (P, 1): seconds since the frame before. A rival may have moved meanwhile.
        """
        wander = self.options.rival_speed * seen.sizes * gaps
        reach = self.options.gate * np.sqrt(2 * (seen.noise + wander**2))
        weights = seen.weights * (1.0 if key else self.options.follower)
        hold_s = self.options.hold_s if key else self.options.follower_hold_s
        same = lengths(fresh.places - ahead.rivals) < reach
        evidence = np.where(off, np.where(same, ahead.evidence, 0.0) + weights, 0.0)
        since_s = np.where(off & same, ahead.since_s, fresh.since_s)
        rivals = np.where(off[..., None], fresh.places, np.nan)
        stayed = (evidence >= self.options.evidence) & (fresh.agreed_s - since_s >= hold_s)
        turned = off & (stayed | (fresh.agreed_s - ahead.agreed_s > self.options.coast_s))
        return replace(ahead, rivals=rivals, since_s=since_s, evidence=evidence), turned

    def _keep(self, now: Paths) -> None:
        """Remembers the paths of now, and those of people who are away for a short time."""
        if self._paths is not None and len(now.ids) and not np.array_equal(now.ids, self._paths.ids):
            recent = now.times_s[0] - self._paths.times_s <= self.options.forget_s
            others = self._paths[np.flatnonzero(recent & ~np.isin(self._paths.ids, now.ids))]
            now = now.followed_by(others)
        if len(now.ids):
            self._paths = now


def _off(points: Floats, places: Floats, reach: Floats) -> Flags:
    """Which points (P, K, 2) are farther than reach (P, K) from their places (P, K, 2)."""
    off: Flags = lengths(points - places) > reach
    return off


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
    same: Flags = lengths(others - points) < flank * np.array(cells)[:, None]
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


def _next_peaks(frame: _Frame, places: Floats, reach: Floats, off: Flags) -> tuple[Floats, NDArray[np.float32]]:
    """Points (P, K, 2) and scores (P, K) with the peaks within reach (P, K) of places (P, K, 2) for the joints that are
    `off`.

    All crops are of one size.
    """
    points, scores = finite(frame.people.points_frame), frame.people.scores.copy()
    each = [(transform, off[person]) for person, transform in enumerate(frame.transforms)]
    near = np.concatenate([t.to_crop(places[row, joints]) for row, (t, joints) in enumerate(each)])
    within = np.concatenate([t.scale * reach[row, joints] for row, (t, joints) in enumerate(each)])
    codec = HeatmapCodec(frame.transforms[0].height, frame.transforms[0].width)
    found, scores[off] = codec.decode_near(frame.heatmaps[off], near, within)
    ends = np.cumsum(off.sum(1))[:-1]
    for row, ((transform, joints), part) in enumerate(zip(each, np.split(found, ends), strict=True)):
        points[row, joints] = transform.to_frame(part)
    return points, scores
