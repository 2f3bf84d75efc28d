"""Smooth local deformations that move pixels and points alike: a still person who moves their limbs.

Shapes: N points, M bumps, H, W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.pose import COCO17

Floats = NDArray[np.float64]
LIMB_ENDS = [
    COCO17.index(f"{side}_{part}") for side in ("left", "right") for part in ("elbow", "wrist", "knee", "ankle")
]
# The field is smooth, so it is computed on every fourth pixel only.
GRID = 4
# Steps of the fixed point for points; each shrinks the error by the field's steepness, at most STEEPEST.
ROUNDS = 12
STEEPEST = 0.5


@dataclass(frozen=True)
class Deformation:
    """A pixel at x comes from x − d(x), d a sum of Gaussian bumps: centres (M, 2), moves (M, 2), radii (M,)."""

    centres: Floats
    moves: Floats
    radii: Floats

    def displacement(self, points: Floats) -> Floats:
        """d at points (…, 2)."""
        away = points[..., None, :] - self.centres
        strength = np.exp(-(away**2).sum(-1) / (2 * self.radii**2))
        moved: Floats = strength @ self.moves
        return moved

    def scaled(self, factor: float) -> Deformation:
        """The same bumps moved `factor` times as far."""
        return Deformation(self.centres, factor * self.moves, self.radii)

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where points (N, 2) of the undeformed picture are seen."""
        start = points.astype(np.float64)
        found = start
        for _ in range(ROUNDS):
            found = start + self.displacement(found)
        return found.astype(np.float32)

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The deformed picture (H, W, 3); only what lies near a bump is computed."""
        height, width = image.shape[:2]
        reach = 3.5 * self.radii[:, None] + np.abs(self.moves)
        low = np.maximum(np.floor((self.centres - reach).min(0)), 0).astype(int)
        high = np.minimum(np.ceil((self.centres + reach).max(0)).astype(int) + 1, (width, height))
        if (high - low < 2).any():
            return image
        columns, rows = np.arange(low[0], high[0]), np.arange(low[1], high[1])
        coarse = np.meshgrid(_spaced(columns), _spaced(rows))
        field = self.displacement(np.stack(coarse, -1)).astype(np.float32)
        # Resizing puts samples in the middle of cells, as _spaced does.
        fine = cv2.resize(field, (len(columns), len(rows)), interpolation=cv2.INTER_CUBIC)
        across = (columns[None, :] - fine[..., 0]).astype(np.float32)
        down = (rows[:, None] - fine[..., 1]).astype(np.float32)
        result = image.copy()
        result[low[1] : high[1], low[0] : high[0]] = cv2.remap(
            image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return result


def _spaced(values: NDArray[np.int64]) -> Floats:
    """Middles of about every GRID values."""
    count = max(-(-len(values) // GRID), 1)
    step = len(values) / count
    spaced: Floats = values[0] - 0.5 + step * (np.arange(count) + 0.5)
    return spaced


def moving_limbs(person: LabelledPerson, size: float, generator: np.random.Generator) -> Deformation | None:
    """Random moves of some labelled ends of limbs, as far as `size` (of 1: about a twelfth of the person's box).

    None if no end of a limb is labelled. Nothing folds: where bumps would be too steep together they move less.
    """
    ends = [joint for joint in LIMB_ENDS if person.weights[joint] > 0]
    chosen = [joint for joint in ends if generator.random() < 0.7]
    if not chosen:
        return None
    reach = float((person.box_frame[2:] - person.box_frame[:2]).max())
    radii = reach * generator.uniform(0.08, 0.16, len(chosen))
    moves = generator.normal(0, size * reach / 12, (len(chosen), 2))
    # The slope of a Gaussian bump is at most its height over radius · √e; slopes of neighbours may add up.
    steepness = float((np.linalg.norm(moves, axis=1) / radii).sum() / np.sqrt(np.e))
    moves *= min(1.0, STEEPEST / max(steepness, 1e-9))
    return Deformation(person.points_frame[chosen].astype(np.float64), moves, radii)
