"""The surface of trunk, arms, legs and clothes; lengths in the tables are parts of the body height."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.synthetic.looks import Cloth, Look
from vipnas_cli.synthetic.mesh import (
    Mesh,
    Part,
    Tube,
    all_on,
    covered,
    mesh_of,
    patch,
    refined,
    weights_along,
)
from vipnas_cli.synthetic.skeleton import BONES, Bone, Posture, Reals

# y above the hips, half width, depth in front, depth behind, centre z
_TORSO = (
    *((0.372, 0.029, 0.030, 0.030, 0.010), (0.345, 0.030, 0.030, 0.033, 0.003), (0.328, 0.032, 0.031, 0.034, -0.002)),
    *((0.318, 0.038, 0.034, 0.038, -0.004), (0.309, 0.054, 0.037, 0.043, -0.005), (0.300, 0.074, 0.041, 0.049, -0.005)),
    *((0.288, 0.092, 0.047, 0.055, -0.004), (0.268, 0.098, 0.057, 0.061, -0.002), (0.240, 0.100, 0.066, 0.062, 0.0)),
    *((0.210, 0.098, 0.069, 0.061, 0.0), (0.175, 0.094, 0.066, 0.058, 0.0), (0.140, 0.088, 0.062, 0.053, 0.0)),
    *((0.105, 0.083, 0.061, 0.049, 0.0), (0.080, 0.083, 0.062, 0.050, 0.0), (0.055, 0.088, 0.063, 0.056, 0.0)),
    *((0.025, 0.094, 0.062, 0.066, 0.0), (-0.005, 0.096, 0.059, 0.071, 0.0), (-0.030, 0.092, 0.053, 0.067, 0.0)),
    *((-0.052, 0.074, 0.042, 0.052, 0.0), (-0.066, 0.045, 0.026, 0.034, 0.0)),
)
_TORSO_NODES = (
    *(
        (0.37, ((Bone.HEAD, 1.0),)),
        (0.325, ((Bone.NECK, 1.0),)),
        (0.29, ((Bone.CHEST, 1.0),)),
        (0.19, ((Bone.CHEST, 1.0),)),
    ),
    *((0.085, ((Bone.ABDOMEN, 1.0),)), (0.03, ((Bone.PELVIS, 1.0),))),
)
_ARM = (
    *((0.026, 0.006, 0.008, 0.008, 0.0), (0.021, 0.019, 0.021, 0.021, 0.0), (0.008, 0.029, 0.031, 0.031, 0.0)),
    *((-0.015, 0.0325, 0.035, 0.034, 0.0), (-0.045, 0.031, 0.033, 0.032, 0.0), (-0.085, 0.028, 0.031, 0.029, 0.0)),
    *((-0.130, 0.025, 0.027, 0.027, 0.0), (-0.160, 0.0225, 0.0235, 0.025, 0.0), (-0.175, 0.022, 0.023, 0.025, 0.0)),
    *((-0.200, 0.0235, 0.025, 0.023, 0.0), (-0.225, 0.0235, 0.025, 0.022, 0.0), (-0.265, 0.020, 0.0215, 0.020, 0.0)),
    *((-0.300, 0.0155, 0.018, 0.017, 0.0), (-0.325, 0.0135, 0.0165, 0.0165, 0.0), (-0.332, 0.013, 0.0165, 0.0165, 0.0)),
)
_ARM_NODES = (
    *(
        (0.035, ((Bone.LEFT_CLAVICLE, 0.7), (Bone.LEFT_UPPER_ARM, 0.3))),
        (0.0, ((Bone.LEFT_CLAVICLE, 0.3), (Bone.LEFT_UPPER_ARM, 0.7))),
    ),
    *(
        (-0.04, ((Bone.LEFT_UPPER_ARM, 1.0),)),
        (-0.150, ((Bone.LEFT_UPPER_ARM, 1.0),)),
        (-0.200, ((Bone.LEFT_FOREARM, 1.0),)),
    ),
    *((-0.305, ((Bone.LEFT_FOREARM, 1.0),)), (-0.335, ((Bone.LEFT_HAND, 1.0),))),
)
_LEG = (
    *(
        (0.045, 0.028, 0.030, 0.032, -0.006),
        (0.022, 0.043, 0.045, 0.052, -0.006),
        (-0.015, 0.049, 0.051, 0.058, -0.004),
    ),
    *((-0.055, 0.049, 0.051, 0.055, -0.002), (-0.110, 0.045, 0.048, 0.047, 0.0), (-0.170, 0.038, 0.041, 0.039, 0.0)),
    *((-0.220, 0.032, 0.035, 0.033, 0.0), (-0.245, 0.031, 0.035, 0.031, 0.0), (-0.270, 0.029, 0.031, 0.032, -0.002)),
    *(
        (-0.310, 0.030, 0.028, 0.036, -0.004),
        (-0.345, 0.029, 0.026, 0.036, -0.005),
        (-0.390, 0.024, 0.022, 0.029, -0.005),
    ),
    *(
        (-0.435, 0.0185, 0.019, 0.022, -0.004),
        (-0.468, 0.0175, 0.020, 0.021, -0.003),
        (-0.492, 0.019, 0.022, 0.023, -0.002),
    ),
)
_LEG_NODES = (
    *((0.05, ((Bone.PELVIS, 0.9), (Bone.LEFT_THIGH, 0.1))), (0.0, ((Bone.PELVIS, 0.4), (Bone.LEFT_THIGH, 0.6)))),
    *((-0.07, ((Bone.LEFT_THIGH, 1.0),)), (-0.215, ((Bone.LEFT_THIGH, 1.0),)), (-0.272, ((Bone.LEFT_SHIN, 1.0),))),
    *((-0.462, ((Bone.LEFT_SHIN, 1.0),)), (-0.495, ((Bone.LEFT_SHIN, 0.4), (Bone.LEFT_FOOT, 0.6)))),
)
# Along the foot from the toes to the heel: z, half width, down, up, centre (downwards).
_SHOE = (
    *((0.114, 0.006, 0.005, 0.004, 0.029), (0.109, 0.019, 0.010, 0.010, 0.027), (0.093, 0.027, 0.014, 0.014, 0.022)),
    *((0.070, 0.0285, 0.018, 0.018, 0.018), (0.045, 0.027, 0.023, 0.024, 0.013), (0.022, 0.0245, 0.028, 0.030, 0.008)),
    *((0.003, 0.024, 0.031, 0.032, 0.005), (-0.018, 0.0235, 0.031, 0.032, 0.005), (-0.034, 0.020, 0.028, 0.026, 0.008)),
    (-0.041, 0.008, 0.014, 0.010, 0.018),
)
_PALM = (
    *((0.008, 0.012, 0.016, 0.016, 0.0), (-0.010, 0.0125, 0.019, 0.018, 0.0), (-0.030, 0.012, 0.0235, 0.021, 0.001)),
    *((-0.050, 0.010, 0.023, 0.022, 0.001), (-0.056, 0.006, 0.018, 0.018, 0.001)),
)
_FINGER = (
    (0.004, 0.0050, 0.0055, 0.0055, 0.0),
    (-0.018, 0.0050, 0.0052, 0.0052, 0.0),
    (-0.036, 0.0045, 0.0045, 0.0045, 0.0),
    (-0.046, 0.002, 0.002, 0.002, 0.0),
)


_FINGER_LENGTH = 0.046


def torso_mesh(look: Look, bind: Posture, generator: np.random.Generator, detail: float) -> Mesh:
    """Trunk and neck with shirt and the upper part of the trousers."""
    rings = _shaped_torso(look, detail)
    collar, hem = 0.312, look.hem
    rings[:, 1:4] += np.where(rings[:, :1] < collar, look.ease, 0.0)
    if hem < 0.05:
        rings = covered(rings, hem, 0.004, 0.004)
    tube = Tube(rings, round(22 * detail))
    around, height = tube.face_angles, tube.face_heights
    noise = tube.noise(generator, 4.0)
    bare = height > collar - look.neckline * np.maximum(0.0, np.cos(around)) ** 4
    if not look.sleeve:
        bare |= (np.abs(np.sin(around)) > 0.8) & (height > 0.262)
    colours = np.where(
        (height > hem - 1e-6)[:, None],
        look.shirt.paint(around, height, noise),
        look.trousers.paint(around, height, noise),
    )
    colours = np.where(bare[:, None], look.skin, colours * (1.0 + 0.13 * noise[:, None]))
    under_arm = 0.22 * np.abs(np.sin(around)) ** 6 * (height < 0.26)
    under_chin = 0.25 * np.clip((height - 0.315) / 0.02, 0.0, 1.0) * (np.cos(around) > 0)
    colours = colours * (1.0 - under_arm - under_chin)[:, None]
    parts = np.where(height > 0.318, Part.NECK, np.where(np.sin(around) > 0, Part.TORSO_LEFT, Part.TORSO_RIGHT))
    mesh = mesh_of(tube, _torso_weights(tube.vertices), colours, parts)
    return mesh.attached(Bone.PELVIS, bind, look.proportions.height)


def arm_meshes(look: Look, bind: Posture, generator: np.random.Generator, detail: float) -> list[Mesh]:
    """The left arm with its sleeve, and the hand."""
    proportions = look.proportions
    rings = refined(_ARM, round(16 * detail)).copy()
    rings[:, 1:4] *= proportions.bulk**0.7 * (1.06 - 0.16 * proportions.feminine)
    if look.sleeve:
        rings = covered(rings, -look.sleeve, look.ease, 0.006 if look.sleeve < 0.25 else 0.001)
    tube = Tube(rings, round(10 * detail))
    height, noise = tube.face_heights, tube.noise(generator, 3.0)
    dressed = (height > -look.sleeve - 1e-6) & (look.sleeve > 0)
    colours = _dressed(look, look.shirt, dressed, tube, noise)
    colours *= (1.0 - 0.2 * np.clip(-np.sin(tube.face_angles), 0.0, 1.0) * (height < -0.03))[:, None]
    parts = np.where(height > -0.175, Part.UPPER_ARM_LEFT, Part.FOREARM_LEFT)
    mesh = mesh_of(tube, weights_along(tube.vertices[:, 1], _ARM_NODES), colours, parts)
    mesh = _stretched(mesh, proportions.arms).attached(Bone.LEFT_UPPER_ARM, bind, proportions.height)
    return [mesh, _hand(look).attached(Bone.LEFT_HAND, bind, proportions.height)]


def leg_meshes(look: Look, bind: Posture, generator: np.random.Generator, detail: float) -> list[Mesh]:
    """The left leg with its trouser leg and sock, and the shoe."""
    proportions = look.proportions
    rings = refined(_LEG, round(20 * detail)).copy()
    girth = proportions.bulk**0.7 * (0.98 + 0.06 * proportions.feminine * np.clip(rings[:, :1] / 0.2 + 1.2, 0.0, 1.0))
    rings[:, 1:4] *= girth
    if look.leg > 0.02:
        rings = covered(rings, -look.leg, look.ease + 0.001, look.flare)
    tube = Tube(rings, round(12 * detail))
    height, noise = tube.face_heights, tube.noise(generator, 3.0)
    dressed = height > -max(look.leg, 0.02) - 1e-6
    colours = _dressed(look, look.trousers, dressed, tube, noise)
    # A shirt that hangs over the trousers hangs over the hips too.
    tube_shirt = look.shirt.paint(tube.face_angles, height, noise) * (1.0 + 0.14 * noise[:, None])
    colours = np.where((height > look.hem)[:, None], tube_shirt, colours)
    colours = np.where((~dressed & (height < look.socks - 0.475))[:, None], look.sole, colours)
    colours *= (1.0 - 0.25 * np.clip(-np.sin(tube.face_angles), 0.0, 1.0) * (height > -0.25))[:, None]
    parts = np.where(height > -0.245, Part.THIGH_LEFT, Part.SHIN_LEFT)
    mesh = mesh_of(tube, weights_along(tube.vertices[:, 1], _LEG_NODES), colours, parts)
    mesh = _stretched(mesh, proportions.legs).attached(Bone.LEFT_THIGH, bind, proportions.height)
    return [mesh, _shoe(look).attached(Bone.LEFT_FOOT, bind, proportions.height)]


def skirt_mesh(look: Look, bind: Posture, generator: np.random.Generator, detail: float) -> Mesh:
    """A skirt that hangs from the waist and follows both thighs."""
    drop = np.linspace(0.0, 1.0, 12)
    girth = look.proportions.bulk**0.8
    hips = 0.086 + 0.026 * np.clip(drop * (look.skirt + 0.09) / 0.09, 0.0, 1.0) + look.flare * drop
    depth = 0.8 * hips + 0.004
    rings = np.stack(
        [0.09 - drop * (look.skirt + 0.09), hips * girth, depth * girth, depth * girth, 0.0 * drop], axis=1
    )
    tube = Tube(rings, round(22 * detail))
    around, noise = tube.face_angles, tube.noise(generator, 1.5)
    colours = look.trousers.paint(around, tube.face_heights, noise) * (1.0 + 0.16 * noise[:, None])
    follow = np.clip((0.03 - tube.vertices[:, 1]) / 0.16, 0.0, 0.9)
    left = np.clip(0.5 + 0.9 * np.sin(tube.vertex_angles), 0.0, 1.0)
    weights = np.zeros((len(follow), BONES))
    weights[:, Bone.PELVIS] = 1.0 - follow
    weights[:, Bone.LEFT_THIGH], weights[:, Bone.RIGHT_THIGH] = follow * left, follow * (1.0 - left)
    parts = np.where(np.sin(around) > 0, Part.GARMENT_LEFT, Part.GARMENT_RIGHT)
    mesh = mesh_of(tube, weights, colours, parts).attached(Bone.PELVIS, bind, look.proportions.height)
    return replace(mesh, open_faces=np.ones_like(mesh.open_faces))


def _shaped_torso(look: Look, detail: float) -> Reals:
    proportions = look.proportions
    rings = refined(_TORSO, round(24 * detail)).copy()
    y, half, front = rings[:, 0], rings[:, 1], rings[:, 2]
    feminine, bulk = proportions.feminine, proportions.bulk
    trunk = np.clip((0.33 - y) / 0.03, 0.0, 1.0)
    half *= 1.0 - 0.10 * feminine * _bump(y, 0.09, 0.05) + 0.05 * feminine * _bump(y, -0.01, 0.04)
    half *= 1.0 + (proportions.shoulders - 1.0) * np.clip((y - 0.15) / 0.08, 0.0, 1.0) * trunk
    half *= 1.0 + (proportions.hips - 1.0) * np.clip((0.08 - y) / 0.05, 0.0, 1.0)
    front += 0.016 * feminine * _bump(y, 0.215, 0.03) - 0.006 * feminine * _bump(y, 0.09, 0.05)
    front += 0.07 * max(0.0, bulk - 1.05) * _bump(y, 0.08, 0.06)
    rings[:, 1:4] *= (1.0 + (bulk**0.8 - 1.0) * (0.5 + 0.5 * trunk))[:, None]
    return rings


def _torso_weights(vertices: Reals) -> Reals:
    """The tops of the shoulders follow the collar bones."""
    weights = weights_along(vertices[:, 1], _TORSO_NODES)
    side = vertices[:, 0]
    share = np.clip((np.abs(side) - 0.03) / 0.07, 0.0, 1.0) * np.clip((vertices[:, 1] - 0.23) / 0.04, 0.0, 1.0)
    share *= weights[:, Bone.CHEST]
    weights[:, Bone.CHEST] -= share
    weights[:, Bone.LEFT_CLAVICLE] = np.where(side > 0, share, 0.0)
    weights[:, Bone.RIGHT_CLAVICLE] = np.where(side > 0, 0.0, share)
    return weights


def _hand(look: Look) -> Mesh:
    """Palm, fingers and thumb in the hand's frame; the palm faces the body."""
    palm, finger = Tube(refined(_PALM, 5), 8), Tube(refined(_FINGER, 4), 5)
    across, along, deep = finger.vertices.T
    bend = look.curl * 2.2 + 0.15
    # Each finger lies on an arc; index finger first.
    lengths = np.array([0.95, 1.06, 1.0, 0.8])[:, None]
    places = np.array([0.0175, 0.006, -0.0055, -0.0165])[:, None]
    angle = bend * np.clip(-along * lengths, 0.0, None) / _FINGER_LENGTH
    radius = _FINGER_LENGTH / bend
    x = -radius * (1.0 - np.cos(angle)) + across * np.cos(angle)
    y = -0.050 - radius * np.sin(angle) + across * np.sin(angle)
    z = deep + places * (1.0 + 0.5 * angle / bend)
    thumb = np.stack(
        [1.2 * across - 0.006 + 0.3 * along, 0.8 * along - 0.012, 1.2 * deep + 0.016 - 0.6 * along], axis=1
    )
    vertices = np.concatenate([palm.vertices, np.stack([x, y, z], axis=-1).reshape(-1, 3), thumb])
    starts = len(palm.vertices) + len(across) * np.arange(5)
    faces = np.concatenate([palm.faces, (finger.faces + starts[:, None, None]).reshape(-1, 4)])
    return patch(vertices, faces, np.array(look.skin), Part.HAND_LEFT, Bone.LEFT_HAND)


