"""A second, closer look at the boxes that a detector found.

Shapes: N boxes, H, W crop pixels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import CropTransform, mirrored_places

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Scores = NDArray[np.float32]
# Detector and verifier err independently at the edges of a person: in between the boxes fit best, nearer to the
# verifier's.
PLACE_TRUST = 0.75
# Each box is seen straight and in a mirror.
VIEWS = 2
_SAME_PLACE = np.array([0, 0, 1, 1], np.float32)


class BoxVerifier(Protocol):
    """A network that looks at crops of boxes and says how likely each means a person, and where exactly that one is."""

    height: int
    width: int
    threshold: float

    def verify(self, crops: Image) -> tuple[Scores, Boxes]:
        """Scores (N,) in 0–1 and places (N, 4) of crops (N, H, W, 3), each of a box and its surroundings.

        Places are xyxy where 0 and 1 are the edges of the box; for the crops see CropTransform.stretched.
        """
        ...


def looked_at_again(verifier: BoxVerifier, image: Image, boxes: Boxes) -> tuple[Scores, Boxes]:
    """How surely boxes (N, 4) of an RGB picture mean people, scores (N,), and the boxes moved to where those are.

    Every crop is looked at in a mirror as well, and the two answers are averaged.
    """
    if not len(boxes):
        return np.zeros(0, np.float32), boxes
    size = verifier.height, verifier.width
    crops = np.stack([CropTransform.stretched(box, *size).warp(image) for box in boxes])
    straight, mirrored = verifier.verify(crops), verifier.verify(np.ascontiguousarray(crops[:, :, ::-1]))
    share = np.float32(1 / VIEWS)
    scores = share * (straight[0] + mirrored[0])
    places = share * (straight[1] + mirrored_places(mirrored[1]))
    trusted = _SAME_PLACE + np.float32(PLACE_TRUST) * (places - _SAME_PLACE)
    return scores, put_right(boxes, trusted, image.shape[1], image.shape[0])


def put_right(boxes: Boxes, places: Boxes, width: int, height: int) -> Boxes:
    """The boxes (N, 4) at `places` (N, 4), which are in units of each box, inside a picture of that size."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    edges = np.clip(np.tile(boxes[:, :2], 2) + places * sides, 0, [width, height] * 2)
    return np.asarray(edges, np.float32)
