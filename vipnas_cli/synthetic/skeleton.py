"""The jointed skeleton of a synthetic person: bones, proportions and forward kinematics.

A body's own axes are x to its left, y up, z to where it faces; the world's are x right, y up, z towards the
viewer, in metres with the floor at y = 0. So a body that is turned by 0 faces the viewer.
Shapes: J bones, K keypoints of COCO17.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import COCO17

Reals = NDArray[np.float64]


class Bone(IntEnum):
    """The bones, parents before children; a bone's origin is the joint at its upper end."""

    PELVIS = 0
    ABDOMEN = 1
    CHEST = 2
    NECK = 3
    HEAD = 4
    LEFT_CLAVICLE = 5
    LEFT_UPPER_ARM = 6
    LEFT_FOREARM = 7
    LEFT_HAND = 8
    RIGHT_CLAVICLE = 9
    RIGHT_UPPER_ARM = 10
    RIGHT_FOREARM = 11
    RIGHT_HAND = 12
    LEFT_THIGH = 13
    LEFT_SHIN = 14
    LEFT_FOOT = 15
    RIGHT_THIGH = 16
    RIGHT_SHIN = 17
    RIGHT_FOOT = 18


BONES = len(Bone)
PARENTS = (-1, 0, 1, 2, 3, 2, 5, 6, 7, 2, 9, 10, 11, 0, 13, 14, 0, 16, 17)
# The bone that takes the place of each bone in a mirrored body.
MIRRORED = tuple(Bone[b.name.replace("LEFT", "?").replace("RIGHT", "LEFT").replace("?", "RIGHT")].value for b in Bone)

# Joint positions in the parent's frame as parts of the body height, after common anthropometric tables.
_OFFSETS = {
    Bone.ABDOMEN: (0.0, 0.06, -0.004),
    Bone.CHEST: (0.0, 0.10, 0.0),
    Bone.NECK: (0.0, 0.155, -0.006),
    Bone.HEAD: (0.0, 0.045, 0.008),
    Bone.LEFT_CLAVICLE: (0.02, 0.122, 0.0),
    Bone.LEFT_UPPER_ARM: (0.083, 0.0, -0.006),
    Bone.LEFT_FOREARM: (0.0, -0.175, 0.0),
    Bone.LEFT_HAND: (0.0, -0.150, 0.0),
    Bone.LEFT_THIGH: (0.056, 0.0, 0.0),
    Bone.LEFT_SHIN: (0.0, -0.245, 0.0),
    Bone.LEFT_FOOT: (0.0, -0.240, 0.0),
}
# The sign of a flexion about x that moves the limb as anatomy counts it, and of abduction and outward twist.
_FLEXION = np.array([1, 1, 1, 1, 1, 1, -1, -1, -1, 1, -1, -1, -1, -1, 1, -1, -1, 1, -1], np.float64)
_OUTWARD = np.array([1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, -1, -1, -1], np.float64)
_TWIST = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, -1, -1, -1], np.float64)

# The face's keypoints in the head's frame, as parts of the body height.
NOSE = (0.0, 0.0375, 0.0775)
LEFT_EYE = (0.0178, 0.0565, 0.0620)
LEFT_EAR = (0.0495, 0.0450, 0.0020)
# Annotators put the ankle on the bulge of the shin bone, above the joint that turns the foot.
_ANKLE_RISE = 0.020
_LIMB_KEYPOINTS = (6, 10, 7, 11, 8, 12, 13, 16, 14, 17, 15, 18)


@dataclass(frozen=True)
class Proportions:
    """A person's measures: height in metres, the others as factors around 1; `feminine` in 0-1 shapes the torso."""

    height: float = 1.75
    bulk: float = 1.0
    feminine: float = 0.5
    head: float = 1.0
    legs: float = 1.0
    arms: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0

    @cached_property
    def offsets(self) -> Reals:
        """Joint positions (J, 3) in the parents' frames, in metres."""
        offsets = np.zeros((BONES, 3))
        for bone, offset in _OFFSETS.items():
            offsets[bone] = offset
        offsets[[Bone.LEFT_SHIN, Bone.LEFT_FOOT]] *= self.legs
        offsets[[Bone.LEFT_FOREARM, Bone.LEFT_HAND]] *= self.arms
        offsets[Bone.LEFT_UPPER_ARM] *= self.shoulders
        offsets[Bone.LEFT_THIGH] *= self.hips
        for bone in Bone:
            if bone.name.startswith("RIGHT"):
                offsets[bone] = offsets[MIRRORED[bone]] * (-1.0, 1.0, 1.0)
        return offsets * self.height


