"""How well a people source finds persons: precision and recall at IoU 0.5.

Shapes: N boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.coco import LabelledImage
from vipnas_cli.data.image_store import read_image
from vipnas_cli.inference.people_source import PeopleSource
from vipnas_cli.metrics.oks import iou

Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class PeopleScores:
    """Shares in 0–1 and the counts behind them."""

    precision: float
    recall: float
    persons: int
    detections: int


def evaluate_people(
    source: PeopleSource, images: Sequence[LabelledImage], shortest: float = 0.15, overlap: float = 0.5
) -> PeopleScores:
    """Scores on persons taller than `shortest` of the image's height.

    A detection of a smaller person or inside a region to ignore counts neither way; each person is found once.
    """
    hits = false = persons = 0
    for index, label in enumerate(images):
        found, _ = source.boxes(read_image(label.image), index)
        tall = (label.boxes_frame[:, 3] - label.boxes_frame[:, 1]) > shortest * label.height
        persons += int(tall.sum())
        matched = match(found, label.boxes_frame, overlap)
        hits += int(tall[matched[matched >= 0]].sum())
        unmatched = found[matched < 0]
        false += int((~_ignored(unmatched, label, shortest)).sum())
    return PeopleScores(hits / max(hits + false, 1), hits / max(persons, 1), persons, hits + false)


def match(found: Boxes, truth: Boxes, overlap: float) -> NDArray[np.int64]:
    """For each found box (N, 4), best first, the true box that it is the first to overlap enough, or -1."""
    result = np.full(len(found), -1)
    if not len(truth):
        return result
    free, shared = np.ones(len(truth), bool), iou(found, truth)
    for row in range(len(found)):
        best = int(np.where(free, shared[row], -1).argmax())
        if free[best] and shared[row, best] >= overlap:
            result[row], free[best] = best, False
    return result


def _ignored(boxes: Boxes, label: LabelledImage, shortest: float) -> NDArray[np.bool_]:
    """Which boxes (N,) lie mostly in a region to ignore or are too small to be asked for."""
    small = (boxes[:, 3] - boxes[:, 1]) <= shortest * label.height
    if not len(label.ignored_frame) or not len(boxes):
        return small
    a, b = boxes[:, None], label.ignored_frame[None]
    common = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(-1)
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    covered: NDArray[np.bool_] = (common / areas[:, None]).max(1) > 0.5
    return small | covered
