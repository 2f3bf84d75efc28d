"""From posed bodies to a picture and its truth.

Everything is a quad; quads are painted from far to near into a canvas of `FINER` times the size whose fourth channel
says what each pixel shows. So the picture is smooth and the truth is exact.
Shapes: H, W pixels, P people, K keypoints of COCO17, F faces, V vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import COCO17
from vipnas_cli.synthetic.body import Body
from vipnas_cli.synthetic.mesh import Part
from vipnas_cli.synthetic.scene import Camera, Image, Light, Scene, Surface
from vipnas_cli.synthetic.skeleton import Pose, Reals

FINER = 2
_PARTS = len(Part)
_MOST_PEOPLE = 254 // _PARTS
# A person of whom fewer pixels are left is not in the picture.
_LEAST_PIXELS = 12


@dataclass(frozen=True)
class Actor:
    """A body in a pose at a place (3,) in metres; ids are the caller's."""

    id: int
    body: Body
    pose: Pose
    place: Reals


@dataclass(frozen=True)
class SyntheticFrame:
    """A rendered picture and what is in it.

    image (H, W, 3) uint8 RGB; ids (P,); boxes_frame (P, 4) xyxy tightly around what is seen of each person;
    points_frame (P, K, 2); visibility (P, K): 2 seen, 1 hidden by the body itself, another or a thing, 0 outside the
    picture; owners (H, W): 0 nobody, else 1 + the row of the person whom the pixel shows, all or in part.
    """

    image: Image
    ids: NDArray[np.int64]
    boxes_frame: NDArray[np.float32]
    points_frame: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    owners: NDArray[np.uint8]


def render(scene: Scene, camera: Camera, actors: Sequence[Actor]) -> SyntheticFrame:
    """Paint the actors into the scene; UsageError for more people than a canvas can tell apart."""
    if len(actors) > _MOST_PEOPLE:
        raise UsageError(
            f"{len(actors)} people are too many for one synthetic picture", f"Ask for at most {_MOST_PEOPLE}."
        )
    placed = [actor.body.placed(actor.pose, actor.place) for actor in actors]
    backdrop = scene.backdrop(camera)
    shadows = [_Caster(vertices, actor.body.groups) for actor, (vertices, _, _) in zip(actors, placed, strict=True)]
    shadows += [_Caster(prop.vertices, (np.arange(len(prop.vertices)),)) for prop in scene.props]
    backdrop = _shadowed(backdrop, shadows, scene, camera)
    clear = cv2.merge([backdrop, np.zeros(backdrop.shape[:2], np.uint8)])
    canvas = cv2.resize(clear, (camera.width * FINER, camera.height * FINER), interpolation=cv2.INTER_LINEAR).astype(
        np.uint8
    )
    surfaces = [
        _surface(index, actor.body, vertices)
        for index, (actor, (vertices, _, _)) in enumerate(zip(actors, placed, strict=True))
    ]
    _paint(canvas, [*surfaces, *scene.props], camera, scene.light)
    image = cv2.cvtColor(
        cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGBA2RGB
    )
    points = np.array([camera.project(keypoints)[0] for _, keypoints, _ in placed]).reshape(
        -1, len(COCO17.keypoints), 2
    )
    return _truth(image.astype(np.uint8), canvas[..., 3], np.array([actor.id for actor in actors], np.int64), points)


def _surface(index: int, body: Body, vertices: Reals) -> Surface:
    mesh = body.mesh
    return Surface(vertices, mesh.faces, mesh.colours, mesh.lifts, 1 + index * _PARTS + mesh.parts, mesh.open_faces)


@dataclass(frozen=True)
class _Caster:
    """Points (V, 3) whose groups throw the shadows of their convex hulls."""

    points: Reals
    groups: tuple[NDArray[np.int64], ...]


def _shadowed(backdrop: Image, casters: Sequence[_Caster], scene: Scene, camera: Camera) -> Image:
    """The backdrop with soft shadows on the floor, drawn at half the size."""
    height, width = backdrop.shape[:2]
    shadow = np.zeros((height // 2, width // 2), np.uint8)
    slope = scene.light.direction / scene.light.direction[1]
    for caster in casters:
        pixels, depths = camera.project(caster.points - caster.points[:, 1:2] * slope)
        if depths.min() < 0.3:
            continue
        corners = np.clip(pixels * 4.0, -1e5, 1e5).astype(np.int32)
        for group in caster.groups:
            if len(group):
                cv2.fillConvexPoly(shadow, cv2.convexHull(corners[group]), 255, cv2.LINE_8, 3)
    depth = 0.8 * scene.light.direct / (scene.light.direct + scene.light.ambient)
    soft = cv2.GaussianBlur(shadow, (0, 0), max(0.8, camera.height / 320.0))
    bright = cv2.resize(cv2.convertScaleAbs(soft, alpha=-depth, beta=255.0), (width, height))
    bright = cv2.bitwise_or(bright, 255 - scene.floor_mask(camera))
    return cv2.multiply(backdrop, cv2.merge([bright] * 3), scale=1 / 255).astype(np.uint8)


def _paint(canvas: Image, surfaces: Sequence[Surface], camera: Camera, light: Light) -> None:
    """Paint all faces that look towards the camera, the farthest first."""
    if not surfaces:
        return
    starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    faces = np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=False)])
    pixels, depths = camera.project(vertices)
    diagonal, other = pixels[faces[:, 2]] - pixels[faces[:, 0]], pixels[faces[:, 3]] - pixels[faces[:, 1]]
    # Counter-clockwise seen from outside is negative where y points down.
    outside = diagonal[:, 0] * other[:, 1] - diagonal[:, 1] * other[:, 0] < 0
    margin = camera.height / 4
    near = ((pixels > -margin) & (pixels < (camera.width + margin, camera.height + margin))).all(axis=1) & (
        depths > 0.2
    )
    shown = near[faces].all(axis=1) & (outside | np.concatenate([surface.open_faces for surface in surfaces]))
    seen = np.flatnonzero(shown)
    keys = depths[faces[seen]] @ np.full(4, 0.25) - np.concatenate([surface.lifts for surface in surfaces])[seen]
    seen = seen[np.argsort(-keys, kind="stable")]
    faces, outside = faces[seen], outside[seen]
    colours = np.empty((len(seen), 4))
    bright = light.shade(_normals(vertices, faces) * np.where(outside, 1.0, -1.0)[:, None])
    bright *= np.where(outside, 255.0, 150.0)[:, None]
    colours[:, :3] = np.minimum(np.concatenate([surface.colours for surface in surfaces])[seen] * bright, 255.0)
    colours[:, 3] = np.concatenate([surface.codes for surface in surfaces])[seen]
    polygons = (((pixels + 0.5) * FINER - 0.5) * 8.0).astype(np.int32)[faces]
    for polygon, colour in zip(polygons, colours.tolist(), strict=True):
        cv2.fillConvexPoly(canvas, polygon, colour, cv2.LINE_8, 3)


