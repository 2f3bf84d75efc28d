"""What one labelled person is, whichever file it comes from.

Shapes: K = 17 COCO keypoints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import brief

# How much a label counts in the loss by its COCO visibility flag: v = 1 is hidden or doubtful, v = 0 is unknown.
WEIGHT_OF_VISIBILITY = (0.0, 0.3, 1.0)
# A joint that a teacher network labelled counts in full from this score on.
SURE_SCORE = 0.6
KEYPOINTS = 17
# No picture is as large.
LARGEST_PLACE = 1e6


@dataclass(frozen=True)
class LabelledPerson:
    """A person in an image: box xyxy in frame pixels, points_frame (K, 2), and a loss weight (K,) in 0–1."""

    image: Path
    box_frame: NDArray[np.float32]
    points_frame: NDArray[np.float32]
    weights: NDArray[np.float32]


def person_from_coco(
    image: Path, bbox: Sequence[float], keypoints: Sequence[float], reliability: Sequence[float] = (1.0,) * KEYPOINTS
) -> LabelledPerson:
    """A person from COCO's xywh box and flat x, y, v list; `reliability` 0 to 1 says how far each label is trusted."""
    x, y, w, h = bbox
    values = np.asarray(keypoints, np.float64).reshape(-1, 3)
    flags = values[:, 2]
    known = bool(((flags == 0) | (flags == 1) | (flags == 2)).all())
    if len(values) != KEYPOINTS or not known or not (np.abs(values) <= LARGEST_PLACE).all():
        raise ValueError(f"a person needs {KEYPOINTS} times x, y and a flag 0, 1 or 2, not {len(keypoints)} numbers")
    if not max(map(abs, bbox)) <= LARGEST_PLACE:
        raise ValueError(f"a box {brief(bbox)} is in no picture")
    triples = values.astype(np.float32)
    weights = np.asarray(WEIGHT_OF_VISIBILITY, np.float32)[flags.astype(int)]
    weights = weights * np.clip(np.asarray(reliability, np.float64), 0, 1).astype(np.float32)
    return LabelledPerson(image, np.array([x, y, x + w, y + h], np.float32), triples[:, :2], weights)


def reliability_of(row: Mapping[str, Any]) -> list[float]:
    """How far each keypoint of an annotation is trusted, 0 to 1; all fully if the annotation says nothing of it.

    Read are `reliability`, one number per keypoint, and `teacher_scores` for the joints that a teacher network
    labelled: those marked t in `joint_source`, or all if `source` is teacher.
    """
    trust = list(row.get("reliability") or [1.0] * KEYPOINTS)
    scores = row.get("teacher_scores")
    if scores:
        origin = row.get("joint_source") or ("t" if row.get("source") == "teacher" else "-") * KEYPOINTS
        trust = [
            value * min(1.0, score / SURE_SCORE) if one == "t" else value
            for value, score, one in zip(trust, scores, origin, strict=True)
        ]
    return trust
