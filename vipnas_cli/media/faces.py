"""Where heads are, by their keypoints: labels stay off them, and `--blur-faces` makes them unrecognisable.

Shapes: P people, K keypoints.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.media.frames import Image
from vipnas_cli.pose.people import Floats, People
from vipnas_cli.pose.skeletons import Skeleton

FACE = frozenset({"nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top"})
SHOULDERS = frozenset({"left_shoulder", "right_shoulder"})
# Below this a keypoint does not even say roughly where it is.
ROUGH = 0.15
# A head in shares of what is seen: of the reach of the face's keypoints, of the way down to the shoulders, of the box.
REACH, NECK, OF_BOX, LARGEST = 1.25, 0.5, 0.07, 0.35
# Where nothing of the head is seen, it is taken to be in the upper part of the box.
ABOVE = 0.1
# A blurred head is a circle this much wider than the head, with so many cells across: no feature of a face is left.
MARGIN = 1.25
CELLS = 5


def head_circles(people: People, skeleton: Skeleton) -> Floats:
    """The heads as circles (P, 3): centre x, y and radius in frame pixels; guessed from the box where none is seen."""
    face, shoulders = _parts(skeleton)
    centre, seen = _mean(people, face)
    middle, known = _mean(people, shoulders)
    boxes = people.boxes_frame
    size = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    away = np.linalg.norm(people.points_frame[:, face] - centre[:, None], axis=-1)
    reach = np.where(_rough(people, face), away, 0).max(axis=1, initial=0)
    neck = np.where(known, np.linalg.norm(centre - middle, axis=-1), 0)
    radius = np.clip(np.maximum(REACH * reach, NECK * neck), OF_BOX * size, LARGEST * size)
    guess = np.stack([boxes[:, [0, 2]].mean(axis=1), boxes[:, 1] + ABOVE * size, ABOVE * size], axis=1)
    found = np.concatenate([centre, radius[:, None]], axis=1)
    circles: Floats = np.where(seen[:, None], found, guess).astype(np.float32)
    return circles


@lru_cache
def _parts(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """The keypoints of the face and the shoulders."""
    numbered = list(enumerate(skeleton.keypoints))
    return [i for i, name in numbered if name in FACE], [i for i, name in numbered if name in SHOULDERS]


def _rough(people: People, part: list[int]) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = (people.scores[:, part] >= ROUGH) & np.isfinite(people.points_frame[:, part]).all(-1)
    return known


def _mean(people: People, part: list[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean of the keypoints seen (P, 2), weighted by score, and whether there is any."""
    weights = np.where(_rough(people, part), people.scores[:, part], 0)[..., None]
    total = weights.sum(axis=1)
    mean = (np.nan_to_num(people.points_frame[:, part]) * weights).sum(axis=1) / np.maximum(total, 1e-6)
    return mean, total[:, 0] > 0


def blur_circles(image: Image, circles: Floats) -> Image:
    """Makes what lies in the circles (N, 3) of `image` unrecognisable, in place, and returns it."""
    height, width = image.shape[:2]
    for x, y, radius in np.nan_to_num(circles).tolist():
        reach = MARGIN * radius + 1
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        right, bottom = min(width, int(x + reach) + 2), min(height, int(y + reach) + 2)
        if left >= right or top >= bottom:
            continue
        part = image[top:bottom, left:right]
        cells = (min(CELLS, part.shape[1]), min(CELLS, part.shape[0]))
        coarse = cv2.resize(cv2.resize(part, cells, interpolation=cv2.INTER_AREA), part.shape[1::-1])
        rows, columns = np.ogrid[top:bottom, left:right]
        inside = (columns - x) ** 2 + (rows - y) ** 2 <= reach**2
        part[inside] = coarse[inside]
    return image
