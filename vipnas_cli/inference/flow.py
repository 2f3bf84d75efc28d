"""How keypoints moved from one frame to the next: sparse optical flow between small grey crops of a person.

Pyramidal Lucas-Kanade (Bouguet 2001); flow counts where it leads back to where it began (Kalal et al. 2010).
Shapes: P people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Flags, Image, Numbers, Points, Scores
from vipnas_cli.pose import CropTransform, between
from vipnas_cli.tracking.similarity import median

# Views are about so high, as joints are found to a pixel of them and larger ones take longer.
VIEW_ROWS = 128
# The side of the square around a keypoint that is looked for, and how often views are halved to find what moves far.
WINDOW, HALVINGS = 9, 2
# Flow forth and back may miss its beginning by so many pixels of the view.
ROUND_TRIP = 1.5
# A keypoint that leaves the others behind by more pixels of the view was taken for another one that looks like it.
MOST_ALONE = 16.0
# Keypoints below this score may be anywhere.
LEAST_SCORE = 0.2
# Fewer that are found do not tell how the body moved.
FEWEST_FOUND = 4
_ENOUGH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)


@dataclass(frozen=True)
class View:
    """A person in grey, as an RGB crop (H, W, 3) and the transform to it show them; made when it is asked for."""

    of_crop: CropTransform
    crop: Image

    @cached_property
    def transform(self) -> CropTransform:
        """From the frame to the grey picture."""
        factor = max(round(self.of_crop.height / VIEW_ROWS), 1)
        return self.of_crop.coarser(factor) if factor > 1 else self.of_crop

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """The picture (H, W)."""
        grey, size = cv2.cvtColor(self.crop, cv2.COLOR_RGB2GRAY), (self.transform.width, self.transform.height)
        if self.transform is not self.of_crop:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey, np.uint8)

    def seen_by(self, transform: CropTransform) -> NDArray[np.uint8]:
        """The same person as a view of that transform shows the frame; black where this one ends."""
        across = between(self.transform, transform)
        return np.asarray(cv2.warpAffine(self.grey, across, (transform.width, transform.height)), np.uint8)


@dataclass(frozen=True)
class Moves:
    """How keypoints moved from one frame to the next: `frame` (…, K, 2) in pixels, `ways` (…, K) as shares of the
    crop's height; `seen` (…, K): what moved on its own flow, not with the body."""

    frame: Numbers
    ways: Numbers
    seen: Flags

    @staticmethod
    def of(people: Sequence[Moves]) -> Moves:
        """Those of P people, one at least."""
        frames, ways, seen = zip(*((each.frame, each.ways, each.seen) for each in people), strict=True)
        return Moves(np.stack(frames), np.stack(ways), np.stack(seen))


def keypoint_moves(before: View, now: View, points_frame: Points, scores: Scores) -> Moves:
    """How far each keypoint moved from one view to the other; 0 where nothing tells.

    points_frame (K, 2) with scores (K,) are of the frame before. Those whose flow is not trusted move as the median of
    the others.
    """
    start = now.transform.to_crop(points_frame)
    found, trusted = _flow(before.seen_by(now.transform), now.grey, start)
    flow, trusted = (found - start).astype(np.float64), trusted & (scores >= LEAST_SCORE)
    body = median(flow[trusted]) if np.count_nonzero(trusted) >= FEWEST_FOUND else np.zeros(2)
    trusted &= np.linalg.norm(flow - body, axis=1) <= MOST_ALONE
    moves = np.where(trusted[:, None], flow, body)
    return Moves(moves / now.transform.scale, np.linalg.norm(moves, axis=1) / now.transform.height, trusted)


def _flow(before: NDArray[np.uint8], now: NDArray[np.uint8], points: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where points (K, 2) of a grey picture are in another one, and which (K,) lead back to their beginning."""
    size, start = (WINDOW, WINDOW), np.ascontiguousarray(points, np.float32)[:, None]
    forth, back = (before, now), (now, before)
    ahead, seen, _ = cv2.calcOpticalFlowPyrLK(*forth, start, None, winSize=size, maxLevel=HALVINGS, criteria=_ENOUGH)  # type: ignore[call-overload]
    again, met, _ = cv2.calcOpticalFlowPyrLK(*back, ahead, None, winSize=size, maxLevel=HALVINGS, criteria=_ENOUGH)  # type: ignore[call-overload]
    missed = np.linalg.norm((again - start)[:, 0], axis=1)
    trusted = (seen[:, 0] == 1) & (met[:, 0] == 1) & (missed < ROUND_TRIP)
    return ahead[:, 0], np.asarray(trusted, np.bool_)
