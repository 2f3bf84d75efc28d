"""The flip test: every crop is also looked at in a mirror, and the two answers are averaged.

Shapes: P people, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vipnas_cli.inference.estimator import Crops, Heatmaps, PoseEstimator
from vipnas_cli.pose import Skeleton
from vipnas_cli.spec import Schedule


@dataclass(frozen=True)
class FlipTestEstimator:
    """An estimator that asks another one twice; it costs twice as much.

    The mirrored crop has exactly the mirrored heatmap here, so nothing has to be shifted by a cell.
    """

    inner: PoseEstimator

    @property
    def schedule(self) -> Schedule:
        """That of the inner estimator."""
        return self.inner.schedule

    @property
    def skeleton(self) -> Skeleton:
        """That of the inner estimator."""
        return self.inner.skeleton

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """The mean of the heatmaps (P, K, h, w) of crops (P, H, W, 3) and of their mirror images."""
        straight = self.inner.estimate(position, crops, previous)
        mirrored_previous = None if previous is None else self._mirrored(previous)
        mirrored = self.inner.estimate(position, np.ascontiguousarray(crops[:, :, ::-1]), mirrored_previous)
        return (straight + self._mirrored(mirrored)) * np.float32(0.5)

    def _mirrored(self, heatmaps: Heatmaps) -> Heatmaps:
        return np.ascontiguousarray(heatmaps[:, list(self.skeleton.flip_order), :, ::-1])
