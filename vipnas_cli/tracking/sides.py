"""Left and right over time: nobody turns round between two frames, but a network now and then exchanges the sides.

Shapes: P people, K keypoints, G parts of the body whose sides are exchanged together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17, People, Skeleton
from vipnas_cli.tracking.similarity import Floats, body_sizes, finite, keypoint_weights

FACE, LEGS = ("eye", "ear"), ("hip", "knee", "ankle", "foot")
# Beyond so many standard deviations a joint tells no more about the sides.
FARTHEST = 5.0
# Where sides lie on each other they may be exchanged unseen, so each such frame halves a belief.
DOUBT = 0.5


@dataclass(frozen=True)
class SideOptions:
    """When to believe that sides were exchanged.

    clear: by how many standard deviations of a keypoint (those of OKS) a part must fit better one way than the other;
    most_votes: how many key frames of full score turn even an old belief;
    forget_s: after a longer gap anyone may have turned round, and votes count anew.
    """

    clear: float = 1.0
    most_votes: float = 12.0
    forget_s: float = 1.0

    def __post_init__(self) -> None:
        if not (self.clear > 0 and self.most_votes >= 0 and self.forget_s >= 0):
            raise UsageError(f"side options need clear > 0, most_votes ≥ 0 and forget_s ≥ 0, not {self}")


@dataclass(frozen=True)
class _Seen:
    """What one frame says of its people: ids, places (P, K, 2), weights (P, K) that are the same for both sides of a
    pair, and votes (P, G) for the sides as they are."""

    ids: tuple[int, ...]
    places: Floats
    weights: Floats
    votes: Floats

    def of(self, ids: tuple[int, ...]) -> tuple[NDArray[np.bool_], _Seen]:
        """Whom of `ids` it knows, a mask (P,), and what it says of those, in their order."""
        if ids == self.ids:
            return np.ones(len(ids), np.bool_), self
        row_of = {identity: row for row, identity in enumerate(self.ids)}
        rows = np.array([row_of.get(identity, -1) for identity in ids], np.int64)
        known = rows >= 0
        rows, both = rows[known], tuple(identity for identity in ids if identity in row_of)
        return known, _Seen(both, self.places[rows], self.weights[rows], self.votes[rows])


class SideVote:
    """Keeps left and right of each person as most key frames saw them, as long as the pose goes on without a gap.

    Key frames vote, as they know nothing of the frames before; followers only have to agree with the frame before.
    After `settled`, `turned` (P, K) tells which keypoint each one was before, where sides are believed exchanged.
    """

    def __init__(self, skeleton: Skeleton = COCO17, options: SideOptions = SideOptions()) -> None:
        self.options = options
        self._flipped = np.array(skeleton.flip_order)
        self._straight = np.arange(len(self._flipped))
        # COCO's constants: one standard deviation of a keypoint is 2 sigma body sizes.
        self._spreads = 2 * np.array(skeleton.sigmas)
        self._parts = _parts(skeleton)
        self._of_parts, self._counts = np.ascontiguousarray(self._parts.T), np.maximum(self._parts.sum(1), 1)
        self.reset()

    def reset(self) -> None:
        """Forget everyone."""
        keypoints, parts = self._of_parts.shape
        self.turned, self._time_s = np.zeros((0, keypoints), np.int64), 0.0
        self._last = _Seen((), np.zeros((0, keypoints, 2)), np.zeros((0, keypoints)), np.zeros((0, parts)))

    def settled(self, people: People, key: bool, time_s: float) -> tuple[People, NDArray[np.int64]]:
        """The people of the frame at `time_s`, sides as believed, and where each keypoint came from (P, K)."""
        if time_s - self._time_s > self.options.forget_s:
            self.reset()
        self._time_s = time_s
        ids, places = tuple(people.ids.tolist()), finite(people.points_frame)
        weights = keypoint_weights(people.points_frame, people.scores)
        # The same weights both ways, so that only places decide.
        even = np.minimum(weights, weights[:, self._flipped])
        strength = (weights @ self._of_parts) / self._counts
        known, before = self._last.of(ids)
        votes, exchanged, anew = strength.copy(), np.zeros(strength.shape, np.bool_), np.zeros(strength.shape, np.bool_)
        if known.any():
            sizes = body_sizes(people.boxes_frame)[known]
            against, agreeing = self._compared(before, places[known], even[known], sizes)
            belief = np.where(against | agreeing, before.votes, DOUBT * before.votes)
            if key:
                change = strength[known] * (agreeing.astype(float) - against)
                belief = np.minimum(belief + change, self.options.most_votes)
            turned = against & (belief <= 0)
            # Whoever turned begins anew with the vote that turned the belief.
            votes[known] = np.where(turned, strength[known], belief)
            exchanged[known], anew[known] = against & ~turned, turned
        order, self.turned = self._order(exchanged), self._order(anew)
        if exchanged.any():
            each = np.arange(len(people))[:, None]
            places = places[each, order]
            people = People(
                people.ids, people.boxes_frame, people.points_frame[each, order], people.scores[each, order]
            )
        self._last = _Seen(ids, places, even, votes)
        return people, order

    def _order(self, exchanged: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Where each keypoint (P, K) comes from when the sides of parts (P, G) are exchanged."""
        if not exchanged.any():
            return np.broadcast_to(self._straight, (len(exchanged), len(self._straight)))
        return np.where((exchanged.astype(float) @ self._parts) > 0, self._flipped, self._straight)

    def _compared(
        self, before: _Seen, places: Floats, weights: Floats, sizes: Floats
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which parts (P, G) clearly fit the frame before with the sides exchanged, and which clearly as they are."""
        weights = np.minimum(before.weights, weights)
        offsets = np.stack([places, places[:, self._flipped]]) - before.places
        distances = np.hypot(offsets[..., 0], offsets[..., 1]) / (sizes[:, None] * self._spreads)
        straight, crossed = (weights * np.minimum(distances, FARTHEST)) @ self._of_parts
        better = (straight - crossed) / np.maximum(weights @ self._of_parts, 1e-9)
        return better > self.options.clear, better < -self.options.clear


def _parts(skeleton: Skeleton) -> Floats:
    """Which keypoints (G, K), 1 or 0, belong to the face, the arms and the legs; keypoints without a side to none."""
    found = np.zeros((3, len(skeleton.keypoints)))
    for pair in skeleton.flip_pairs:
        name = skeleton.keypoints[pair[0]]
        part = 0 if name.endswith(FACE) else 2 if name.endswith(LEGS) else 1
        found[part, list(pair)] = 1
    return found