def _shoe(look: Look) -> Mesh:
    tube = Tube(refined(_SHOE, 11), 10)
    x, along, down = tube.vertices.T
    below = np.cos(tube.face_angles)
    colours = np.where((below > 0.55)[:, None], look.sole, look.shoes)
    # Laces and tongue.
    tongue = (below < -0.8) & (tube.face_heights > 0.015) & (tube.face_heights < 0.065)
    colours = np.where(tongue[:, None], 0.5 * (np.array(look.shoes) + look.sole), colours)
    mesh = mesh_of(tube, all_on(Bone.LEFT_FOOT, len(x)), colours, Part.FOOT_LEFT)
    return replace(mesh, vertices=np.stack([x + 0.12 * np.clip(along, 0.0, None), -down, along], axis=1))


def _dressed(look: Look, cloth: Cloth, dressed: NDArray[np.bool_], tube: Tube, noise: Reals) -> Reals:
    """Colours (F, 3): creased cloth where `dressed`, else skin."""
    fabric = cloth.paint(tube.face_angles, tube.face_heights, noise) * (1.0 + 0.14 * noise[:, None])
    fabric *= np.where(tube.face_rims, 0.4, 1.0)[:, None]
    return np.where(dressed[:, None], fabric, np.array(look.skin) * (1.0 + 0.03 * noise[:, None]))


def _stretched(mesh: Mesh, factor: float) -> Mesh:
    """The mesh of a limb that is longer by `factor` below its joint."""
    vertices = mesh.vertices.copy()
    vertices[:, 1] *= np.where(vertices[:, 1] < 0, factor, 1.0)
    return replace(mesh, vertices=vertices)


def _bump(values: Reals, centre: float, width: float) -> Reals:
    return np.exp(-(((values - centre) / width) ** 2))
