"""Quad meshes that follow a skeleton, and the tubes they are made of.

Shapes: V vertices, F faces, J bones, N rings, M segments around a tube.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.synthetic.skeleton import BONES, MIRRORED, Bone, Posture, Reals

Integers = NDArray[np.int64]
Table = tuple[tuple[float, ...], ...]
Nodes = tuple[tuple[float, tuple[tuple[Bone, float], ...]], ...]


class Part(IntEnum):
    """The parts of a body's surface that decide which keypoints can be seen; right is left plus one."""

    TORSO_LEFT = 0
    TORSO_RIGHT = 1
    FACE_LEFT = 2
    FACE_RIGHT = 3
    EAR_LEFT = 4
    EAR_RIGHT = 5
    UPPER_ARM_LEFT = 6
    UPPER_ARM_RIGHT = 7
    FOREARM_LEFT = 8
    FOREARM_RIGHT = 9
    HAND_LEFT = 10
    HAND_RIGHT = 11
    THIGH_LEFT = 12
    THIGH_RIGHT = 13
    SHIN_LEFT = 14
    SHIN_RIGHT = 15
    FOOT_LEFT = 16
    FOOT_RIGHT = 17
    GARMENT_LEFT = 18
    GARMENT_RIGHT = 19
    NECK = 20
    SCALP = 21


@dataclass(frozen=True)
class Mesh:
    """A surface in the bind pose.

    vertices (V, 3); weights (V, J) of the bones, rows add up to 1; faces (F, 4) seen from outside run
    counter-clockwise; colours (F, 3) in 0-1; parts (F,); lifts (F,) metres by which a face wins over what it lies on;
    open_faces (F,) are seen from both sides.
    """

    vertices: Reals
    weights: Reals
    faces: Integers
    colours: Reals
    parts: Integers
    lifts: Reals
    open_faces: NDArray[np.bool_]

    def attached(self, bone: Bone, bind: Posture, size: float) -> Mesh:
        """The mesh scaled by `size` and carried from the frame of `bone` into the bind pose."""
        return replace(self, vertices=bind.origins[bone] + size * self.vertices @ bind.rotations[bone].T)

    def mirrored(self) -> Mesh:
        """The mesh of the right side for one of the left side."""
        return replace(
            self,
            vertices=self.vertices * (-1.0, 1.0, 1.0),
            weights=self.weights[:, list(MIRRORED)],
            faces=self.faces[:, ::-1],
            parts=self.parts + 1,
        )

    def posed(self, posture: Posture, bind: Posture) -> Reals:
        """Vertices (V, 3) in the world, blended over the bones."""
        turns = posture.rotations @ bind.rotations.transpose(0, 2, 1)
        shifts = posture.origins - np.einsum("jab,jb->ja", turns, bind.origins)
        blended = self.weights @ np.concatenate([turns.reshape(BONES, 9), shifts], axis=1)
        matrices = blended[:, :9].reshape(-1, 3, 3)
        posed: Reals = np.einsum("vab,vb->va", matrices, self.vertices) + blended[:, 9:]
        return posed


def mesh_of(tube: Tube, weights: Reals, colours: Reals, parts: Integers | int) -> Mesh:
    """The mesh of a tube as it stands; weights (V, J), colours (F, 3) or one, parts (F,) or one."""
    count = len(tube.faces)
    return Mesh(
        tube.vertices,
        weights,
        tube.faces,
        np.array(np.broadcast_to(colours, (count, 3)), np.float64),
        np.array(np.broadcast_to(parts, count), np.int64),
        np.zeros(count),
        np.full(count, not tube.closed),
    )


def patch(vertices: Reals, faces: Integers, colours: Reals, parts: Integers | int, bone: Bone) -> Mesh:
    """A surface in the frame of the one bone that moves it; colours (F, 3) or one, parts (F,) or one."""
    count = len(faces)
    return Mesh(
        vertices,
        all_on(bone, len(vertices)),
        faces,
        np.array(np.broadcast_to(colours, (count, 3)), np.float64),
        np.array(np.broadcast_to(parts, count), np.int64),
        np.zeros(count),
        np.zeros(count, np.bool_),
    )


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.weights for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
        np.concatenate([mesh.colours for mesh in meshes]),
        np.concatenate([mesh.parts for mesh in meshes]),
        np.concatenate([mesh.lifts for mesh in meshes]),
        np.concatenate([mesh.open_faces for mesh in meshes]),
    )


