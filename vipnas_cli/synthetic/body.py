"""A dressed body that any pose can move."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vipnas_cli.synthetic.head import head_meshes
from vipnas_cli.synthetic.limbs import arm_meshes, leg_meshes, skirt_mesh, torso_mesh
from vipnas_cli.synthetic.looks import Look
from vipnas_cli.synthetic.mesh import Integers, Mesh, joined
from vipnas_cli.synthetic.skeleton import BONES, Bone, Pose, Posture, Reals, keypoints_of, posture_of


@dataclass(frozen=True)
class Body:
    """A dressed person that any pose can move."""

    look: Look
    mesh: Mesh
    bind: Posture

    @cached_property
    def groups(self) -> tuple[Integers, ...]:
        """The vertices that each bone moves most."""
        owners = self.mesh.weights.argmax(axis=1)
        return tuple(np.flatnonzero(owners == bone) for bone in range(BONES))

    def placed(self, pose: Pose, place: Reals) -> tuple[Reals, Reals, Posture]:
        """Vertices (V, 3), keypoints (K, 3) and posture; the lowest point is `pose.lift` metres above `place` (3,)."""
        posture = posture_of(pose, self.look.proportions)
        vertices = self.mesh.posed(posture, self.bind)
        shift = place + np.array([0.0, pose.lift - vertices[:, 1].min(), 0.0])
        posture = posture.moved(shift)
        return vertices + shift, keypoints_of(posture, self.look.proportions), posture


def body_of(look: Look, generator: np.random.Generator, detail: float = 1.0) -> Body:
    """Build the surface of a person; the generator draws its creases, `detail` scales the rows of faces."""
    angles = np.zeros((BONES, 3))
    # Binding with half raised arms and slightly spread legs keeps shoulders and crotch in shape at both extremes.
    angles[[Bone.LEFT_UPPER_ARM, Bone.RIGHT_UPPER_ARM], 1] = np.radians(45.0)
    angles[[Bone.LEFT_THIGH, Bone.RIGHT_THIGH], 1] = np.radians(6.0)
    bind = posture_of(Pose(angles), look.proportions)
    limbs = [*arm_meshes(look, bind, generator, detail), *leg_meshes(look, bind, generator, detail)]
    meshes = [torso_mesh(look, bind, generator, detail), *limbs, *(limb.mirrored() for limb in limbs)]
    meshes += head_meshes(look, bind, generator, detail)
    if look.skirt:
        meshes.append(skirt_mesh(look, bind, generator, detail))
    return Body(look, joined(meshes), bind)
