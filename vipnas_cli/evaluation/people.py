"""How well a people source finds persons: average precision, precision and recall at IoU 0.5.

Shapes: N boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.inference.people import PeopleSource
from vipnas_cli.pose.boxes import covered_shares, iou

Boxes = NDArray[np.float32]
Flags = NDArray[np.bool_]
# Recall is told at this precision, which a user of the boxes can live with.
WANTED_PRECISION = 0.8


@dataclass(frozen=True)
class PeopleRules:
    """Who is asked for and what finds them: persons taller than `shortest` of the image's height, an IoU of `overlap`,
    and for precision and recall a score of `threshold`."""

    threshold: float
    shortest: float = 0.15
    overlap: float = 0.5


@dataclass(frozen=True)
class PeopleScores:
    """Shares in 0–1 and the counts behind them; `recall_at_precision` is the best recall at a precision of 0.8."""

    average_precision: float
    precision: float
    recall: float
    recall_at_precision: float
    persons: int
    detections: int


@dataclass(frozen=True)
class Ranking:
    """All detections that count, best first: scores (N,), which are hits (N,); and the number of persons."""

    scores: NDArray[np.float32]
    hits: Flags
    persons: int


def evaluate_people(
    source: PeopleSource,
    images: Sequence[LabelledImage],
    rules: PeopleRules,
    on_image: Callable[[], None] = lambda: None,
) -> PeopleScores:
    """Scores of a source that tells all it has seen, weak detections too; `on_image` is called after each image."""
    found = []
    for index, label in enumerate(images):
        found.append(source.boxes(read_image(label.image), index))
        on_image()
    return scores_of(ranking(found, images, rules), rules.threshold)


def ranking(
    found: Sequence[tuple[Boxes, NDArray[np.float32]]], images: Sequence[LabelledImage], rules: PeopleRules
) -> Ranking:
    """The detections (boxes and scores, best first) of all images in one order.

    A detection of a smaller person or inside a region to ignore counts neither way; each person is found once.
    """
    scores, hits, persons = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)], 0
    for (boxes, values), label in zip(found, images, strict=True):
        tall = (label.boxes_frame[:, 3] - label.boxes_frame[:, 1]) > rules.shortest * label.height
        matched = match(boxes, label.boxes_frame, rules.overlap)
        hit = matched >= 0
        counts = ~_ignored(boxes, label, rules.shortest)
        counts[hit] = tall[matched[hit]]
        scores.append(values[counts])
        hits.append(hit[counts])
        persons += int(tall.sum())
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    return Ranking(every[order], np.concatenate(hits)[order], persons)


def scores_of(rows: Ranking, threshold: float) -> PeopleScores:
    """Average precision (the mean over 101 recalls, as COCO has it), and precision and recall at the threshold.

    NaN is what nobody tells: all but the precision without persons, that without detections.
    """
    if not rows.persons:
        passing = int((rows.scores >= threshold).sum())
        return PeopleScores(math.nan, 0.0 if passing else math.nan, math.nan, math.nan, 0, passing)
    found = np.cumsum(rows.hits)
    recall = found / rows.persons
    precision = found / np.arange(1, len(found) + 1)
    passing = int((rows.scores >= threshold).sum())
    hits = int(rows.hits[:passing].sum())
    return PeopleScores(
        average_precision=_average(precision, recall),
        precision=hits / passing if passing else math.nan,
        recall=hits / rows.persons,
        recall_at_precision=float(recall[precision >= WANTED_PRECISION].max(initial=0)),
        persons=rows.persons,
        detections=passing,
    )


def _average(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> float:
    """The mean over 101 recalls of the best precision that a recall at least as high still has."""
    if not len(precision):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(best, 0)[place].mean())


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


def _ignored(boxes: Boxes, label: LabelledImage, shortest: float) -> Flags:
    """Which boxes (N,) lie mostly in a region to ignore or are too small to be asked for."""
    small: Flags = (boxes[:, 3] - boxes[:, 1]) <= shortest * label.height
    if not len(label.ignored_frame) or not len(boxes):
        return small
    covered: Flags = covered_shares(boxes, label.ignored_frame).max(1) > 0.5
    return small | covered