@dataclass(frozen=True)
class Tube:
    """A tube along y, from the top down: rings (N, 5) of y, half width, depth in front, depth behind, centre z.

    `span` is the range of angles around it in radians, 0 in front, positive to the left.
    """

    rings: Reals
    segments: int
    span: tuple[float, float] = (0.0, 2.0 * np.pi)

    @property
    def closed(self) -> bool:
        """Whether the tube goes all the way round."""
        return self.span[1] - self.span[0] > 6.28

    @property
    def angles(self) -> Reals:
        """The angles (M,) of the vertices of a ring."""
        return _angles(self.segments, self.span)

    @cached_property
    def vertices(self) -> Reals:
        """The vertices (N·M, 3), ring by ring."""
        y, half, front, back, centre = self.rings.T[:, :, None]
        sine, cosine = np.sin(self.angles), np.cos(self.angles)
        vertices = np.empty((len(self.rings), len(self.angles), 3))
        vertices[..., 0] = half * sine
        vertices[..., 1] = y
        vertices[..., 2] = centre + np.where(cosine > 0, front, back) * cosine
        return vertices.reshape(-1, 3)

    @property
    def faces(self) -> Integers:
        """The quads ((N - 1)·segments, 4)."""
        return _quads(len(self.rings), self.segments, self.closed)

    @cached_property
    def face_angles(self) -> Reals:
        """The angle (F,) in the middle of each face, in -π to π."""
        middle = self.span[0] + (np.arange(self.segments) + 0.5) * (self.span[1] - self.span[0]) / self.segments
        return np.tile((middle + np.pi) % (2 * np.pi) - np.pi, len(self.rings) - 1)

    @cached_property
    def face_heights(self) -> Reals:
        """The height y (F,) in the middle of each face."""
        y = self.rings[:, 0]
        return np.repeat(0.5 * (y[1:] + y[:-1]), self.segments)

    @property
    def face_rims(self) -> NDArray[np.bool_]:
        """Whether a face (F,) is the rim of a sleeve or a trouser leg, which has no length."""
        return np.repeat(np.abs(np.diff(self.rings[:, 0])) < 1e-9, self.segments)

    @property
    def vertex_angles(self) -> Reals:
        """The angle (N·M,) of each vertex."""
        return np.tile(self.angles, len(self.rings))

    def noise(self, generator: np.random.Generator, grain: float) -> Reals:
        """Smooth noise (F,) in about -1 to 1, `grain` faces wide."""
        rows, columns = len(self.rings) - 1, self.segments
        coarse = generator.uniform(-1.0, 1.0, (max(2, round(rows / grain)), max(2, round(columns / grain))))
        return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float64).ravel()


@cache
def _angles(segments: int, span: tuple[float, float]) -> Reals:
    closed = span[1] - span[0] > 6.28
    return np.linspace(*span, segments + (not closed), endpoint=not closed)


@cache
def _quads(rings: int, segments: int, closed: bool) -> Integers:
    count = segments if closed else segments + 1
    ring, segment = np.meshgrid(np.arange(rings - 1), np.arange(segments), indexing="ij")
    here, there = ring * count + segment, ring * count + (segment + 1) % count
    return np.stack([here, here + count, there + count, there], axis=-1).reshape(-1, 4)


@cache
def refined(table: Table, count: int) -> Reals:
    """About `count` rings (N, 5) that pass through all rings of a table; copy before changing them."""
    rings = np.array(table, np.float64)
    steps = np.abs(np.diff(rings[:, 0]))
    pieces = np.maximum(1, np.round(count * steps / steps.sum())).astype(np.int64)
    places = np.concatenate([[0.0], *(i + (np.arange(n) + 1) / n for i, n in enumerate(pieces))])
    return np.stack([np.interp(places, np.arange(len(rings)), column) for column in rings.T], axis=1)


def covered(rings: Reals, edge: float, ease: float, flare: float = 0.0) -> Reals:
    """Rings with cloth on all that lies above `edge`: wider by `ease`, by `flare` more at the edge, which is sharp."""
    at_edge = np.array([np.interp(edge, rings[::-1, 0], column[::-1]) for column in rings.T])
    above, below = rings[rings[:, 0] > edge + 1e-4], rings[rings[:, 0] < edge - 1e-4]
    dressed = np.concatenate([above, at_edge[None]])
    drop = np.clip((dressed[0, 0] - dressed[:, :1]) / max(dressed[0, 0] - edge, 1e-6), 0.0, 1.0)
    # Where a limb begins it is under the cloth of the trunk, so nothing is added there.
    dressed[:, 1:4] += ease * np.clip(4.0 * drop, 0.0, 1.0) + flare * drop**2
    return np.concatenate([dressed, at_edge[None] * (1, 0.97, 0.97, 0.97, 1), below])


def weights_along(heights: Reals, nodes: Nodes) -> Reals:
    """Bone weights (V, J) at heights (V,), linear between nodes of a height and the shares of some bones."""
    weights = np.zeros((len(heights), BONES))
    places, shares = _shares(nodes)
    for bone, column in shares:
        weights[:, bone] = np.interp(heights, places, column)
    return weights


@cache
def _shares(nodes: Nodes) -> tuple[Reals, tuple[tuple[int, Reals], ...]]:
    rising = sorted(nodes, key=lambda node: node[0])
    bones = sorted({bone for _, shares in nodes for bone, _ in shares})
    columns = tuple((int(bone), np.array([dict(shares).get(bone, 0.0) for _, shares in rising])) for bone in bones)
    return np.array([height for height, _ in rising]), columns


def all_on(bone: Bone, count: int) -> Reals:
    """Weights (count, J) of vertices that one bone moves."""
    weights = np.zeros((count, BONES))
    weights[:, bone] = 1.0
    return weights
