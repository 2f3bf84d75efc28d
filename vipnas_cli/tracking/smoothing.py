"""The one-euro filter (Casiez, Roussel, Vogel 2012) for all keypoints of all people at once.

Shapes: P people, K keypoints. Time is in seconds and speed in body sizes (root of the box area) per second, so neither
frame rate nor resolution changes the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import People
from vipnas_cli.tracking.similarity import Floats, body_sizes, finite, keypoint_weights


@dataclass(frozen=True)
class SmoothingOptions:
    """How strongly keypoints are smoothed.

    rest_cutoff_hz: cut-off frequency for a keypoint at rest, infinite to leave everything as it is;
    speed_gain: rise of the cut-off, Hz per body size per second, which keeps fast motion free of lag;
    speed_cutoff_hz: cut-off frequency for the speed itself;
    full_score: score from which on a keypoint is believed in full, below it the cut-off falls in proportion;
    forget_s: a keypoint unseen for longer starts anew.
    """

    rest_cutoff_hz: float
    speed_gain: float = 0.0
    speed_cutoff_hz: float = 3.0
    full_score: float = 0.5
    forget_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("rest_cutoff_hz", "speed_cutoff_hz", "full_score"):
            if not getattr(self, name) > 0:
                raise UsageError(f"smoothing option {name} is {getattr(self, name)}, but must be positive")
        for name in ("speed_gain", "forget_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"smoothing option {name} is {getattr(self, name)}, but must not be negative")


OFF = SmoothingOptions(rest_cutoff_hz=math.inf)
LOW = SmoothingOptions(rest_cutoff_hz=2.0, speed_gain=10.0)
HIGH = SmoothingOptions(rest_cutoff_hz=1.0, speed_gain=3.0)
SMOOTHING_PRESETS: Mapping[str, SmoothingOptions] = MappingProxyType({"off": OFF, "low": LOW, "high": HIGH})


@dataclass(frozen=True)
class _Trace:
    """What is known of P people: ids (P,), points and velocities per second (P, K, 2), last sightings (P, K).

    A keypoint never seen has the last sighting -inf.
    """

    ids: NDArray[np.int64]
    points_frame: Floats
    velocities_frame: Floats
    seen_s: Floats

    def __getitem__(self, keep: NDArray[np.bool_]) -> _Trace:
        return _Trace(self.ids[keep], self.points_frame[keep], self.velocities_frame[keep], self.seen_s[keep])

    def of(self, ids: NDArray[np.int64]) -> _Trace:
        """The rows of `ids`, blank for new people."""
        keypoints = self.seen_s.shape[1]
        blank = np.zeros((len(ids), keypoints, 2))
        trace = _Trace(ids, blank, blank.copy(), np.full((len(ids), keypoints), -np.inf))
        rows, own_rows = np.nonzero(ids[:, None] == self.ids)
        trace.points_frame[rows] = self.points_frame[own_rows]
        trace.velocities_frame[rows] = self.velocities_frame[own_rows]
        trace.seen_s[rows] = self.seen_s[own_rows]
        return trace


class Smoother:
    """Smooths the keypoints of each id over time."""

    def __init__(self, options: SmoothingOptions = LOW) -> None:
        self.options = options
        self.reset()

    def reset(self) -> None:
        """Forget all motion."""
        self._trace: _Trace | None = None

    def smooth(self, people: People, time_s: float) -> People:
        """`people` with smoothed points; unknown keypoints (not finite) stay unknown, boxes and scores are kept."""
        if math.isinf(self.options.rest_cutoff_hz):
            return people
        if self._trace is None:
            keypoints = people.scores.shape[1]
            nothing = np.zeros((0, keypoints, 2))
            self._trace = _Trace(np.zeros(0, np.int64), nothing, nothing, np.zeros((0, keypoints)))
        now = self._advanced(self._trace.of(people.ids), people, time_s)
        others = self._trace[~np.isin(self._trace.ids, people.ids)]
        self._trace = _joined(now, others[others.seen_s.max(axis=1, initial=-np.inf) >= time_s - self.options.forget_s])
        known = np.isfinite(people.points_frame).all(-1, keepdims=True)
        return replace(people, points_frame=np.where(known, now.points_frame, np.nan).astype(np.float32))

    def _advanced(self, trace: _Trace, people: People, time_s: float) -> _Trace:
        """The trace of `people` after their points at `time_s`."""
        options, points = self.options, finite(people.points_frame)
        known = np.isfinite(people.points_frame).all(-1)
        belief = np.minimum(keypoint_weights(people.points_frame, people.scores) / options.full_score, 1.0)
        gaps = time_s - trace.seen_s
        fresh = known & (gaps > options.forget_s)
        # Time stamps that stand still or jump back teach nothing about speed.
        gaps = np.where(known & ~fresh, np.maximum(gaps, 0.0), 0.0)
        moves = points - trace.points_frame
        speeds = np.divide(moves, gaps[..., None], out=np.zeros_like(moves), where=(gaps > 0)[..., None])
        share = _share(options.speed_cutoff_hz * belief, gaps)
        velocities = trace.velocities_frame + share[..., None] * (speeds - trace.velocities_frame)
        pace = np.linalg.norm(velocities, axis=-1) / body_sizes(people.boxes_frame)[:, None]
        share = _share((options.rest_cutoff_hz + options.speed_gain * pace) * belief, gaps)
        smoothed = trace.points_frame + share[..., None] * moves
        return _Trace(
            people.ids,
            np.where(fresh[..., None], points, smoothed),
            np.where(fresh[..., None], 0.0, velocities),
            # Without any belief in it a keypoint that is known of was not seen.
            np.where(fresh | (known & (belief > 0)), time_s, trace.seen_s),
        )


def _share(cutoff_hz: Floats, gaps_s: Floats) -> Floats:
    """Share of the new value in a low-pass filter; exact for a constant input, hence independent of the frame rate."""
    return 1 - np.exp(-2 * np.pi * cutoff_hz * gaps_s)


def _joined(a: _Trace, b: _Trace) -> _Trace:
    return _Trace(
        np.concatenate([a.ids, b.ids]),
        np.concatenate([a.points_frame, b.points_frame]),
        np.concatenate([a.velocities_frame, b.velocities_frame]),
        np.concatenate([a.seen_s, b.seen_s]),
    )
