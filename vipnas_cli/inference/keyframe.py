"""Whom a key frame may show: boxes found anew, and people who were followed there but not found.

Shapes: N boxes, F found boxes, P people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vipnas_cli.arrays import Boxes, Flags, Ids, Scores
from vipnas_cli.inference.people import shared_bodies
from vipnas_cli.pose import People, Skeleton
from vipnas_cli.pose.boxes import iou

NOBODY = -1
# Boxes that overlap by this IoU are one person in two frames.
SAME_PERSON_IOU = 0.3
# Poses this alike (OKS), of someone whom the source missed and of a box that is nobody's, are one person: strangers
# who pass share less, and a box that was left behind by a fast body still holds part of it.
SAME_BODY_OKS = 0.3


@dataclass(frozen=True)
class Candidates:
    """Boxes (N, 4) of one key frame, the found ones first, and the confidence (N,) of their source.

    followed (N,): the id of the person whose box was carried on, NOBODY for found boxes; newcomers (N,): found boxes
    that are the new box of nobody; known (N,): boxes where somebody was before; owners (N,): the ids of those whose
    boxes they are, NOBODY for newcomers; `left_out`: how many were too many.
    """

    boxes_frame: Boxes
    confidence: Scores
    followed: Ids
    newcomers: Flags
    known: Flags
    owners: Ids
    left_out: int = 0


def candidates(found: tuple[Boxes, Scores], carried: Boxes, ids: Ids, most: int) -> Candidates:
    """At most so many of the found boxes (F, 4) with scores (F,) and the carried boxes (P, 4), of people with ids (P,),
    not found."""
    boxes, confidence = found
    owners = owners_of(boxes, carried)
    missed = np.setdiff1d(np.arange(len(carried)), owners)
    followed = np.concatenate([np.full(len(boxes), NOBODY, np.int64), ids[missed]])
    newcomers = np.concatenate([owners == NOBODY, np.zeros(len(missed), bool)])
    boxes, confidence = (
        np.concatenate([boxes, carried[missed]]),
        np.concatenate([confidence, np.ones(len(missed), np.float32)]),
    )
    known = iou(boxes, carried).max(1, initial=0) >= SAME_PERSON_IOU
    own = np.concatenate([np.append(ids, NOBODY)[owners], ids[missed]])
    beyond = max(0, len(boxes) - most)
    return Candidates(
        boxes[:most], confidence[:most], followed[:most], newcomers[:most], known[:most], own[:most], beyond
    )


def owners_of(found: Boxes, carried: Boxes) -> Ids:
    """Whose new box each found box (F, 4) is: an index into carried boxes (P, 4) or NOBODY; best found first."""
    shared, owners = iou(found, carried), np.full(len(found), NOBODY, np.int64)
    for index, overlaps in enumerate(shared):
        if overlaps.max(initial=0) >= SAME_PERSON_IOU:
            owners[index] = overlaps.argmax()
            shared[:, owners[index]] = 0
    return owners


def found_again(boxes: Candidates, poses: People, skeleton: Skeleton) -> Ids:
    """The id (N,) of the person whose body a newcomer's pose shows, though the box is elsewhere; NOBODY if none."""
    ids = np.full(len(poses), NOBODY, np.int64)
    alike = shared_bodies(poses.boxes_frame, poses.points_frame, poses.scores, skeleton)
    alike = np.where(np.logical_and.outer(boxes.followed != NOBODY, boxes.newcomers), alike, 0)
    while alike.max(initial=0) >= SAME_BODY_OKS:
        person, newcomer = np.unravel_index(alike.argmax(), alike.shape)
        ids[newcomer] = boxes.followed[person]
        alike[person] = alike[:, newcomer] = 0
    return ids