@dataclass(frozen=True)
class Pose:
    """Joint angles (J, 3) in radians: flexion, abduction, outward twist; `lift` is metres above the floor.

    The pelvis has pitch forward, roll and the heading of the whole body instead.
    """

    angles: Reals
    lift: float = 0.0

    def blended(self, other: Pose, share: float) -> Pose:
        """The pose a part `share` (0-1) of the way to `other`; the heading takes the shorter way round."""
        change = other.angles - self.angles
        change[Bone.PELVIS] = (change[Bone.PELVIS] + np.pi) % (2 * np.pi) - np.pi
        return Pose(self.angles + share * change, self.lift + share * (other.lift - self.lift))

    def mirrored(self) -> Pose:
        """The same pose with left and right exchanged."""
        angles = self.angles[list(MIRRORED)].copy()
        angles[: Bone.LEFT_CLAVICLE, 1:] *= -1.0
        return Pose(angles, self.lift)

    def facing(self, heading: float) -> Pose:
        """The same pose turned to `heading`, radians; 0 faces the viewer, positive turns to the person's left."""
        angles = self.angles.copy()
        angles[Bone.PELVIS, 2] = heading
        return Pose(angles, self.lift)


@dataclass(frozen=True)
class Posture:
    """Where each bone is in the world: origins (J, 3) in metres and rotations (J, 3, 3)."""

    origins: Reals
    rotations: Reals

    def moved(self, shift: Reals) -> Posture:
        """The same posture elsewhere; `shift` (3,) in metres."""
        return Posture(self.origins + shift, self.rotations)


def posture_of(pose: Pose, proportions: Proportions) -> Posture:
    """Forward kinematics with the pelvis at the world's origin."""
    offsets = proportions.offsets
    local = _rotations(_with_shoulder_girdle(pose.angles))
    origins = np.zeros((BONES, 3))
    rotations = np.empty((BONES, 3, 3))
    rotations[0] = local[0]
    for bone in range(1, BONES):
        parent = PARENTS[bone]
        origins[bone] = origins[parent] + rotations[parent] @ offsets[bone]
        rotations[bone] = rotations[parent] @ local[bone]
    return Posture(origins, rotations)


def keypoints_of(posture: Posture, proportions: Proportions) -> Reals:
    """The COCO17 keypoints (K, 3) in metres."""
    size = proportions.height * proportions.head
    mirror = np.array([-1.0, 1.0, 1.0])
    face = np.array([NOSE, LEFT_EYE, LEFT_EYE * mirror, LEFT_EAR, LEFT_EAR * mirror]) * size
    points = np.empty((len(COCO17.keypoints), 3))
    points[:5] = posture.origins[Bone.HEAD] + face @ posture.rotations[Bone.HEAD].T
    points[5:] = posture.origins[list(_LIMB_KEYPOINTS)]
    points[-2:] += posture.rotations[[Bone.LEFT_SHIN, Bone.RIGHT_SHIN], :, 1] * _ANKLE_RISE * proportions.height
    return points


def _with_shoulder_girdle(angles: Reals) -> Reals:
    """Raised arms lift the collar bones, as the shoulder blade does in a living body."""
    angles = angles.copy()
    for clavicle in (Bone.LEFT_CLAVICLE, Bone.RIGHT_CLAVICLE):
        flexion, abduction = angles[clavicle + 1, :2]
        elevation = np.arccos(np.clip(np.cos(flexion) * np.cos(abduction), -1.0, 1.0))
        rise = 0.2 * max(0.0, elevation - 0.6)
        angles[clavicle, 1] += rise
        # The arm itself keeps its direction.
        angles[clavicle + 1, 1] -= rise
    return angles


def _rotations(angles: Reals) -> Reals:
    """Rotation matrices (J, 3, 3): twist first, then flexion, then abduction; the pelvis turns last of all."""
    x = angles[:, 0] * _FLEXION
    z = angles[:, 1] * _OUTWARD
    y = angles[:, 2] * _TWIST
    about = np.zeros((3, BONES, 3, 3))
    for turn, angle, (a, b) in zip(about, (x, y, z), ((1, 2), (2, 0), (0, 1)), strict=True):
        turn[:, 3 - a - b, 3 - a - b] = 1.0
        turn[:, a, a] = turn[:, b, b] = np.cos(angle)
        turn[:, b, a] = np.sin(angle)
        turn[:, a, b] = -turn[:, b, a]
    about_x, about_y, about_z = about
    rotations = about_z @ about_x @ about_y
    rotations[Bone.PELVIS] = about_y[0] @ about_x[0] @ about_z[0]
    return rotations
