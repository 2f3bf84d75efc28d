"""Cameras, light and painted surroundings: a floor, a wall or a view behind it, and things that stand about.

The world's axes are x right, y up, z towards the viewer, in metres, the floor at y = 0.
Shapes: F faces, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.synthetic.mesh import Tube
from vipnas_cli.synthetic.skeleton import Reals

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along -z: position (3,) in metres, angles in radians, focal length in pixels."""

    height: int
    width: int
    position: tuple[float, float, float]
    focal: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @cached_property
    def matrix(self) -> Reals:
        """The projection (3, 4) from the world to pixels; (0, 0) is the centre of the top-left pixel."""
        (cy, cp, cr), (sy, sp, sr) = (
            np.cos([self.yaw, self.pitch, self.roll]),
            np.sin([self.yaw, self.pitch, self.roll]),
        )
        # Positive yaw looks to the right, positive pitch looks down; the rows point right, down and ahead.
        level = np.array([[cy, 0.0, sy], [0.0, -1.0, 0.0], [sy, 0.0, -cy]])
        tilt = np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])
        turn = np.array([[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]])
        rotation = turn @ tilt @ level
        inner = np.array(
            [[self.focal, 0.0, (self.width - 1) / 2], [0.0, self.focal, (self.height - 1) / 2], [0.0, 0.0, 1.0]]
        )
        matrix: Reals = inner @ np.concatenate([rotation, -rotation @ np.array(self.position)[:, None]], axis=1)
        return matrix

    def project(self, points: Reals) -> tuple[Reals, Reals]:
        """Pixels (…, 2) and depths (…) in metres of world points (…, 3)."""
        matrix = self.matrix
        seen = points @ matrix[:, :3].T + matrix[:, 3]
        depths = np.maximum(seen[..., 2], 0.05)
        return seen[..., :2] / depths[..., None], depths


@dataclass(frozen=True)
class Light:
    """Where light comes from, unit vector (3,), and how much of it is direct and how much is everywhere."""

    direction: Reals
    direct: float
    ambient: float
    tint: Reals

    def shade(self, normals: Reals) -> Reals:
        """Brightness (F, 3) of surfaces with unit normals (F, 3)."""
        facing = np.clip((normals @ self.direction + 0.2) / 1.2, 0.0, 1.0)
        everywhere = self.ambient * (0.8 + 0.2 * normals[:, 1])
        return (everywhere + self.direct * facing)[:, None] * self.tint


