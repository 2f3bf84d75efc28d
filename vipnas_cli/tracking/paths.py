"""Paths of joints: place and velocity with their own uncertainty, a Kalman filter of constant velocity.

Shapes: P people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.tracking.similarity import Floats

Flags = NDArray[np.bool_]
Ids = NDArray[np.int64]


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
    doubt: a joint below this score may be elsewhere on its path, if it has a peak there with the share `doubt_share` of
    its score, and after doubt_s without having been seen;
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
    doubt: float = 0.8
    doubt_share: float = 0.3
    doubt_s: float = 0.12
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
class Measured:
    """Joints of people as they are seen: points (P, K, 2), their weights and variances `noise` (P, K) in square pixels,
    and the sizes (P, 1) of the bodies."""

    points: Floats
    sizes: Floats
    weights: Floats
    noise: Floats


@dataclass(frozen=True)
class Paths:
    """The paths of people, last seen at times_s (P,): places and velocities (P, K, 2) and their variances (P, K).

    agreed_s (P, K): when a joint was last on its path; rivals (P, K, 2): where one was seen off it, NaN if it was not;
    since_s and evidence (P, K): of that; by_key (P,): whether the key network saw them last.
    """

    ids: Ids
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

    @staticmethod
    def begun(ids: Ids, seen: Measured, time_s: float) -> Paths:
        """Paths that begin at the joints of people with ids (P,) as they are seen."""
        now = np.full(seen.noise.shape, time_s)
        return Paths(
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

    def __getitem__(self, rows: Ids) -> Paths:
        """The paths at an array of indices."""
        return Paths(*(getattr(self, field.name)[rows] for field in fields(self)))

    def updated(self, rows: Flags, other: Paths) -> Paths:
        """The same with the paths of `other` at the joints (P, K)."""
        if not rows.any():
            return self
        chosen = []
        for field in fields(self):
            old, new = getattr(self, field.name), getattr(other, field.name)
            chosen.append(old if old.ndim == 1 else np.where(rows[..., None] if old.ndim == 3 else rows, new, old))
        return Paths(*chosen)

    def followed_by(self, others: Paths) -> Paths:
        """These paths, then those of others."""
        both = ((getattr(self, field.name), getattr(others, field.name)) for field in fields(self))
        return Paths(*(np.concatenate(pair) for pair in both))

    def exchanged(self, ids: Ids, order: Ids) -> Paths:
        """The same where each joint of people with ids (N,) goes on along the path of the joint at `order` (N, K)."""
        rows, people = np.nonzero(self.ids[:, None] == ids)
        values = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value.ndim > 1:
                value = value.copy()
                value[rows] = value[rows[:, None], order[people]]
            values.append(value)
        return Paths(*values)

    def ahead(self, sizes: Floats, time_s: float, options: OutlierOptions) -> tuple[Paths, Floats]:
        """The paths at a later time, and how much later (P, 1); sizes (P, 1) of the bodies."""
        # Time stamps that stand still or jump back teach nothing about speed.
        gaps = np.maximum(time_s - self.times_s, 1e-3)[:, None]
        speed_variance = self.speed_variance + (options.acceleration * sizes * gaps) ** 2
        return replace(
            self,
            times_s=np.full(len(self.ids), time_s),
            places=self.places + self.velocities * gaps[..., None],
            place_variance=self.place_variance + (speed_variance + (options.speed * sizes) ** 2) * gaps**2,
            speed_variance=speed_variance,
        ), gaps

    def after(self, seen: Measured, gaps: Floats, on_path: Flags, by_key: bool, fade_s: float) -> Paths:
        """The paths, which were moved on by gaps (P, 1) in seconds, after joints were seen, where these are `on_path`
        (P, K); fade_s: time constant of the velocity of the others."""
        total = self.place_variance + seen.noise
        gain, speed_gain = self.place_variance / total, self.speed_variance * gaps / total
        velocities, agreed_s = self.velocities, np.broadcast_to(self.times_s[:, None], on_path.shape)
        if not on_path.all():
            gain, speed_gain = np.where(on_path, gain, 0.0), np.where(on_path, speed_gain, 0.0)
            velocities = np.where(on_path, 1.0, np.exp(-gaps / fade_s))[..., None] * velocities
            agreed_s = np.where(on_path, agreed_s, self.agreed_s)
        offsets = seen.points - self.places
        return replace(
            self,
            places=self.places + gain[..., None] * offsets,
            velocities=velocities + speed_gain[..., None] * offsets,
            place_variance=(1 - gain) * self.place_variance,
            speed_variance=(1 - speed_gain * gaps) * self.speed_variance,
            agreed_s=agreed_s,
            by_key=np.full(len(on_path), by_key),
        )


def lengths(offsets: Floats) -> Floats:
    """How long offsets (…, 2) are."""
    squares = offsets * offsets
    found: Floats = np.sqrt(squares[..., 0] + squares[..., 1])
    return found
