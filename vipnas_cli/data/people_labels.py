"""What one labelled person is, whichever file it comes from.

Shapes: K = 17 COCO keypoints.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# How much a label counts in the loss by its COCO visibility flag: v = 1 is hidden or doubtful, v = 0 is unknown.
WEIGHT_OF_VISIBILITY = (0.0, 0.3, 1.0)


@dataclass(frozen=True)
class LabelledPerson:
    """A person in an image: box xyxy in frame pixels, points_frame (K, 2), and a loss weight (K,) in 0–1."""

    image: Path
    box_frame: NDArray[np.float32]
    points_frame: NDArray[np.float32]
    weights: NDArray[np.float32]


def person_from_coco(image: Path, bbox: list[float], keypoints: list[float]) -> LabelledPerson:
    """A person from COCO's xywh box and flat x, y, v list."""
    x, y, w, h = bbox
    triples = np.asarray(keypoints, np.float32).reshape(-1, 3)
    weights = np.asarray(WEIGHT_OF_VISIBILITY, np.float32)[triples[:, 2].astype(int)]
    return LabelledPerson(image, np.array([x, y, x + w, y + h], np.float32), triples[:, :2], weights)
