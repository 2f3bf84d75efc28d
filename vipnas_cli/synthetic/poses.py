"""Key poses of synthetic people and the limits of their joints.

Angles in the tables are degrees: (flexion, abduction, outward twist); the pelvis has (pitch forward, roll, heading).
A raised arm (flexion above 90) opens outwards with negative abduction.
"""

from __future__ import annotations

import numpy as np

from vipnas_cli.synthetic.skeleton import BONES, Bone, Pose, Reals

Angles = tuple[float, float, float]
Table = dict[str, Angles]

# Least and greatest angle of each joint; the right side is like the left.
_LIMITS: dict[str, tuple[Angles, Angles]] = {
    "abdomen": ((-25, -20, -30), (45, 20, 30)),
    "chest": ((-20, -15, -30), (35, 15, 30)),
    "neck": ((-25, -20, -35), (35, 20, 35)),
    "head": ((-25, -15, -40), (30, 15, 40)),
    "left_clavicle": ((0, -5, 0), (0, 20, 0)),
    "left_upper_arm": ((-55, -60, -80), (180, 175, 95)),
    "left_forearm": ((0, 0, -80), (150, 0, 80)),
    "left_hand": ((-20, -50, 0), (20, 50, 0)),
    "left_thigh": ((-35, -20, -35), (125, 75, 50)),
    "left_shin": ((0, 0, 0), (145, 0, 0)),
    "left_foot": ((-45, -15, -15), (25, 15, 15)),
}

_BOTH_UP: Table = {"left_upper_arm": (172, -8, 0), "right_upper_arm": (172, -8, 0)}
_GUARD: Table = {
    **{"left_upper_arm": (45, 15, -15), "right_upper_arm": (35, 15, -15)},
    **{"left_forearm": (120, 0, 0), "right_forearm": (125, 0, 0)},
}


def _legs(left: Angles, right: Angles, shins: tuple[float, float], feet: tuple[float, float] = (0, 0)) -> Table:
    return {
        **{"left_thigh": left, "right_thigh": right, "left_shin": (shins[0], 0, 0), "right_shin": (shins[1], 0, 0)},
        **{"left_foot": (feet[0], 0, 0), "right_foot": (feet[1], 0, 0)},
    }


def arms(left: Angles, right: Angles, elbows: tuple[float, float] = (10, 10)) -> Table:
    """Upper arms and the flexions of the elbows."""
    return {
        **{"left_upper_arm": left, "right_upper_arm": right},
        **{"left_forearm": (elbows[0], 0, 0), "right_forearm": (elbows[1], 0, 0)},
    }


def _trunk(pitch: float, bend: float = 0.0, twist: float = 0.0, roll: float = 0.0) -> Table:
    return {"pelvis": (pitch, roll, 0), "abdomen": (bend / 2, 0, twist / 2), "chest": (bend / 2, 0, twist / 2)}


_EASY: Table = arms((5, 8, 0), (5, 8, 0), (15, 15)) | _legs((2, 4, 8), (2, 4, 8), (4, 4))

