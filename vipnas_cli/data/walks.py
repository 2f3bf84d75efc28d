"""Clips made of labelled stills: a camera pans and zooms over a picture, and all labels go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson

Floats = NDArray[np.float64]
# How a detector errs: one standard deviation of a box's place and of its size.
PLACE_ERROR, SIZE_ERROR = 0.05, 0.08


@dataclass(frozen=True)
class _View:
    """What the camera shows of a still: the matrix (2, 3) that moves its pixels."""

    still: Path
    matrix: Floats


class Walks:
    """Clips in which a camera pans and zooms over still images, and their pictures.

    They let whole pipelines be compared on labelled stills that no training saw. Boxes err as a detector's would. The
    image of a frame is a name made up for it; `read` gives its picture.
    """

    def __init__(self, people: Sequence[LabelledPerson], frames: int, generator: np.random.Generator) -> None:
        """One clip of `frames` pictures for each person."""
        self._views: dict[Path, _View] = {}
        self.clips = [self._clip(number, person, frames, generator) for number, person in enumerate(people)]

    def read(self, image: Path) -> NDArray[np.uint8]:
        """The RGB picture (H, W, 3) of a frame, as large as its still; what lies outside the still is black."""
        view = self._views[image]
        still = _still(view.still)
        return np.asarray(cv2.warpAffine(still, view.matrix, still.shape[1::-1]), np.uint8)

    def _clip(self, number: int, person: LabelledPerson, frames: int, generator: np.random.Generator) -> PersonClip:
        """The camera keeps its direction and its zoom; both are drawn once."""
        height, width = _still(person.image).shape[:2]
        size = person.box_frame[2:] - person.box_frame[:2]
        middle = (person.box_frame[:2] + person.box_frame[2:]) / 2
        drift, zoom = generator.normal(0, 0.02, 2) * size, np.exp(generator.normal(0, 0.01))
        steps = []
        for index in range(frames):
            scale = float(zoom**index)
            offset = middle + drift * index - scale * middle
            image = Path(f"{person.image}#{number}.{index}")
            self._views[image] = _View(person.image, np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]))
            moved = (person.box_frame * scale + np.tile(offset, 2)).reshape(2, 2)
            wrong = moved.mean(0) + generator.normal(0, PLACE_ERROR, 2) * size
            half = scale * size / 2 * np.exp(generator.normal(0, SIZE_ERROR, 2))
            box = np.concatenate([wrong - half, wrong + half]).astype(np.float32)
            points = (person.points_frame * scale + offset).astype(np.float32)
            inside = ((points >= 0) & (points < (width, height))).all(1)
            weights = (person.weights * inside).astype(np.float32)
            steps.append(replace(person, image=image, box_frame=box, points_frame=points, weights=weights))
        return PersonClip(person.image.stem, tuple(steps), still=True)


@lru_cache(maxsize=1)
def _still(path: Path) -> NDArray[np.uint8]:
    """The still of the clip at hand: its frames follow each other."""
    return read_image(path)


def walked_over(
    people: Sequence[LabelledPerson], frames: int, generator: np.random.Generator
) -> tuple[list[PersonClip], dict[Path, NDArray[np.uint8]]]:
    """The clips of `Walks` and all their pictures at once, for few people who are looked at many times."""
    walks = Walks(people, frames, generator)
    return walks.clips, {frame.image: walks.read(frame.image) for clip in walks.clips for frame in clip.frames}
