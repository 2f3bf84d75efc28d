"""Key poses and motions of synthetic people, as joint-angle curves.

Angles in the tables are degrees: (flexion, abduction, outward twist); the pelvis has (pitch forward, roll, heading).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from vipnas_cli.data.synthetic.skeleton import BONES, Bone, Pose, Reals

Motion = Literal["stand", "walk", "run", "wave", "jumping_jack", "squat", "kick", "throw"]
Angles = tuple[float, float, float]
Table = dict[str, Angles]

# Least and greatest angle of each joint; the right side is like the left.
_LIMITS: dict[str, tuple[Angles, Angles]] = {
    "abdomen": ((-25, -20, -30), (45, 20, 30)),
    "chest": ((-20, -15, -30), (35, 15, 30)),
    "neck": ((-25, -20, -35), (35, 20, 35)),
    "head": ((-25, -15, -40), (30, 15, 40)),
    "left_clavicle": ((0, -5, 0), (0, 20, 0)),
    "left_upper_arm": ((-55, -25, -80), (180, 175, 95)),
    "left_forearm": ((0, 0, -80), (150, 0, 80)),
    "left_hand": ((-20, -50, 0), (20, 50, 0)),
    "left_thigh": ((-35, -20, -35), (125, 75, 50)),
    "left_shin": ((0, 0, 0), (145, 0, 0)),
    "left_foot": ((-45, -15, -15), (25, 15, 15)),
}

_BOTH_UP: Table = {"left_upper_arm": (172, 8, 0), "right_upper_arm": (172, 8, 0)}
_GUARD: Table = {
    **{"left_upper_arm": (45, 15, -15), "right_upper_arm": (35, 15, -15)},
    **{"left_forearm": (120, 0, 0), "right_forearm": (125, 0, 0)},
}


def _legs(left: Angles, right: Angles, shins: tuple[float, float], feet: tuple[float, float] = (0, 0)) -> Table:
    return {
        **{"left_thigh": left, "right_thigh": right, "left_shin": (shins[0], 0, 0), "right_shin": (shins[1], 0, 0)},
        **{"left_foot": (feet[0], 0, 0), "right_foot": (feet[1], 0, 0)},
    }


def _arms(left: Angles, right: Angles, elbows: tuple[float, float] = (10, 10)) -> Table:
    return {
        **{"left_upper_arm": left, "right_upper_arm": right},
        **{"left_forearm": (elbows[0], 0, 0), "right_forearm": (elbows[1], 0, 0)},
    }


def _trunk(pitch: float, bend: float = 0.0, twist: float = 0.0, roll: float = 0.0) -> Table:
    return {"pelvis": (pitch, roll, 0), "abdomen": (bend / 2, 0, twist / 2), "chest": (bend / 2, 0, twist / 2)}


_EASY: Table = _arms((5, 8, 0), (5, 8, 0), (15, 15)) | _legs((2, 4, 8), (2, 4, 8), (4, 4))

# Every pose is a table of what differs from standing at ease.
KEY_POSES: dict[str, Table] = {
    "stand": _EASY,
    "contrapposto": _arms((0, 12, 0), (-15, 45, -65), (20, 95)) | _legs((0, 2, 5), (12, 8, 20), (2, 18)) | {"pelvis": (0, 4, 0), "abdomen": (0, 8, 0)},
    "hands_on_hips": _arms((-18, 48, -65), (-18, 48, -65), (95, 95)),
    "arms_crossed": _arms((35, 5, -50), (38, 5, -55), (100, 105)),
    "phone": _arms((5, 8, 0), (35, 25, -10), (15, 138)),
    "photo": _arms((60, 25, -35), (60, 25, -35), (110, 110)),
    "reading": _arms((25, 12, -20), (25, 12, -20), (95, 95)) | {"neck": (15, 0, 0), "head": (20, 0, 0)},
    "pointing": _arms((88, 10, 0), (5, 10, 0), (5, 20)),
    "arms_wide": _arms((0, 90, 0), (0, 90, 0), (8, 8)),
    "arms_up": _BOTH_UP | _legs((0, 8, 5), (0, 8, 5), (3, 3)),
    "cheer": _arms((30, 135, 30), (30, 135, 30), (40, 40)),
    "flex": _arms((0, 90, 85), (0, 90, 85), (105, 105)),
    "wave": _arms((5, 8, 0), (10, 95, 80), (15, 70)),
    "walk": _arms((-18, 6, 0), (25, 6, 0), (15, 30)) | _legs((28, 0, 4), (-14, 0, 4), (6, 22), (0, -8)),
    "run": _arms((-45, 10, -10), (45, 8, -20), (95, 100)) | _legs((55, 0, 0), (-18, 0, 0), (95, 25), (5, -30)) | _trunk(10, 5, 12),
    "sprint": _arms((60, 10, -20), (-50, 12, -10), (95, 85)) | _legs((-25, 0, 0), (85, 0, 0), (20, 105), (-40, 5)) | _trunk(16, 5, -12),
    "start": _arms((75, 10, 0), (75, 10, 0), (5, 5)) | _legs((105, 5, 0), (60, 5, 0), (90, 75), (15, 15)) | _trunk(75, 20),
    "squat": _arms((85, 5, 0), (85, 5, 0), (10, 10)) | _legs((105, 18, 15), (105, 18, 15), (115, 115), (25, 25)) | _trunk(25, 15),
    "deep_squat": _arms((60, 10, 0), (60, 10, 0), (60, 60)) | _legs((122, 22, 18), (122, 22, 18), (140, 140), (25, 25)) | _trunk(18, 35),
    "lunge": _arms((-10, 45, -60), (-10, 45, -60), (95, 95)) | _legs((85, 2, 0), (-18, 2, 0), (85, 55), (5, -35)),
    "side_lunge": _arms((60, 5, -30), (60, 5, -30), (110, 110)) | _legs((70, 35, 15), (5, 45, 0), (95, 3), (15, 0)) | _trunk(25, 10),
    "kick": _arms((-25, 45, 0), (35, 50, 0), (20, 30)) | _legs((5, 5, 5), (85, 8, 0), (12, 12), (0, -25)) | _trunk(-14, -5, 12),
    "side_kick": _GUARD | _legs((-5, 12, 10), (15, 70, 0), (10, 10)) | {"pelvis": (5, 38, 0)},
    "backswing": _arms((20, 65, 0), (-35, 30, 0), (15, 25)) | _legs((10, 5, 5), (-32, 5, 0), (18, 85), (5, -25)) | _trunk(8, -5, -20),
    "pitch": _arms((75, 35, 0), (-10, 95, 75), (20, 95)) | _legs((75, 20, 10), (-12, 8, 0), (40, 30)) | _trunk(-5, -8, -25),
    "release": _arms((-10, 25, -20), (95, 40, -10), (90, 20)) | _legs((50, 5, 5), (-20, 5, 0), (45, 45), (5, -30)) | _trunk(22, 25, 28),
    "serve": _arms((150, 15, 0), (-10, 95, 80), (8, 110)) | _legs((12, 6, 0), (5, 10, 0), (25, 30)) | _trunk(-12, -15, -20),
    "smash": _arms((40, 30, -30), (165, 10, 0), (95, 12)) | _legs((20, 5, 0), (-15, 5, 0), (45, 40), (-25, -30)) | _trunk(8, 10, 15),
    "forehand": _arms((70, 25, 0), (35, 70, 20), (40, 35)) | _legs((40, 22, 10), (35, 22, 10), (50, 45)) | _trunk(18, 10, -30),
    "golf": _arms((45, -12, -20), (48, -14, -20), (8, 12)) | _legs((25, 12, 10), (25, 12, 10), (22, 22)) | _trunk(30, 12),
    "golf_top": _arms((95, 20, 30), (110, -5, -30), (110, 25)) | _legs((12, 10, 5), (12, 12, 5), (15, 30)) | _trunk(15, 0, 50),
    "bat": _arms((80, -10, -20), (65, 30, -20), (60, 110)) | _legs((28, 20, 12), (28, 20, 12), (38, 38)) | _trunk(20, 8, -35),
    "archery": _arms((20, 88, 0), (25, 80, -20), (3, 140)) | {"neck": (0, 0, 30), "head": (0, 0, 35)},
    "guard": _GUARD | _legs((25, 8, 0), (-8, 12, 15), (28, 25)) | _trunk(8, 10),
    "punch": _arms((92, 5, 0), (40, 12, -15), (4, 128)) | _legs((28, 8, 0), (-15, 12, 15), (32, 22)) | _trunk(10, 10, -25),
    "shot": _arms((140, 10, 0), (130, 15, 0), (75, 85)) | _legs((5, 4, 0), (5, 4, 0), (10, 10), (-30, -30)),
    "dribble": _arms((15, 35, 0), (40, 15, 0), (50, 60)) | _legs((50, 12, 5), (30, 12, 5), (60, 50)) | _trunk(28, 15),
    "block": _BOTH_UP | _legs((-8, 4, 0), (-8, 4, 0), (35, 40), (-35, -35)) | _trunk(4, -10),
    "header": _arms((20, 60, 0), (-20, 55, 0), (60, 60)) | _legs((-20, 6, 0), (10, 6, 0), (70, 60), (-30, -30)) | _trunk(-8, -12),
    "star": _arms((0, 140, 0), (0, 140, 0), (5, 5)) | _legs((0, 38, 0), (0, 38, 0), (4, 4), (-25, -25)),
    "split_jump": _arms((30, 85, 0), (30, 85, 0), (5, 5)) | _legs((85, 0, 0), (-32, 0, 0), (8, 25), (-35, -35)),
    "tuck_jump": _arms((90, 10, 0), (90, 10, 0), (60, 60)) | _legs((115, 8, 0), (115, 8, 0), (125, 125), (-25, -25)) | _trunk(5, 35),
    "arabesque": _arms((80, 40, 0), (0, 90, 0), (5, 8)) | _legs((45, 0, 10), (-32, 10, 10), (3, 5), (0, -40)) | _trunk(48, -20),
    "tree": _BOTH_UP | _legs((0, 2, 0), (62, 55, 45), (2, 135)),
    "warrior": _arms((0, 90, 0), (0, 90, 0), (3, 3)) | _legs((60, 45, 30), (-5, 50, 0), (85, 3), (10, 0)),
    "bend": _arms((95, 5, 0), (95, 5, 0), (5, 5)) | _legs((0, 5, 0), (0, 5, 0), (8, 8)) | _trunk(75, 50),
    "pick_up": _arms((75, 5, 0), (40, 15, 0), (10, 60)) | _legs((60, 10, 5), (40, 10, 5), (75, 70), (15, -20)) | _trunk(45, 40),
    "side_bend": _arms((10, 170, 0), (-5, 30, -50), (10, 90)) | _legs((0, 15, 0), (0, 15, 0), (3, 3)) | {"abdomen": (0, -20, 0), "chest": (0, -15, 0)},
    "cartwheel": _arms((0, 165, 0), (0, 165, 0), (4, 4)) | _legs((0, 45, 0), (0, 45, 0), (4, 4), (-30, -30)) | {"pelvis": (0, 100, 0)},
    "handstand": _BOTH_UP | _legs((0, 5, 0), (0, 5, 0), (4, 4), (-40, -40)) | _trunk(180, -10),
    "handstand_split": _BOTH_UP | _legs((70, 5, 0), (-35, 5, 0), (15, 30), (-40, -40)) | _trunk(172, -15),
    "bridge": _arms((178, 12, 0), (178, 12, 0), (10, 10)) | _legs((-30, 12, 0), (-30, 12, 0), (85, 85)) | _trunk(-82, -48),
    "plank": _arms((82, 8, 0), (82, 8, 0), (4, 4)) | _legs((-4, 4, 0), (-4, 4, 0), (4, 4), (15, 15)) | _trunk(68),
    "push_up": _arms((30, 45, -20), (30, 45, -20), (100, 100)) | _legs((-4, 4, 0), (-4, 4, 0), (4, 4), (15, 15)) | _trunk(84),
    "all_fours": _arms((85, 5, 0), (85, 5, 0), (5, 5)) | _legs((85, 5, 0), (85, 5, 0), (95, 95), (-40, -40)) | _trunk(85),
    "crawl": _arms((120, 8, 0), (70, 8, 0), (30, 15)) | _legs((110, 8, 0), (70, 8, 0), (110, 85), (-30, -30)) | _trunk(80),
    "lying_back": _arms((15, 25, 0), (20, 30, 0), (20, 30)) | _legs((5, 8, 15), (5, 8, 15), (5, 8), (-30, -30)) | _trunk(-90),
    "lying_knees": _arms((20, 60, 0), (150, 30, 0), (30, 100)) | _legs((60, 5, 5), (50, 5, 5), (100, 90)) | _trunk(-90, 8),
    "lying_front": _arms((150, 40, 0), (140, 50, 0), (70, 60)) | _legs((0, 10, 5), (0, 10, 5), (5, 15), (-40, -40)) | _trunk(88, -10),
    "lying_side": _arms((80, 10, 0), (60, 10, 0), (90, 60)) | _legs((40, 5, 0), (30, 0, 0), (60, 50)) | {"pelvis": (0, 88, 0)},
    "sit_up": _arms((140, 50, -20), (140, 50, -20), (130, 130)) | _legs((75, 5, 0), (75, 5, 0), (95, 95)) | _trunk(-60, 55),
    "sit": _arms((25, 10, -10), (25, 10, -10), (60, 60)) | _legs((88, 8, 5), (86, 8, 5), (85, 88)) | _trunk(-3, 8),
    "sit_crossed": _arms((20, 12, -20), (25, 12, -20), (70, 75)) | _legs((88, 6, 5), (98, -12, 0), (88, 65)) | _trunk(-8, 10),
    "sit_floor": _arms((-35, 20, 0), (-35, 20, 0), (10, 10)) | _legs((75, 8, 10), (95, 8, 10), (5, 75)) | _trunk(-22, 12),
    "lotus": _arms((25, 20, 0), (25, 20, 0), (30, 30)) | _legs((88, 48, 48), (88, 48, 48), (130, 130)) | _trunk(-6, 8),
    "kneel": _arms((10, 10, 0), (10, 10, 0), (20, 20)) | _legs((5, 6, 0), (5, 6, 0), (95, 95), (-45, -45)),
    "half_kneel": _arms((45, 10, 0), (20, 12, 0), (40, 30)) | _legs((90, 6, 0), (0, 4, 0), (92, 92), (0, -20)) | _trunk(5, 10),
    "ski": _arms((40, 15, 0), (40, 15, 0), (60, 60)) | _legs((75, 6, 0), (78, 6, 0), (80, 85), (20, 20)) | _trunk(40, 20),
    "surf": _arms((20, 80, 0), (10, 75, 0), (20, 30)) | _legs((55, 28, 10), (50, 32, 10), (65, 60), (15, 10)) | _trunk(22, 15, 20),
    "cycle": _arms((68, 8, 0), (68, 8, 0), (22, 22)) | _legs((100, 4, 0), (50, 4, 0), (105, 45), (0, -10)) | _trunk(42, 25),
    "row": _arms((75, 8, 0), (75, 8, 0), (10, 10)) | _legs((95, 12, 0), (95, 12, 0), (85, 85)) | _trunk(10, 40),
    "climb": _arms((150, 20, 20), (110, 30, 20), (40, 90)) | _legs((85, 35, 30), (15, 15, 10), (95, 15), (-20, -30)),
    "swing": _BOTH_UP | _legs((15, 4, 0), (20, 4, 0), (25, 30), (-30, -30)) | _trunk(-20, 10),
    "carry": _arms((30, 12, -10), (30, 12, -10), (85, 85)) | _legs((15, 4, 0), (-8, 4, 0), (12, 10)) | _trunk(-5),
    "lift": _arms((60, 8, 0), (60, 8, 0), (8, 8)) | _legs((85, 14, 10), (85, 14, 10), (80, 80), (15, 15)) | _trunk(48, 8),
    "press": _arms((20, 150, 30), (20, 150, 30), (35, 35)) | _legs((3, 14, 8), (3, 14, 8), (4, 4)),
    "bowl": _arms((30, 40, 0), (-40, 15, 0), (30, 5)) | _legs((80, 4, 0), (-20, -8, 0), (80, 45), (10, -35)) | _trunk(40, 20, -15),
    "skate": _arms((-40, 25, 0), (60, 10, -30), (30, 70)) | _legs((70, 4, 0), (0, 45, 0), (75, 15), (15, -10)) | _trunk(40, 20, -15),
    "fence": _arms((80, 12, 0), (-20, 80, 50), (15, 80)) | _legs((75, 8, 0), (-15, 25, 20), (70, 8), (5, 0)) | _trunk(5, 0, -15),
    "dance": _arms((30, 130, 20), (10, 60, 0), (50, 70)) | _legs((15, 12, 15), (45, 25, 20), (10, 80), (0, -30)) | {"pelvis": (0, 8, 0), "abdomen": (0, 10, 12)},
}


def pose_from(table: Table) -> Pose:
    """The pose of a table of degrees."""
    angles = np.zeros((BONES, 3))
    for name, degrees in (_EASY | table).items():
        angles[Bone[name.upper()]] = degrees
    return Pose(np.radians(angles))


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
        shaken[[Bone.LEFT_UPPER_ARM, Bone.RIGHT_UPPER_ARM]] = np.radians(generator.uniform((-40, -5, -60), (170, 140, 80), (2, 3)))
        shaken[[Bone.LEFT_FOREARM, Bone.RIGHT_FOREARM], 0] = np.radians(generator.uniform(0, 140, 2))
    airborne = generator.random() < 0.12 and abs(shaken[Bone.PELVIS, 0]) < 0.9
    return Pose(_limited(shaken), float(generator.uniform(0.03, 0.35)) if airborne else 0.0)


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
            return pose_from({"right_upper_arm": (12, 98 + 4 * swing, 80), "right_forearm": (70 + 32 * swing, 0, 0), "head": (0, 4 * swing, 0)})
        case "jumping_jack":
            rise = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
            pose = pose_from(KEY_POSES["stand"]).blended(pose_from(KEY_POSES["star"] | _arms((15, 165, 20), (15, 165, 20), (12, 12))), float(rise))
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
    return np.radians(degrees)


def _limited(angles: Reals) -> Reals:
    """Angles within what the joints of a living body allow."""
    limited = angles.copy()
    for name, (least, greatest) in _LIMITS.items():
        for side in (name, name.replace("left", "right")):
            bone = Bone[side.upper()]
            limited[bone] = np.clip(angles[bone], np.radians(least), np.radians(greatest))
    return limited
