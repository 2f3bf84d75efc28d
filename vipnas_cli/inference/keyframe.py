"""Whom a key frame may show: boxes found anew, and people who were followed there but not found.

Shapes: N boxes, F found boxes, P people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vipnas_cli.arrays import Boxes, Flags, Ids, Scores
from vipnas_cli.inference.crops import CropPoses, FramePoses, any_touch
from vipnas_cli.inference.people import DistinctPeople, GivenBoxesSource, PeopleSource, evidence_of, shared_bodies
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.pose import People, Skeleton
from vipnas_cli.pose.boxes import areas_of, covered_shares, iou
from vipnas_cli.pose.oks import oks_nms
from vipnas_cli.tracking.outliers import JointPaths

NOBODY = -1
# Boxes that overlap by this IoU are one person in two frames.
SAME_PERSON_IOU = 0.3
# Poses this alike (OKS), of someone whom the source missed and of a box that is nobody's, are one person: strangers
# who pass share less, and a box that was left behind by a fast body still holds part of it.
SAME_BODY_OKS = 0.3
# Somebody else who covers such a share of a person's box may hide them.
BEHIND = 0.3


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
    if not len(boxes) and len(carried) <= most:
        sure, yes = np.ones(len(carried), np.float32), np.ones(len(carried), np.bool_)
        return Candidates(carried, sure, ids, ~yes, yes, ids)
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
    if len(poses) < 2:
        return ids
    alike = shared_bodies(poses.boxes_frame, poses.points_frame, poses.scores, skeleton)
    alike = np.where(np.logical_and.outer(boxes.followed != NOBODY, boxes.newcomers), alike, 0)
    while alike.max(initial=0) >= SAME_BODY_OKS:
        person, newcomer = np.unravel_index(alike.argmax(), alike.shape)
        ids[newcomer] = boxes.followed[person]
        alike[person] = alike[:, newcomer] = 0
    return ids


def went_behind(before: People, now: People) -> bool:
    """Whether somebody who is gone may be behind somebody who is still there."""
    if np.array_equal(before.ids, now.ids):
        return False
    gone = ~np.isin(before.ids, now.ids)
    hidden = covered_shares(before.boxes_frame[gone], before.boxes_frame[~gone]) > BEHIND
    return bool(hidden.any())


@dataclass(frozen=True)
class KeyView:
    """What the key network sees in the `asked` boxes, and the indices `keep` of those who are surely there; `again`
    see `found_again`."""

    asked: Candidates
    poses: CropPoses
    people: People
    again: Ids
    keep: Ids

    @property
    def loses(self) -> bool:
        """Whether someone who was asked for is not believed."""
        return len(self.keep) < len(self.people)

    def echoes(self, skeleton: Skeleton, alike: float) -> Flags:
        """Whose box of the kept ones was carried on, and shows the pose of another one (OKS from `alike` on).

        Nobody's where no box was found, as no id goes elsewhere then.
        """
        carried = self.asked.followed[self.keep] != NOBODY
        if not carried.any() or carried.all():
            return np.zeros(len(carried), np.bool_)
        people = self.people[self.keep]
        shared = shared_bodies(people.boxes_frame, people.points_frame, people.scores, skeleton)
        np.fill_diagonal(shared, 0)
        return np.asarray(carried & (shared.max(1) >= alike), np.bool_)


@dataclass(frozen=True)
class KeyFrames:
    """Sees on key frames who is there: people whom a source finds, and those who were followed there; `asked` is the
    frame for which the source was asked last."""

    source: PeopleSource
    paths: JointPaths
    skeleton: Skeleton
    options: PropagationOptions
    asked: int

    def view(
        self, seen: FramePoses, frame_index: int, time_s: float, followed: tuple[Boxes, Ids], look: bool
    ) -> KeyView:
        """What the key network sees in the boxes (P, 4), to which people with ids (P,) were followed, and, after a
        `look` for people, where they are."""
        found, confidence = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        if isinstance(self.source, DistinctPeople) and look:
            found, confidence = self.source.find(seen, frame_index, followed[0])
        elif isinstance(self.source, GivenBoxesSource) and look:
            found, confidence = self.source.since(self.asked, frame_index)
        elif look:
            found, confidence = self.source.boxes(seen.image, frame_index)
        carried, before = followed
        size = (seen.image.shape[0], seen.image.shape[1])
        if self.options.region is not None:
            inside, still = self.options.region.holds(found, size), self.options.region.holds(carried, size)
            found, confidence, carried, before = found[inside], confidence[inside], carried[still], before[still]
        found, confidence, beyond = self._first(found, confidence, carried, size)
        limit = self.options.max_people + self.options.spare_boxes
        asked = candidates((found, confidence), carried, before, limit)
        poses, ids = seen.at(asked.boxes_frame), np.full(len(asked.boxes_frame), NOBODY, np.int64)
        people = People(ids, asked.boxes_frame, poses.points_frame, poses.scores)
        # People whose crops do not touch are not the same.
        touch, on_paths, again = any_touch(poses.transforms), people, ids
        if touch:
            on_paths = self._on_paths(people, poses, asked.owners, time_s)
            again = found_again(asked, on_paths, self.skeleton)
        keep = self._believed(people, asked, again)
        if touch:
            keep = self._distinct(on_paths[keep], keep)
        chosen = self._chosen(keep, asked, again, size)
        asked = replace(asked, left_out=asked.left_out + beyond + len(keep) - len(chosen))
        return KeyView(asked, poses, people, again, chosen)

    def _first(
        self, found: Boxes, confidence: Scores, carried: Boxes, size: tuple[int, int]
    ) -> tuple[Boxes, Scores, int]:
        """The found boxes that are looked at, and how many are not: those of people who are followed come first."""
        if not len(found):
            return found, confidence, 0
        owned = owners_of(found, carried) != NOBODY
        room = self.options.max_people + self.options.spare_boxes - (len(carried) - int(owned.sum()))
        if len(found) <= room:
            return found, confidence, 0
        order = np.lexsort((-self.options.focus.ranks(found, size), ~owned))[: max(room, 0)]
        return found[np.sort(order)], confidence[np.sort(order)], len(found) - len(order)

    def _chosen(self, keep: Ids, asked: Candidates, again: Ids, size: tuple[int, int]) -> Ids:
        """Those of the believed people `keep` who are followed: whoever was, then whom the focus means."""
        if len(keep) <= self.options.max_people:
            return keep
        followed = (asked.owners[keep] != NOBODY) | (again[keep] >= 0)
        order = np.lexsort((-self.options.focus.ranks(asked.boxes_frame[keep], size), ~followed))
        return keep[np.sort(order[: self.options.max_people])]

    def _on_paths(self, people: People, poses: CropPoses, ids: Ids, time_s: float) -> People:
        """The people of a key frame, the joints of those whose ids (P,) are known by their boxes on their paths."""
        rows = np.flatnonzero(ids != NOBODY)
        if not self.options.steady_joints or not len(rows):
            return people
        known, points = replace(people[rows], ids=ids[rows]), people.points_frame.copy()
        transforms = tuple(poses.transforms[row] for row in rows)
        known, _ = self.paths.corrected(known, poses.heatmaps[rows], transforms, True, time_s, keep=False)
        points[rows] = known.points_frame
        return replace(people, points_frame=points)

    def _believed(self, people: People, asked: Candidates, again: Ids) -> Ids:
        """Indices of the people of a key frame who are surely there; `again` (P,) see `found_again`."""
        seen_before, scores = asked.known | (again >= 0), people.person_scores
        needed = np.where(seen_before, self.options.lost_score, self.options.new_score)
        # What is good enough for somebody new is so for a found box of somebody known.
        needed = np.where(asked.followed == NOBODY, np.minimum(needed, self.options.new_score), needed)
        # Of boxes that need no evidence even those with scores below 0 are believed, as some trackers write -1.
        unasked = self.options.new_evidence <= 0
        proven = seen_before | unasked | (evidence_of(asked.confidence, scores) >= self.options.new_evidence)
        believed, found = (scores >= needed) & proven, again >= 0
        return np.flatnonzero(believed & ~np.isin(asked.followed, again[found]) if found.any() else believed)

    def _distinct(self, poses: People, left: Ids) -> Ids:
        """Those of the indices `left`, of people with these poses, who are nobody else of them."""
        skeleton = self.skeleton
        distinct = oks_nms(
            poses.points_frame,
            poses.person_scores,
            areas_of(poses.boxes_frame),
            skeleton.sigmas,
            self.options.same_person_oks,
            # Two boxes of one person can give poses of opposite sides.
            skeleton.flip_order,
        )
        return left[np.sort(distinct)]
