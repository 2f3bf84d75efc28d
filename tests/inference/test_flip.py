"""The flip test is a mean over both sides, and the same whichever side comes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vipnas_cli.inference.estimator import Crops, Heatmaps
from vipnas_cli.inference.flip import FlipTestEstimator
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import FAST_BASE, Plan, Schedule


@dataclass(frozen=True)
class Weighing:
    """Heatmap k is the picture, cell by cell, times 1 + k; with previous heatmaps it is those."""

    schedule: Schedule = Schedule((Plan(FAST_BASE),))
    skeleton = COCO17

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        if previous is not None:
            return previous
        cells = crops[:, ::4, ::4, 0].astype(np.float32)
        return cells[:, None] * np.arange(1, 18, dtype=np.float32)[:, None, None]


def one_sided() -> Crops:
    return np.random.default_rng(0).integers(0, 256, (2, 16, 12, 3), np.uint8).repeat(4, 1).repeat(4, 2)


def test_left_and_right_are_exchanged_in_the_mirror() -> None:
    crops = one_sided()
    plain, flipped = Weighing().estimate(0, crops, None), FlipTestEstimator(Weighing()).estimate(0, crops, None)
    nose, left, right = (COCO17.index(name) for name in ("nose", "left_knee", "right_knee"))
    np.testing.assert_array_equal(flipped[:, nose], plain[:, nose])
    np.testing.assert_array_equal(flipped[:, left], (plain[:, left] + plain[:, right]) / 2)
    np.testing.assert_array_equal(flipped[:, right], flipped[:, left])


def test_the_mirrored_crop_has_the_mirrored_answer() -> None:
    crops, estimator = one_sided(), FlipTestEstimator(Weighing())
    mirrored = estimator.estimate(0, crops[:, :, ::-1], None)
    np.testing.assert_array_equal(mirrored[:, list(COCO17.flip_order), :, ::-1], estimator.estimate(0, crops, None))


def test_previous_heatmaps_are_mirrored_along() -> None:
    previous = np.random.default_rng(1).random((2, 17, 16, 12), np.float32)
    found = FlipTestEstimator(Weighing()).estimate(1, one_sided(), previous)
    np.testing.assert_allclose(found, previous, rtol=1e-6)