def _normals(vertices: Reals, faces: NDArray[np.int64]) -> Reals:
    """Unit normals (F, 3) of quads."""
    ax, ay, az = (vertices[faces[:, 2]] - vertices[faces[:, 0]]).T
    bx, by, bz = (vertices[faces[:, 3]] - vertices[faces[:, 1]]).T
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)
    length = np.sqrt(np.einsum("fa,fa->f", normals, normals))
    unit: Reals = normals / (length + 1e-12)[:, None]
    return unit


def _truth(image: Image, codes: Image, ids: NDArray[np.int64], points: Reals) -> SyntheticFrame:
    """Boxes, visibility and owners from the codes (2H, 2W) of the canvas; people who are not seen are left out."""
    height, width = image.shape[:2]
    table = np.zeros(256, np.uint8)
    rows, boxes, visible = [], [], []
    people = _people_of(codes)
    for index in range(len(ids)):
        box = _box_of(people == index + 1)
        if box is None:
            continue
        rows.append(index)
        boxes.append(np.clip(box, 0.0, [width - 1, height - 1, width - 1, height - 1]))
        visible.append(_visibility(codes, index, points[index], (height, width)))
        table[index + 1] = len(rows)
    # A pixel that somebody fills in part is that person's.
    quarters = [people[row::FINER, column::FINER] for row in range(FINER) for column in range(FINER)]
    owners = table[np.maximum.reduce(quarters)]
    return SyntheticFrame(
        image,
        ids[rows],
        np.array(boxes, np.float32).reshape(-1, 4),
        points[rows].astype(np.float32),
        np.array(visible, np.uint8).reshape(-1, points.shape[1]),
        owners,
    )


def _people_of(codes: Image) -> Image:
    """For each code 1 + the index of its person, 0 for backdrop and things."""
    table = (np.arange(256) + _PARTS - 1) // _PARTS
    table[[0, 255]] = 0
    return cv2.LUT(codes, table.astype(np.uint8)).astype(np.uint8)


def _box_of(mask: NDArray[np.bool_]) -> Reals | None:
    """The edges xyxy, in pixels of the picture, of the canvas pixels that `mask` selects; None for too few."""
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    if not len(rows) or np.count_nonzero(mask) < _LEAST_PIXELS * FINER**2:
        return None
    edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    return edges / FINER - 0.5


def _visibility(codes: Image, index: int, points: Reals, size: tuple[int, int]) -> NDArray[np.uint8]:
    """2, 1 or 0 for keypoints (K, 2): is one of the parts that carry the keypoint what the picture shows there?"""
    height, width = size
    inside = ((points >= -0.5) & (points < (width - 0.5, height - 0.5))).all(axis=1)
    cell = np.clip(np.floor((points + 0.5) * FINER), 0, (width * FINER - 1, height * FINER - 1)).astype(np.int64)
    part = codes[cell[:, 1], cell[:, 0]].astype(np.int64) - 1 - index * _PARTS
    shown = np.zeros(len(points), np.bool_)
    own = (part >= 0) & (part < _PARTS)
    shown[own] = _CARRIERS[np.flatnonzero(own), part[own]]
    return np.where(inside, 1 + shown, 0).astype(np.uint8)


def _carriers() -> NDArray[np.bool_]:
    """Which parts (K, parts) of the surface show which keypoint."""
    by_joint = {
        **{"nose": "FACE", "eye": "FACE", "ear": "EAR", "shoulder": "TORSO UPPER_ARM", "elbow": "UPPER_ARM FOREARM"},
        **{"wrist": "FOREARM HAND", "hip": "TORSO THIGH GARMENT", "knee": "THIGH SHIN", "ankle": "SHIN FOOT"},
    }
    carriers = np.zeros((len(COCO17.keypoints), _PARTS), np.bool_)
    for row, name in zip(carriers, COCO17.keypoints, strict=True):
        side, _, joint = name.rpartition("_")
        for part in by_joint[joint].split():
            for suffix in [side.upper()] if side else ["LEFT", "RIGHT"]:
                row[Part[f"{part}_{suffix}"]] = True
    return carriers


_CARRIERS = _carriers()
