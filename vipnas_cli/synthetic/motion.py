"""Random poses and motions of synthetic people, as joint-angle curves.

Angles in the tables are degrees: (flexion, abduction, outward twist); the pelvis has (pitch forward, roll, heading).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from vipnas_cli.synthetic.poses import KEY_POSES, Table, arms, limited, pose_from
from vipnas_cli.synthetic.skeleton import BONES, Bone, Pose, Reals

Motion = Literal["stand", "walk", "run", "wave", "jumping_jack", "squat", "kick", "throw"]


def random_pose(generator: np.random.Generator) -> Pose:
    """A pose between two key poses, shaken within the limits of the joints; the heading is 0."""
    names = list(KEY_POSES)
    calm = generator.random() < 0.35
    first, second = (pose_from(KEY_POSES[names[generator.integers(14 if calm else len(names))]]) for _ in range(2))
    if generator.random() < 0.5:
        second = second.mirrored()
    # Close to a key pose most of the time: midway between two, bodies often look undecided.
    pose = first.blended(second, float(generator.beta(0.6, 1.8)))
    if generator.random() < 0.5:
        pose = pose.mirrored()
    shaken = pose.angles + generator.normal(0.0, 1.0, (BONES, 3)) * _looseness()
    if generator.random() < 0.25:
        for upper_arm in (Bone.LEFT_UPPER_ARM, Bone.RIGHT_UPPER_ARM):
            low, high = ((-40, -5, -60), (90, 150, 80)) if generator.random() < 0.6 else ((90, -45, -60), (172, 10, 60))
            shaken[upper_arm] = np.radians(generator.uniform(low, high))
            shaken[upper_arm + 1, 0] = np.radians(generator.uniform(0.0, 140.0))
    airborne = generator.random() < 0.12 and abs(shaken[Bone.PELVIS, 0]) < 0.9
    return Pose(limited(shaken), float(generator.uniform(0.03, 0.35)) if airborne else 0.0)


def moving_pose(motion: Motion, phase: float) -> Pose:
    """The pose of a motion at `phase`, which counts its cycles (steps of both legs, jumps, waves); the heading is 0."""
    turn = phase % 1.0
    match motion:
        case "walk":
            return _gait(turn, _WALK)
        case "run":
            return _gait(turn, _RUN)
        case "wave":
            swing = float(np.sin(2 * np.pi * phase))
            return pose_from(
                {
                    "right_upper_arm": (12, 98 + 4 * swing, 80),
                    "right_forearm": (70 + 32 * swing, 0, 0),
                    "head": (0, 4 * swing, 0),
                }
            )
        case "jumping_jack":
            rise = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
            pose = pose_from(KEY_POSES["stand"]).blended(
                pose_from(KEY_POSES["star"] | arms((15, 165, 20), (15, 165, 20), (12, 12))), float(rise)
            )
            return Pose(pose.angles, 0.10 * float(np.sin(2 * np.pi * phase) ** 2))
        case "squat":
            return _between(("stand", "squat"), turn)
        case "kick":
            return _between(("stand", "backswing", "kick"), turn)
        case "throw":
            return _between(("stand", "pitch", "release"), turn)
        case _:
            sway = float(np.sin(2 * np.pi * phase))
            return pose_from({"chest": (2 * sway, 0, 0), "head": (0, 0, 8 * sway)})


def stride_of(motion: Motion, height: float) -> float:
    """The way that one cycle of a gait covers, in metres; 0 for what is done on the spot."""
    return {"walk": 0.80, "run": 1.25}.get(motion, 0.0) * height


# One cycle of the left leg from heel strike, in degrees at twelve even moments: hip, knee, ankle, then pelvis pitch,
# arm swing, elbow, and the height of the flight.
_WALK = (
    (30, 27, 20, 11, 2, -6, -11, -3, 14, 27, 33, 32),
    (4, 15, 17, 12, 7, 6, 14, 40, 60, 50, 24, 5),
    (0, -4, 2, 7, 10, 10, -2, -16, -8, 0, 2, 2),
    (4, 22, 22, 0.0),
)
_RUN = (
    (38, 32, 18, 2, -10, -14, 2, 28, 50, 58, 54, 44),
    (18, 38, 40, 28, 18, 25, 68, 100, 108, 88, 48, 20),
    (5, 15, 20, 5, -20, -28, -15, -5, 0, 5, 5, 5),
    (12, 42, 90, 0.05),
)
Gait = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, float, float, float]]


def _gait(turn: float, gait: Gait) -> Pose:
    hip, knee, ankle, (pitch, swing, elbow, flight) = gait
    table: Table = {"pelvis": (pitch, 0, 0), "head": (-pitch / 2, 0, 0)}
    for side, moment in (("left", turn), ("right", turn + 0.5)):
        table[f"{side}_thigh"] = (_cyclic(hip, moment), 0, 5)
        table[f"{side}_shin"] = (_cyclic(knee, moment), 0, 0)
        table[f"{side}_foot"] = (_cyclic(ankle, moment), 0, 0)
        # Each arm swings with the other leg.
        ahead = -np.cos(2 * np.pi * moment)
        table[f"{side}_upper_arm"] = (swing * (ahead - 0.1), 9, -10 if elbow > 60 else 0)
        table[f"{side}_forearm"] = (elbow + 0.25 * elbow * ahead, 0, 0)
    twist = 7.0 * np.cos(2 * np.pi * turn)
    table |= {"abdomen": (0, 0, twist), "chest": (2, 0, twist), "neck": (0, 0, -twist)}
    airborne = max(0.0, float(np.sin(4 * np.pi * (turn - 0.36))))
    return Pose(pose_from(table).angles, flight * airborne)


def _cyclic(values: tuple[float, ...], turn: float) -> float:
    """A smooth periodic curve (Catmull-Rom) through evenly spaced values."""
    place = turn * len(values)
    i, t = int(np.floor(place)), place % 1.0
    a, b, c, d = (values[(i + k) % len(values)] for k in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _between(names: tuple[str, ...], turn: float) -> Pose:
    """The cycle through key poses, slow at each of them."""
    place = turn * len(names)
    i, t = int(place), place % 1.0
    first, second = pose_from(KEY_POSES[names[i]]), pose_from(KEY_POSES[names[(i + 1) % len(names)]])
    return first.blended(second, t * t * (3.0 - 2.0 * t))


def _looseness() -> Reals:
    """Standard deviations (J, 3) of random deviations from a key pose, radians."""
    degrees = np.full((BONES, 3), 5.0)
    degrees[Bone.LEFT_UPPER_ARM : Bone.LEFT_FOREARM + 1] = degrees[Bone.RIGHT_UPPER_ARM : Bone.RIGHT_FOREARM + 1] = 13.0
    degrees[[Bone.LEFT_THIGH, Bone.RIGHT_THIGH]] = (10.0, 6.0, 6.0)
    degrees[[Bone.LEFT_SHIN, Bone.RIGHT_SHIN], 0] = 10.0
    degrees[[Bone.NECK, Bone.HEAD]] = (9.0, 5.0, 18.0)
    degrees[Bone.PELVIS] = (6.0, 4.0, 0.0)
    spread: Reals = np.radians(degrees)
    return spread
