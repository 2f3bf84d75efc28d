"""What a back end has to do, and a double of it for tests.

Shapes: P people, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import COCO17, HeatmapCodec, Skeleton
from vipnas_cli.spec import Plan, Schedule

Crops = NDArray[np.uint8]
Heatmaps = NDArray[np.float32]


class PoseEstimator(Protocol):
    """Networks of a schedule that turn crops into heatmaps."""

    @property
    def schedule(self) -> Schedule:
        """Which plan runs at which position."""
        ...

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints in the order of the heatmaps."""
        ...

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of RGB crops (P, H, W, 3) at a position of the cycle.

        `previous` are the re-aligned heatmaps (P, K, h, w) of the frame before, for plans with fusion.
        """
        ...


@dataclass
class PaintedEstimator:
    """Finds keypoints that a test painted: keypoint k is where red is 10 · (k + 1) and green is full.

    Full green marks the inside of a dot; its blended edge could pass for another keypoint.

    `calls` lists position and number of people of each call.
    """

    plans: tuple[Plan, ...]
    skeleton: Skeleton = COCO17
    calls: list[tuple[int, int]] = field(default_factory=list)

    @property
    def schedule(self) -> Schedule:
        """Which plan runs at which position."""
        return Schedule(self.plans)

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Gaussians at the painted pixels; zeros where a keypoint is not painted."""
        self.calls.append((position, len(crops)))
        arch = self.schedule.plan(position).arch
        codec = HeatmapCodec(arch.height, arch.width)
        found = np.zeros((len(crops), len(self.skeleton.keypoints), codec.rows, codec.columns), np.float32)
        for person, keypoint in np.ndindex(found.shape[:2]):
            red, green = crops[person, :, :, 0].astype(int), crops[person, :, :, 1]
            near = (np.abs(red - 10 * (keypoint + 1)) <= 2) & (green > 250)
            if near.any():
                rows, columns = np.nonzero(near)
                found[person, keypoint] = codec.encode(np.array([columns.mean(), rows.mean()]))
        return found