@dataclass(frozen=True)
class Surface:
    """Vertices (V, 3) in the world in metres and quads (F, 4) of them, seen from outside counter-clockwise.

    colours (F, 3) in 0-1, lifts (F,) in metres, codes (F,) of what is shown; open_faces (F,) are seen from both sides.
    """

    vertices: Reals
    faces: NDArray[np.int64]
    colours: Reals
    lifts: Reals
    codes: NDArray[np.int64]
    open_faces: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Pictures of the floor and of the wall behind it, with their pixels per metre, the light and the things around."""

    floor: Image
    wall: Image
    floor_grain: float
    wall_grain: float
    wall_distance: float
    light: Light
    props: tuple[Surface, ...] = ()

    def backdrop(self, camera: Camera) -> Image:
        """What the camera sees of floor and wall, (H, W, 3)."""
        matrix = camera.matrix
        rows, columns = self.wall.shape[:2]
        # From texture pixels to metres on the wall (x, y) and on the floor (x, z).
        wall, floor = 1.0 / self.wall_grain, 1.0 / self.floor_grain
        on_wall = np.array([[wall, 0, -columns / 2 * wall], [0, -wall, rows * wall], [0, 0, 1]])
        at_wall = np.array([[1, 0, 0], [0, 1, 0], [0, 0, -self.wall_distance], [0, 0, 1]])
        side = len(self.floor) / 2 * floor
        on_floor = np.array([[floor, 0, -side], [0, floor, -side - self.wall_distance / 2], [0, 0, 1]])
        at_floor = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])
        foot = self.floor_mask(camera)
        # Each picture is warped only into the rows where it can be seen.
        first = int(np.count_nonzero(~foot.any(axis=1)))
        last = camera.height - int(np.count_nonzero(foot.all(axis=1)))
        picture = np.empty((camera.height, camera.width, 3), np.uint8)
        if last > 0:
            upper = matrix @ at_wall @ on_wall
            picture[:last] = cv2.warpPerspective(self.wall, upper, (camera.width, last), borderMode=cv2.BORDER_REFLECT)
        if first < camera.height:
            lower = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -first], [0.0, 0.0, 1.0]]) @ matrix @ at_floor @ on_floor
            ground = cv2.warpPerspective(
                self.floor, lower, (camera.width, camera.height - first), borderMode=cv2.BORDER_REFLECT
            )
            picture[first:] = cv2.copyTo(ground, foot[first:], picture[first:].copy())
        return picture

    def floor_mask(self, camera: Camera) -> Image:
        """255 where the camera sees the floor, (H, W)."""
        x = camera.position[0]
        ends = np.array([[x - 3.0, 0.0, -self.wall_distance], [x + 3.0, 0.0, -self.wall_distance]])
        (left, right), _ = camera.project(ends)
        slope = (right[1] - left[1]) / (right[0] - left[0])
        edge = left[1] + slope * (np.arange(camera.width) - left[0])
        return np.where(np.arange(camera.height)[:, None] > edge, 255, 0).astype(np.uint8)


def random_light(generator: np.random.Generator) -> Light:
    """Light from above, from any side."""
    around, height = generator.uniform(0.0, 2 * np.pi), generator.uniform(0.45, 1.35)
    direction = np.array([np.cos(height) * np.sin(around), np.sin(height), np.cos(height) * np.cos(around)])
    ambient = generator.uniform(0.35, 0.75)
    level = generator.uniform(0.9, 1.35)
    warmth = generator.normal(0.0, 0.05)
    tint = np.array([1.0 + warmth, 1.0 + 0.2 * warmth, 1.0 - warmth])
    return Light(direction, float(level - 0.75 * ambient), float(ambient), tint)


def box(centre: Reals, size: Reals, turn: float, colour: Reals, cell: float = 0.35) -> list[Reals]:
    """Corners (F, 4, 3) and colours (F, 3) of a box whose faces are cut into cells of about `cell` metres."""
    unit = _unit_box(tuple(max(1, round(float(side) / cell)) for side in size))
    spin = np.array([[np.cos(turn), 0.0, np.sin(turn)], [0.0, 1.0, 0.0], [-np.sin(turn), 0.0, np.cos(turn)]])
    return [unit * size @ spin.T + centre, np.tile(colour, (len(unit), 1))]


@cache
def _unit_box(cells: tuple[int, ...]) -> Reals:
    """Corners (F, 4, 3) of the faces of a cube of edge 1, each cut into cells."""
    faces = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            # The order of the two other axes makes the face look outwards.
            u, v = ((axis + 1) % 3, (axis + 2) % 3)[:: int(sign)]
            i, j = (grid.ravel() for grid in np.meshgrid(np.arange(cells[u]), np.arange(cells[v]), indexing="ij"))
            face = np.full((len(i), 4, 3), sign / 2)
            for corner, (di, dj) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
                face[:, corner, u] = (i + di) / cells[u] - 0.5
                face[:, corner, v] = (j + dj) / cells[v] - 0.5
            faces.append(face)
    return np.concatenate(faces)


def column(centre: Reals, radius: float, height: float, colours: Reals) -> list[Reals]:
    """Corners and colours of a round pillar that stands at `centre`; colours (N, 3) from the top down."""
    count = len(colours)
    y = np.linspace(height, 0.0, count + 1)
    around = np.full(count + 1, radius)
    tube = Tube(np.stack([y, around, around, around, 0.0 * y], axis=1), 14)
    return [tube.vertices[tube.faces] + centre, np.repeat(colours, 14, axis=0)]


def ball(centre: Reals, radius: float, colours: Reals) -> list[Reals]:
    """Corners and colours of a ball; two colours (2, 3) alternate."""
    angle = np.linspace(0.0, np.pi, 9)
    around = np.sin(angle) * radius + 1e-4
    tube = Tube(np.stack([radius * np.cos(angle), around, around, around, 0.0 * angle], axis=1), 12)
    checks = ((np.arange(8)[:, None] // 2 + np.arange(12)[None] // 3) % 2).ravel()
    return [tube.vertices[tube.faces] + centre, colours[checks]]
