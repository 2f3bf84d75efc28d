"""How keypoints moved from one frame to the next: sparse optical flow between small grey crops of a person.

Pyramidal Lucas-Kanade (Bouguet 2001); flow counts where it leads back to where it began (Kalal et al. 2010).
Shapes: K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Image, Numbers, Points, Scores
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
    """A person in grey (H, W), and the transform from the frame to it."""

    transform: CropTransform
    grey: NDArray[np.uint8]

    @staticmethod
    def of(transform: CropTransform, crop: Image) -> View:
        """The view that an RGB crop (H, W, 3) gives."""
        grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
        factor = max(round(transform.height / VIEW_ROWS), 1)
        if factor > 1:
            transform = transform.coarser(factor)
            grey = cv2.resize(grey, (transform.width, transform.height), interpolation=cv2.INTER_AREA)
        return View(transform, np.asarray(grey, np.uint8))

    def seen_by(self, transform: CropTransform) -> NDArray[np.uint8]:
        """The same person as a view of that transform shows the frame; black where this one ends."""
        across = between(self.transform, transform)
        return np.asarray(cv2.warpAffine(self.grey, across, (transform.width, transform.height)), np.uint8)


def keypoint_moves(before: View, now: View, points_frame: Points, scores: Scores) -> Numbers:
    """How far each keypoint moved from one view to the other, (K, 2) in frame pixels; 0 where nothing tells.

    points_frame (K, 2) with scores (K,) are of the frame before. Those whose flow is not trusted move as the median of
    the others.
    """
    start = now.transform.to_crop(points_frame)
    found, trusted = _flow(before.seen_by(now.transform), now.grey, start)
    flow, trusted = (found - start).astype(np.float64), trusted & (scores >= LEAST_SCORE)
    body = median(flow[trusted]) if np.count_nonzero(trusted) >= FEWEST_FOUND else np.zeros(2)
    trusted &= np.linalg.norm(flow - body, axis=1) <= MOST_ALONE
    return np.where(trusted[:, None], flow, body) / now.transform.scale


def _flow(before: NDArray[np.uint8], now: NDArray[np.uint8], points: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where points (K, 2) of a grey picture are in another one, and which (K,) lead back to their beginning."""
    size, start = (WINDOW, WINDOW), np.ascontiguousarray(points, np.float32)[:, None]
    forth, back = (before, now), (now, before)
    ahead, seen, _ = cv2.calcOpticalFlowPyrLK(*forth, start, None, winSize=size, maxLevel=HALVINGS, criteria=_ENOUGH)  # type: ignore[call-overload]
    again, met, _ = cv2.calcOpticalFlowPyrLK(*back, ahead, None, winSize=size, maxLevel=HALVINGS, criteria=_ENOUGH)  # type: ignore[call-overload]
    missed = np.linalg.norm((again - start)[:, 0], axis=1)
    trusted = (seen[:, 0] == 1) & (met[:, 0] == 1) & (missed < ROUND_TRIP)
    return ahead[:, 0], np.asarray(trusted, np.bool_)
