"""Percentage of correct keypoints, measured in sizes of the person.

Shapes: N people, K keypoints, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import Skeleton

Numbers = NDArray[np.floating]
Floats = NDArray[np.float64]

LIMB_JOINTS = tuple(
    f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
PCK_THRESHOLDS = (0.2, 0.1, 0.05)


def limb_sizes(points: Numbers, labelled: NDArray[np.bool_]) -> Floats:
    """Longer side in pixels (N,) of the tight box around the labelled points (N, K, 2) of each person.

    It is 0 without any and around a single one, which does not tell how large a person is. Give the limb joints only:
    face and head points are not part of this size.
    """
    seen = labelled[..., None]
    low = np.where(seen, points, np.inf).min(1)
    high = np.where(seen, points, -np.inf).max(1)
    sides: Floats = np.maximum((high - low).max(1), 0.0)
    return sides


def limbs_of(skeleton: Skeleton) -> list[int]:
    """The indices of the 12 limb joints."""
    return [skeleton.index(name) for name in LIMB_JOINTS]


def limb_pck(
    points_true: Numbers,
    points_predicted: Numbers,
    labelled: NDArray[np.bool_],
    skeleton: Skeleton,
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> Floats:
    """PCK in percent (T,) of the labelled limb joints, in the longer side of the box around those of a person.

    points (N, K, 2) and labelled (N, K) are of all keypoints of the skeleton. Who has a single labelled limb joint has
    no size and is left out; NaN where nobody has one.
    """
    limbs = limbs_of(skeleton)
    true, seen = points_true[:, limbs], labelled[:, limbs]
    return pck(true, points_predicted[:, limbs], seen, limb_sizes(true, seen), thresholds)


def pck(
    points_true: Numbers,
    points_predicted: Numbers,
    labelled: NDArray[np.bool_],
    sizes: Numbers,
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> Floats:
    """Percentage (T,) of the labelled keypoints whose error is at most threshold times size; NaN without any.

    points (N, K, 2), labelled (N, K), sizes (N,) in pixels. A prediction that is not finite is wrong. People of size 0
    are left out: nothing tells how far is near for them.
    """
    labelled = labelled & (sizes > 0)[:, None]
    if not labelled.any():
        return np.full(len(thresholds), np.nan)
    errors = np.linalg.norm(points_predicted.astype(np.float64) - points_true, axis=-1)[labelled]
    reach = np.broadcast_to(sizes[:, None], labelled.shape)[labelled]
    return np.array([100 * np.mean(errors <= threshold * reach) for threshold in thresholds])
