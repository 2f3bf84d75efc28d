"""Angles of joints in the picture plane, in degrees.

An angle between two arms has its vertex at the joint and lies in 0 to 180. The lean of the trunk, in -180 to 180, is
that of the line from the middle of the hips to the middle of the shoulders against the vertical of the picture: 0 is
upright, positive is with the shoulders right of the hips.
Shapes: K keypoints, A angles, `...` any leading ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose.people import are_sure
from vipnas_cli.pose.skeletons import Skeleton

Degrees = NDArray[np.float64]

# What each angle is between: the vertex stands in the middle.
ARMS = {
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("elbow", "shoulder", "hip"),
    "hip": ("shoulder", "hip", "knee"),
    "knee": ("hip", "knee", "ankle"),
    "ankle": ("knee", "ankle", "big_toe"),
}
TRUNK_LEAN = "trunk_lean"
TRUNK = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")


@dataclass(frozen=True)
class JointAngle:
    """An angle by name and side (left, right or middle), and the keypoints that it needs, by number."""

    name: str
    side: str
    needs: tuple[int, ...]

    @property
    def title(self) -> str:
        """As people say it: left knee."""
        return f"{self.side} {self.name}".removeprefix("middle ").replace("_", " ")

    def degrees(self, points: NDArray[np.floating]) -> Degrees:
        """The angle (...) in points (..., K, 2), x to the right and y down; nan where an arm has no length."""
        used = points[..., self.needs, :].astype(np.float64)
        if self.name == TRUNK_LEAN:
            arm = used[..., 2:, :].mean(axis=-2) - used[..., :2, :].mean(axis=-2)
            lean = np.degrees(np.arctan2(arm[..., 0], -arm[..., 1]))
            return np.where((arm != 0).any(axis=-1), lean, np.nan)
        first, second = used[..., 0, :] - used[..., 1, :], used[..., 2, :] - used[..., 1, :]
        cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
        angle = np.degrees(np.arctan2(np.abs(cross), (first * second).sum(axis=-1)))
        return np.where((first != 0).any(axis=-1) & (second != 0).any(axis=-1), angle, np.nan)


@lru_cache
def angles_of(skeleton: Skeleton) -> tuple[JointAngle, ...]:
    """The angles that a skeleton has the keypoints for; that of the ankle needs toes, which COCO's 17 have not."""
    numbers = {name: number for number, name in enumerate(skeleton.keypoints)}
    found = [
        JointAngle(name, side, tuple(numbers[f"{side}_{joint}"] for joint in arms))
        for name, arms in ARMS.items()
        for side in ("left", "right")
        if all(f"{side}_{joint}" in numbers for joint in arms)
    ]
    if all(name in numbers for name in TRUNK):
        found.append(JointAngle(TRUNK_LEAN, "middle", tuple(numbers[name] for name in TRUNK)))
    return tuple(found)


def joint_angles(points: NDArray[np.floating], scores: NDArray[np.floating], skeleton: Skeleton) -> Degrees:
    """All angles (..., A) of poses with points (..., K, 2) and scores (..., K); nan where a keypoint is unsure."""
    columns, sure = [], are_sure(scores)
    for angle in angles_of(skeleton):
        columns.append(np.where(sure[..., angle.needs].all(axis=-1), angle.degrees(points), np.nan))
    return np.stack(columns, axis=-1) if columns else np.zeros((*scores.shape[:-1], 0))