# Every pose is a table of what differs from standing at ease.
KEY_POSES: dict[str, Table] = {
    "stand": _EASY,
    "contrapposto": arms((0, 12, 0), (-15, 45, -65), (20, 95))
    | _legs((0, 2, 5), (12, 8, 20), (2, 18))
    | {"pelvis": (0, 4, 0), "abdomen": (0, 8, 0)},
    "hands_on_hips": arms((-18, 48, -65), (-18, 48, -65), (95, 95)),
    "arms_crossed": arms((35, 5, -50), (38, 5, -55), (100, 105)),
    "phone": arms((5, 8, 0), (35, 25, -10), (15, 138)),
    "photo": arms((60, 25, -35), (60, 25, -35), (110, 110)),
    "reading": arms((25, 12, -20), (25, 12, -20), (95, 95)) | {"neck": (15, 0, 0), "head": (20, 0, 0)},
    "pointing": arms((88, 10, 0), (5, 10, 0), (5, 20)),
    "arms_wide": arms((0, 90, 0), (0, 90, 0), (8, 8)),
    "arms_up": _BOTH_UP | _legs((0, 8, 5), (0, 8, 5), (3, 3)),
    "cheer": arms((30, 135, 30), (30, 135, 30), (40, 40)),
    "flex": arms((0, 90, 85), (0, 90, 85), (105, 105)),
    "wave": arms((5, 8, 0), (10, 95, 80), (15, 70)),
    "walk": arms((-18, 6, 0), (25, 6, 0), (15, 30)) | _legs((28, 0, 4), (-14, 0, 4), (6, 22), (0, -8)),
    "run": arms((-45, 10, -10), (45, 8, -20), (95, 100))
    | _legs((55, 0, 0), (-18, 0, 0), (95, 25), (5, -30))
    | _trunk(10, 5, 12),
    "sprint": arms((60, 10, -20), (-50, 12, -10), (95, 85))
    | _legs((-25, 0, 0), (85, 0, 0), (20, 105), (-40, 5))
    | _trunk(16, 5, -12),
    "start": arms((75, 10, 0), (75, 10, 0), (5, 5))
    | _legs((105, 5, 0), (60, 5, 0), (90, 75), (15, 15))
    | _trunk(75, 20),
    "squat": arms((85, 5, 0), (85, 5, 0), (10, 10))
    | _legs((105, 18, 15), (105, 18, 15), (115, 115), (25, 25))
    | _trunk(25, 15),
    "deep_squat": arms((60, 10, 0), (60, 10, 0), (60, 60))
    | _legs((122, 22, 18), (122, 22, 18), (140, 140), (25, 25))
    | _trunk(18, 35),
    "lunge": arms((-10, 45, -60), (-10, 45, -60), (95, 95)) | _legs((85, 2, 0), (-18, 2, 0), (85, 55), (5, -35)),
    "side_lunge": arms((60, 5, -30), (60, 5, -30), (110, 110))
    | _legs((70, 35, 15), (5, 45, 0), (95, 3), (15, 0))
    | _trunk(25, 10),
    "kick": arms((-25, 45, 0), (35, 50, 0), (20, 30))
    | _legs((5, 5, 5), (85, 8, 0), (12, 12), (0, -25))
    | _trunk(-14, -5, 12),
    "side_kick": _GUARD | _legs((-5, 12, 10), (15, 70, 0), (10, 10)) | {"pelvis": (5, 38, 0)},
    "backswing": arms((20, 65, 0), (-35, 30, 0), (15, 25))
    | _legs((10, 5, 5), (-32, 5, 0), (18, 85), (5, -25))
    | _trunk(8, -5, -20),
    "pitch": arms((75, 35, 0), (-10, 95, 75), (20, 95))
    | _legs((75, 20, 10), (-12, 8, 0), (40, 30))
    | _trunk(-5, -8, -25),
    "release": arms((-10, 25, -20), (95, 40, -10), (90, 20))
    | _legs((50, 5, 5), (-20, 5, 0), (45, 45), (5, -30))
    | _trunk(22, 25, 28),
    "serve": arms((150, -15, 0), (-10, 95, 80), (8, 110))
    | _legs((12, 6, 0), (5, 10, 0), (25, 30))
    | _trunk(-12, -15, -20),
    "smash": arms((40, 30, -30), (165, -10, 0), (95, 12))
    | _legs((20, 5, 0), (-15, 5, 0), (45, 40), (-25, -30))
    | _trunk(8, 10, 15),
    "forehand": arms((70, 25, 0), (35, 70, 20), (40, 35))
    | _legs((40, 22, 10), (35, 22, 10), (50, 45))
    | _trunk(18, 10, -30),
    "golf": arms((45, -12, -20), (48, -14, -20), (8, 12))
    | _legs((25, 12, 10), (25, 12, 10), (22, 22))
    | _trunk(30, 12),
    "golf_top": arms((95, 20, 30), (110, -5, -30), (110, 25))
    | _legs((12, 10, 5), (12, 12, 5), (15, 30))
    | _trunk(15, 0, 50),
    "bat": arms((80, -10, -20), (65, 30, -20), (60, 110))
    | _legs((28, 20, 12), (28, 20, 12), (38, 38))
    | _trunk(20, 8, -35),
    "archery": arms((20, 88, 0), (25, 80, -20), (3, 140)) | {"neck": (0, 0, 30), "head": (0, 0, 35)},
    "guard": _GUARD | _legs((25, 8, 0), (-8, 12, 15), (28, 25)) | _trunk(8, 10),
    "punch": arms((92, 5, 0), (40, 12, -15), (4, 128))
    | _legs((28, 8, 0), (-15, 12, 15), (32, 22))
    | _trunk(10, 10, -25),
    "shot": arms((140, -10, 0), (130, -15, 0), (75, 85)) | _legs((5, 4, 0), (5, 4, 0), (10, 10), (-30, -30)),
    "dribble": arms((15, 35, 0), (40, 15, 0), (50, 60)) | _legs((50, 12, 5), (30, 12, 5), (60, 50)) | _trunk(28, 15),
    "block": _BOTH_UP | _legs((-8, 4, 0), (-8, 4, 0), (35, 40), (-35, -35)) | _trunk(4, -10),
    "header": arms((20, 60, 0), (-20, 55, 0), (60, 60))
    | _legs((-20, 6, 0), (10, 6, 0), (70, 60), (-30, -30))
    | _trunk(-8, -12),
    "star": arms((0, 140, 0), (0, 140, 0), (5, 5)) | _legs((0, 38, 0), (0, 38, 0), (4, 4), (-25, -25)),
    "split_jump": arms((30, 85, 0), (30, 85, 0), (5, 5)) | _legs((85, 0, 0), (-32, 0, 0), (8, 25), (-35, -35)),
    "tuck_jump": arms((90, 10, 0), (90, 10, 0), (60, 60))
    | _legs((115, 8, 0), (115, 8, 0), (125, 125), (-25, -25))
    | _trunk(5, 35),
    "arabesque": arms((80, 40, 0), (0, 90, 0), (5, 8))
    | _legs((45, 0, 10), (-32, 10, 10), (3, 5), (0, -40))
    | _trunk(48, -20),
    "tree": _BOTH_UP | _legs((0, 2, 0), (62, 55, 45), (2, 135)),
    "warrior": arms((0, 90, 0), (0, 90, 0), (3, 3)) | _legs((60, 45, 30), (-5, 50, 0), (85, 3), (10, 0)),
    "bend": arms((95, 5, 0), (95, 5, 0), (5, 5)) | _legs((62, 5, 0), (62, 5, 0), (6, 6)) | _trunk(58, 50),
    "pick_up": arms((75, 5, 0), (40, 15, 0), (10, 60))
    | _legs((60, 10, 5), (40, 10, 5), (75, 70), (15, -20))
    | _trunk(45, 40),
    "side_bend": arms((10, 170, 0), (-5, 30, -50), (10, 90))
    | _legs((0, 15, 0), (0, 15, 0), (3, 3))
    | {"abdomen": (0, -20, 0), "chest": (0, -15, 0)},
    "cartwheel": arms((0, 165, 0), (0, 165, 0), (4, 4))
    | _legs((0, 45, 0), (0, 45, 0), (4, 4), (-30, -30))
    | {"pelvis": (0, 100, 0)},
    "handstand": _BOTH_UP | _legs((0, 5, 0), (0, 5, 0), (4, 4), (-40, -40)) | _trunk(180, -10),
    "handstand_split": _BOTH_UP | _legs((70, 5, 0), (-35, 5, 0), (15, 30), (-40, -40)) | _trunk(172, -15),
    "bridge": arms((178, -12, 0), (178, -12, 0), (10, 10))
    | _legs((-30, 12, 0), (-30, 12, 0), (85, 85))
    | _trunk(-82, -48),
    "plank": arms((82, 8, 0), (82, 8, 0), (4, 4)) | _legs((-4, 4, 0), (-4, 4, 0), (4, 4), (15, 15)) | _trunk(68),
    "push_up": arms((30, 45, -20), (30, 45, -20), (100, 100))
    | _legs((-4, 4, 0), (-4, 4, 0), (4, 4), (15, 15))
    | _trunk(84),
    "all_fours": arms((85, 5, 0), (85, 5, 0), (5, 5))
    | _legs((85, 5, 0), (85, 5, 0), (95, 95), (-40, -40))
    | _trunk(85),
    "crawl": arms((120, 8, 0), (70, 8, 0), (30, 15))
    | _legs((110, 8, 0), (70, 8, 0), (110, 85), (-30, -30))
    | _trunk(80),
    "lying_back": arms((15, 25, 0), (20, 30, 0), (20, 30))
    | _legs((5, 8, 15), (5, 8, 15), (5, 8), (-30, -30))
    | _trunk(-90),
    "lying_knees": arms((20, 60, 0), (150, -30, 0), (30, 100))
    | _legs((60, 5, 5), (50, 5, 5), (100, 90))
    | _trunk(-90, 8),
    "lying_front": arms((150, -40, 0), (140, -50, 0), (70, 60))
    | _legs((0, 10, 5), (0, 10, 5), (5, 15), (-40, -40))
    | _trunk(88, -10),
    "lying_side": arms((80, 10, 0), (60, 10, 0), (90, 60))
    | _legs((40, 5, 0), (30, 0, 0), (60, 50))
    | {"pelvis": (0, 88, 0)},
    "sit_up": arms((140, -50, -20), (140, -50, -20), (130, 130))
    | _legs((75, 5, 0), (75, 5, 0), (95, 95))
    | _trunk(-60, 55),
    "sit": arms((25, 10, -10), (25, 10, -10), (60, 60)) | _legs((88, 8, 5), (86, 8, 5), (85, 88)) | _trunk(-3, 8),
    "sit_crossed": arms((20, 12, -20), (25, 12, -20), (70, 75))
    | _legs((88, 6, 5), (98, -12, 0), (88, 65))
    | _trunk(-8, 10),
    "sit_floor": arms((-35, 20, 0), (-35, 20, 0), (10, 10))
    | _legs((75, 8, 10), (95, 8, 10), (5, 75))
    | _trunk(-22, 12),
    "lotus": arms((25, 20, 0), (25, 20, 0), (30, 30)) | _legs((88, 48, 48), (88, 48, 48), (130, 130)) | _trunk(-6, 8),
    "kneel": arms((10, 10, 0), (10, 10, 0), (20, 20)) | _legs((5, 6, 0), (5, 6, 0), (95, 95), (-45, -45)),
    "half_kneel": arms((45, 10, 0), (20, 12, 0), (40, 30))
    | _legs((90, 6, 0), (0, 4, 0), (92, 92), (0, -20))
    | _trunk(5, 10),
    "ski": arms((40, 15, 0), (40, 15, 0), (60, 60))
    | _legs((75, 6, 0), (78, 6, 0), (80, 85), (20, 20))
    | _trunk(40, 20),
    "surf": arms((20, 80, 0), (10, 75, 0), (20, 30))
    | _legs((55, 28, 10), (50, 32, 10), (65, 60), (15, 10))
    | _trunk(22, 15, 20),
    "cycle": arms((68, 8, 0), (68, 8, 0), (22, 22))
    | _legs((100, 4, 0), (50, 4, 0), (105, 45), (0, -10))
    | _trunk(42, 25),
    "row": arms((75, 8, 0), (75, 8, 0), (10, 10)) | _legs((95, 12, 0), (95, 12, 0), (85, 85)) | _trunk(10, 40),
    "climb": arms((150, -20, 20), (110, -30, 20), (40, 60)) | _legs((85, 35, 30), (15, 15, 10), (95, 15), (-20, -30)),
    "swing": _BOTH_UP | _legs((15, 4, 0), (20, 4, 0), (25, 30), (-30, -30)) | _trunk(-20, 10),
    "carry": arms((30, 12, -10), (30, 12, -10), (85, 85)) | _legs((15, 4, 0), (-8, 4, 0), (12, 10)) | _trunk(-5),
    "lift": arms((60, 8, 0), (60, 8, 0), (8, 8))
    | _legs((85, 14, 10), (85, 14, 10), (80, 80), (15, 15))
    | _trunk(48, 8),
    "press": arms((20, 150, 30), (20, 150, 30), (35, 35)) | _legs((3, 14, 8), (3, 14, 8), (4, 4)),
    "bowl": arms((30, 40, 0), (-40, 15, 0), (30, 5))
    | _legs((80, 4, 0), (-20, -8, 0), (80, 45), (10, -35))
    | _trunk(40, 20, -15),
    "skate": arms((-40, 25, 0), (60, 10, -30), (30, 70))
    | _legs((70, 4, 0), (0, 45, 0), (75, 15), (15, -10))
    | _trunk(40, 20, -15),
    "fence": arms((80, 12, 0), (-20, 80, 50), (15, 80))
    | _legs((75, 8, 0), (-15, 25, 20), (70, 8), (5, 0))
    | _trunk(5, 0, -15),
    "dance": arms((30, 130, 20), (10, 60, 0), (50, 70))
    | _legs((15, 12, 15), (45, 25, 20), (10, 80), (0, -30))
    | {"pelvis": (0, 8, 0), "abdomen": (0, 10, 12)},
}


def pose_from(table: Table) -> Pose:
    """The pose of a table of degrees."""
    angles = np.zeros((BONES, 3))
    for name, degrees in (_EASY | table).items():
        angles[Bone[name.upper()]] = degrees
    return Pose(np.radians(angles))


def limited(angles: Reals) -> Reals:
    """Angles within what the joints of a living body allow."""
    clipped = angles.copy()
    for name, (least, greatest) in _LIMITS.items():
        for side in (name, name.replace("left", "right")):
            bone = Bone[side.upper()]
            clipped[bone] = np.clip(angles[bone], np.radians(least), np.radians(greatest))
    return clipped
