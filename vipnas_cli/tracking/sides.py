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
    most_votes: how many key frames of full score turn even an old belief.
    """

    clear: float = 1.0
    most_votes: float = 12.0

    def __post_init__(self) -> None:
        if not (self.clear > 0 and self.most_votes >= 0):
            raise UsageError(f"side options need clear > 0 and most_votes ≥ 0, not {self}")


class SideVote:
    """Keeps left and right of each person as most key frames saw them, as long as the pose goes on without a gap.

    Key frames vote, as they know nothing of the frames before; followers only have to agree with the frame before.
    """

    def __init__(self, skeleton: Skeleton = COCO17, options: SideOptions = SideOptions()) -> None:
        self.options = options
        self._flipped = np.array(skeleton.flip_order)
        # COCO's constants: one standard deviation of a keypoint is 2 sigma body sizes.
        self._spreads = 2 * np.array(skeleton.sigmas)
        self._parts = _parts(skeleton)
        self.reset()

    def reset(self) -> None:
        """Forget everyone."""
        self._last = People.nobody(len(self._spreads))
        self._votes = np.zeros((0, len(self._parts)))

    def settled(self, people: People, key: bool) -> tuple[People, NDArray[np.int64]]:
        """The people of the next frame with their sides as believed, and where each keypoint came from (P, K)."""
        row_of = {identity: row for row, identity in enumerate(self._last.ids.tolist())}
        rows = np.array([row_of.get(identity, -1) for identity in people.ids.tolist()], np.int64)
        known = rows >= 0
        votes = np.zeros((len(people), len(self._parts)))
        exchanged = np.zeros_like(votes, np.bool_)
        strength = self._strength(people)
        votes[~known] = strength[~known]
        if known.any():
            before = self._votes[rows[known]]
            against, agreeing = self._compared(self._last[rows[known]], people[known])
            before = np.where(against | agreeing, before, DOUBT * before)
            if key:
                change = strength[known] * (agreeing.astype(float) - against)
                before = np.minimum(before + change, self.options.most_votes)
            turned = against & (before <= 0)
            # Whoever turned begins anew with the vote that turned the belief.
            votes[known] = np.where(turned, strength[known], before)
            exchanged[known] = against & ~turned
        of_joint = (exchanged.astype(float) @ self._parts) > 0
        order = np.where(of_joint, self._flipped, np.arange(len(self._flipped)))
        each = np.arange(len(people))[:, None]
        settled = People(people.ids, people.boxes_frame, people.points_frame[each, order], people.scores[each, order])
        self._last, self._votes = settled, votes
        return settled, order

    def _strength(self, people: People) -> Floats:
        """Mean score (P, G) of the joints of each part."""
        weights = keypoint_weights(people.points_frame, people.scores)
        strength: Floats = weights @ self._parts.T / np.maximum(self._parts.sum(1), 1)
        return strength

    def _compared(self, before: People, now: People) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which parts (P, G) clearly fit the frame before with the sides exchanged, and which clearly as they are."""
        weights = np.minimum(
            keypoint_weights(before.points_frame, before.scores), keypoint_weights(now.points_frame, now.scores)
        )
        # The same weights both ways, so that only places decide.
        weights = np.minimum(weights, weights[:, self._flipped])
        places, scale = finite(now.points_frame), body_sizes(now.boxes_frame)[:, None] * self._spreads
        offsets = np.stack([places, places[:, self._flipped]]) - finite(before.points_frame)
        distances = np.minimum(np.sqrt((offsets**2).sum(-1)) / scale, FARTHEST)
        straight, crossed = (weights * distances) @ self._parts.T
        better = (straight - crossed) / np.maximum(weights @ self._parts.T, 1e-9)
        return better > self.options.clear, better < -self.options.clear


def _parts(skeleton: Skeleton) -> Floats:
    """Which keypoints (G, K), 1 or 0, belong to the face, the arms and the legs; keypoints without a side to none."""
    found = np.zeros((3, len(skeleton.keypoints)))
    for pair in skeleton.flip_pairs:
        name = skeleton.keypoints[pair[0]]
        part = 0 if name.endswith(FACE) else 2 if name.endswith(LEGS) else 1
        found[part, list(pair)] = 1
    return found
