"""Clips made of labelled stills: a camera pans and zooms over a picture, and all labels go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson


def walked_over(
    people: Sequence[LabelledPerson], frames: int, generator: np.random.Generator
) -> tuple[list[PersonClip], dict[Path, NDArray[np.uint8]]]:
    """Clips of `frames` pictures in which a camera pans and zooms over still images, and those pictures by path.

    They let whole pipelines be compared on labelled stills that no training saw. Boxes err as a detector's would: by
    5 % in place and 8 % in size.
    """
    clips, pictures = [], {}
    for number, person in enumerate(people):
        image = read_image(person.image)
        size = person.box_frame[2:] - person.box_frame[:2]
        middle = (person.box_frame[:2] + person.box_frame[2:]) / 2
        drift, zoom = generator.normal(0, 0.02, 2) * size, np.exp(generator.normal(0, 0.01))
        steps = []
        for index in range(frames):
            path = Path(f"{person.image}#{number}.{index}")
            scale = float(zoom**index)
            offset = middle + drift * index - scale * middle
            matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
            pictures[path] = np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.uint8)
            moved = (person.box_frame * scale + np.tile(offset, 2)).reshape(2, 2)
            wrong = moved.mean(0) + generator.normal(0, 0.05, 2) * size
            half = scale * size / 2 * np.exp(generator.normal(0, 0.08, 2))
            box = np.concatenate([wrong - half, wrong + half]).astype(np.float32)
            points = (person.points_frame * scale + offset).astype(np.float32)
            inside = ((points >= 0) & (points < image.shape[1::-1])).all(1)
            steps.append(
                replace(person, image=path, box_frame=box, points_frame=points, weights=person.weights * inside)
            )
        clips.append(PersonClip(person.image.stem, tuple(steps)))
    return clips, pictures
