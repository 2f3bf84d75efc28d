"""The surface of a head: skull, face, ears, hair and headwear; lengths are parts of the body height."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from vipnas_cli.synthetic.looks import Look
from vipnas_cli.synthetic.mesh import Integers, Mesh, Part, Tube, all_on, mesh_of, patch, refined, weights_along
from vipnas_cli.synthetic.skeleton import LEFT_EAR, LEFT_EYE, Bone, Posture, Reals

Outline = tuple[tuple[float, float], ...]

# y above the base of the skull, half width, depth in front, depth behind, centre z
_SKULL = (
    *((0.1205, 0.003, 0.003, 0.003, 0.006), (0.118, 0.016, 0.022, 0.022, 0.006), (0.111, 0.029, 0.038, 0.039, 0.006)),
    *(
        (0.100, 0.0385, 0.050, 0.049, 0.007),
        (0.085, 0.0440, 0.0555, 0.0545, 0.008),
        (0.070, 0.0455, 0.0590, 0.0560, 0.008),
    ),
    *(
        (0.0565, 0.0450, 0.0560, 0.0550, 0.008),
        (0.045, 0.0440, 0.0585, 0.0520, 0.008),
        (0.030, 0.0415, 0.0590, 0.0460, 0.008),
    ),
    *(
        (0.016, 0.0375, 0.0590, 0.0360, 0.008),
        (0.004, 0.0320, 0.0480, 0.0280, 0.017),
        (-0.007, 0.0230, 0.0320, 0.0260, 0.032),
    ),
    (-0.0135, 0.0110, 0.0150, 0.0150, 0.042),
)
# The lower edge of the hair at angles from the front (0) to the nape (π).
_HAIRLINE_ANGLES = (0.0, 0.6, 1.05, 1.35, 1.6, 1.9, 2.3, np.pi)
_HAIRLINES = {
    "bald": (0.2,) * 8,
    "short": (0.093, 0.092, 0.080, 0.046, 0.070, 0.034, 0.006, -0.004),
    "medium": (0.082, 0.083, 0.066, 0.020, 0.026, 0.004, -0.010, -0.014),
    "cap": (0.088,) * 8,
}
_HAIRLINE_OF = {
    **{
        "buzz": "short",
        "ponytail": "short",
        "bun": "short",
        "long": "medium",
        "afro": "medium",
        "hat": "cap",
        "beanie": "cap",
    },
    **{style: style for style in _HAIRLINES},
}
_THICKNESS = {
    "bald": 0.0,
    "buzz": 0.0015,
    "short": 0.006,
    "medium": 0.010,
    "long": 0.009,
    "ponytail": 0.004,
    "bun": 0.004,
}
_THICKNESS |= {"afro": 0.030, "cap": 0.008, "hat": 0.010, "beanie": 0.009}
# Metres by which the patches of a face lie above each other, as a part of the body height.
_LAYER = 0.0002
_MIDDLE = np.array([0.0, 0.055, 0.008])


def head_meshes(look: Look, bind: Posture, generator: np.random.Generator, detail: float) -> list[Mesh]:
    """All that moves with the head, in the bind pose."""
    size = look.proportions.height * look.proportions.head
    pieces = [
        _skull(look, generator, detail),
        _nose(look),
        _decals(look),
        *_headwear(look, generator),
        *_hair_piece(look, generator),
    ]
    ear = _ear(look).attached(Bone.HEAD, bind, size)
    return [*(piece.attached(Bone.HEAD, bind, size) for piece in pieces), ear, ear.mirrored()]


def _skull(look: Look, generator: np.random.Generator, detail: float) -> Mesh:
    tube = Tube(refined(_SKULL, round(22 * detail)), round(24 * detail))
    covers = look.style in ("cap", "hat", "beanie")
    hairline = _HAIRLINES[_HAIRLINE_OF[look.style]]
    line = np.interp(np.pi - np.abs(tube.angles - np.pi), _HAIRLINE_ANGLES, hairline)
    grown = (
        np.clip((tube.vertices[:, 1] - np.tile(line, len(tube.rings)) + 0.002) / 0.006, 0.0, 1.0)
        * _THICKNESS[look.style]
    )
    outward = tube.vertices - _MIDDLE
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    noise = tube.noise(generator, 1.0)
    grain = 1.0 + 0.12 * noise[:, None]
    y, around = tube.face_heights, tube.face_angles
    hairy = y > np.interp(np.abs(around), _HAIRLINE_ANGLES, hairline)
    top = np.array(look.headwear if covers else look.hair)
    colours = np.where(hairy[:, None], top * grain, _face_colours(look, tube))
    if covers:
        short = np.interp(np.abs(around), _HAIRLINE_ANGLES, _HAIRLINES["short"])
        colours = np.where(((y > short) & ~hairy)[:, None], np.array(look.hair) * grain, colours)
    face = np.where(np.sin(around) > 0, Part.FACE_LEFT, Part.FACE_RIGHT)
    parts = np.where((np.abs(around) > 1.75) | hairy, Part.SCALP, face)
    mesh = mesh_of(tube, all_on(Bone.HEAD, len(grown)), colours, parts)
    return replace(mesh, vertices=tube.vertices + grown[:, None] * outward)


def _face_colours(look: Look, tube: Tube) -> Reals:
    """Skin with eye sockets, cheeks and beard."""
    y, around = tube.face_heights, np.abs(tube.face_angles)
    socket = np.exp(-(((y - 0.060) / 0.010) ** 2) - ((around - 0.38) / 0.26) ** 2)
    cheek = np.exp(-(((y - 0.035) / 0.012) ** 2) - ((around - 0.55) / 0.3) ** 2)
    jaw = np.clip((0.006 - y) / 0.01, 0.0, 1.0)
    skin = np.array(look.skin) * (1.0 - 0.22 * socket - 0.12 * jaw)[:, None]
    skin[:, 0] += 0.04 * cheek
    skin[:, 1] -= 0.03 * cheek
    bearded = (y < 0.031 - 0.012 * (around < 0.25) * (y > 0.012)) & (around < 1.45) & ((around > 0.75) | (y < 0.028))
    share = (look.beard * bearded)[:, None]
    face: Reals = (1.0 - share) * skin + share * np.array(look.hair)
    return face


def _front(x: Reals, y: Reals) -> Reals:
    """Points (N, 3) of the face at widths x and heights y."""
    rings = np.array(_SKULL)[::-1]
    half, front, centre = (np.interp(y, rings[:, 0], rings[:, column]) for column in (1, 2, 4))
    z = centre + front * np.sqrt(1.0 - np.clip(x / half, -0.97, 0.97) ** 2)
    return np.stack([x, y, z], axis=1)


@cache
def _decal(outline: Outline, lift: float) -> tuple[Reals, Integers]:
    """Vertices and quads of a patch on the face; `outline` of 6 or 8 points (x, y) runs counter-clockwise."""
    points = np.array(outline)
    count = len(points)
    faces = np.array([[i, i + 1, (-i - 2) % count, (-i - 1) % count] for i in range(count // 2 - 1)])
    return _front(points[:, 0], points[:, 1]) + np.array([0.0, 0.0, lift]), faces


@cache
def _disc(x: float, y: float, width: float, height: float) -> Outline:
    angles = np.linspace(0.0, 2 * np.pi, 8, endpoint=False) + np.pi / 8
    return tuple((x + width * float(np.cos(a)), y + height * float(np.sin(a))) for a in angles)


def _decals(look: Look) -> Mesh:
    """Eyes, brows, glasses and mouth in one mesh; what is higher lies on top."""
    patches = [*_eyes(look), *_mouth(look)]
    shapes = [_decal(outline, height * _LAYER) for outline, _, height in patches]
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in shapes)])
    counts = [len(faces) for _, faces in shapes]
    mesh = patch(
        np.concatenate([vertices for vertices, _ in shapes]),
        np.concatenate([faces + start for (_, faces), start in zip(shapes, starts, strict=False)]),
        np.repeat(np.array([colour for _, colour, _ in patches]), counts, axis=0),
        Part.FACE_LEFT,
        Bone.HEAD,
    )
    left = mesh.vertices[mesh.faces[:, 0], 0] > 0
    lifts = np.repeat([0.01 + 4.0 * _LAYER * height for _, _, height in patches], counts)
    return replace(mesh, parts=np.where(left, Part.FACE_LEFT, Part.FACE_RIGHT), lifts=lifts)


def _eyes(look: Look) -> list[tuple[Outline, Reals, int]]:
    patches: list[tuple[Outline, Reals, int]] = []
    skin, hair = np.array(look.skin), np.array(look.hair)
    for side in (1.0, -1.0):
        x, y = LEFT_EYE[0] * side, LEFT_EYE[1]
        if look.glasses:
            patches += [
                (_disc(x, y, 0.0150, 0.0120), np.full(3, 0.08), 1),
                (_disc(x, y, 0.0128, 0.0100), 0.72 * skin, 2),
            ]
        patches.append((_disc(x, y, 0.0088, 0.0048), 0.5 * skin, 3))
        patches.append((_disc(x, y - 0.0004, 0.0078, 0.0037), np.array([0.90, 0.88, 0.86]), 4))
        patches.append((_disc(x, y, 0.0036, 0.0037), 0.5 * hair + (0.03, 0.04, 0.06), 5))
        left, right = x - 0.0095, x + 0.0095
        arch = (
            (left, y + 0.0105),
            (left, y + 0.0080),
            (x, y + 0.0098),
            (right, y + 0.0080),
            (right, y + 0.0105),
            (x, y + 0.0128),
        )
        patches.append((arch, 0.8 * hair, 4))
    return patches


def _mouth(look: Look) -> list[tuple[Outline, Reals, int]]:
    # Three kinds of smile are enough, and their shapes are kept.
    smile = round(2.0 * look.smile) / 2.0
    rise, half, y = 0.003 * smile, 0.0125 + 0.002 * smile, 0.0145
    thin = 0.0014 if smile > 0.5 else 0.0006
    inside = np.array([0.92, 0.90, 0.86]) if smile > 0.5 else 0.35 * np.array(look.skin)
    patches = []
    for wide, thick, corner in ((half, 0.003, rise), (0.8 * half, thin, 0.7 * rise)):
        low, high = y - thick, y + thick
        outline = (
            (-wide, y + corner),
            (-half / 2, low),
            (half / 2, low),
            (wide, y + corner),
            (half / 2, high),
            (-half / 2, high),
        )
        patches.append(outline)
    return [(patches[0], np.array(look.skin) * (0.82, 0.60, 0.60), 3), (patches[1], inside, 5)]


def _nose(look: Look) -> Mesh:
    vertices = np.array(
        [
            *((0.0, 0.060, 0.0650), (0.0, 0.036, 0.0800), (0.0115, 0.0300, 0.0640), (-0.0115, 0.0300, 0.0640)),
            *((0.0, 0.0275, 0.0680), (0.006, 0.048, 0.0655), (-0.006, 0.048, 0.0655)),
        ]
    )
    faces = np.array([[0, 1, 2, 5], [0, 6, 3, 1], [1, 3, 4, 2]])
    shade = np.array([1.0, 1.0, 0.62])[:, None]
    parts = np.array([Part.FACE_LEFT, Part.FACE_RIGHT, Part.FACE_LEFT])
    mesh = patch(vertices, faces, np.array(look.skin) * shade, parts, Bone.HEAD)
    return replace(mesh, lifts=np.full(3, 0.012))


def _ear(look: Look) -> Mesh:
    table = (
        (0.062, 0.002, 0.004, 0.004, 0.0),
        (0.058, 0.0080, 0.011, 0.011, 0.0),
        (0.046, 0.0090, 0.012, 0.012, 0.002),
        (0.034, 0.005, 0.007, 0.007, 0.005),
        (0.028, 0.002, 0.003, 0.003, 0.006),
    )
    tube = Tube(np.array(table), 8)
    inner = np.exp(-(((tube.face_heights - 0.047) / 0.008) ** 2)) * (np.abs(tube.face_angles - 1.3) < 0.9)
    colours = np.array(look.skin) * (0.97 - 0.25 * inner)[:, None] * (1.0, 0.93, 0.92)
    mesh = mesh_of(tube, all_on(Bone.HEAD, len(tube.vertices)), colours, Part.EAR_LEFT)
    return replace(mesh, vertices=mesh.vertices + np.array([LEFT_EAR[0] - 0.0045, 0.0, LEFT_EAR[2] - 0.002]))


def _headwear(look: Look, generator: np.random.Generator) -> list[Mesh]:
    """The peak of a cap or the brim of a hat."""
    if look.style not in ("cap", "hat"):
        return []
    cap = look.style == "cap"
    width = generator.uniform(0.035, 0.05)
    inner, outer = (
        (0.090, 0.046, 0.066, 0.056, 0.004),
        (0.083, 0.046 + width * (0.1 if cap else 1.0), 0.066 + width, 0.056 + width, 0.004),
    )
    tube = Tube(np.array([inner, outer]), 10 if cap else 24, (-1.25, 1.25) if cap else (0.0, 2.0 * np.pi))
    mesh = mesh_of(tube, all_on(Bone.HEAD, len(tube.vertices)), np.array(look.headwear) * 0.85, Part.SCALP)
    return [replace(mesh, open_faces=np.ones_like(mesh.open_faces))]


def _hair_piece(look: Look, generator: np.random.Generator) -> list[Mesh]:
    """Hair that hangs or is tied."""
    if look.style == "long":
        length = generator.uniform(0.05, 0.17)
        drop = np.linspace(0.0, 1.0, 10)
        y = 0.085 - drop * (0.085 + length)
        half, back = 0.053 + 0.006 * np.sin(3.0 * drop), 0.062 + 0.012 * np.sin(2.2 * drop)
        tube = Tube(
            np.stack([y, half, np.full(10, 0.03), back, np.full(10, 0.004)], axis=1), 16, (1.35, 2 * np.pi - 1.35)
        )
        nodes = (
            (0.0, ((Bone.HEAD, 1.0),)),
            (-0.06, ((Bone.HEAD, 0.5), (Bone.NECK, 0.5))),
            (-0.13, ((Bone.NECK, 0.3), (Bone.CHEST, 0.7))),
        )
        weights = weights_along(tube.vertices[:, 1], nodes)
    elif look.style in ("ponytail", "bun"):
        tube = _tied(look.style == "bun", generator.uniform(0.06, 0.15))
        weights = all_on(Bone.HEAD, len(tube.vertices))
    else:
        return []
    strands = np.repeat(generator.uniform(-1.0, 1.0, (1, tube.segments)), len(tube.rings) - 1, axis=0).ravel()
    return [mesh_of(tube, weights, np.array(look.hair) * (1.0 + 0.18 * strands[:, None]), Part.SCALP)]


def _tied(bun: bool, length: float) -> Tube:
    drop = np.linspace(0.0, 1.0, 8)
    if bun:
        radius = 0.024 * np.sqrt(np.clip(1.0 - (2.0 * drop - 1.0) ** 2, 0.02, None))
        return Tube(np.stack([0.105 - 0.048 * drop, radius, radius, radius, np.full(8, -0.062)], axis=1), 10)
    radius = 0.004 + 0.016 * np.sin(np.pi * (0.12 + 0.85 * drop))
    centre = -0.058 - 0.03 * np.sin(np.pi * np.clip(0.7 * drop, 0.0, 0.5)) + 0.0 * drop
    return Tube(np.stack([0.085 - (length + 0.04) * drop, radius, radius, radius, centre], axis=1), 8)
