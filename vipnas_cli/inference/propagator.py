"""Pose propagation: key frames find people, follower frames carry their heatmaps on (paper section 3.1).

Shapes: P people, K keypoints, h, w heatmap cells, N boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.arrays import Boxes, Flags, Heatmaps, Ids, Image
from vipnas_cli.inference.changes import Thumbnail, is_cut, is_still, moves_at_border, thumbnail
from vipnas_cli.inference.crops import (
    CropPoses,
    Crops,
    FramePoses,
    crop_transforms,
    empty_heatmaps,
    estimate_poses,
    next_boxes,
    no_poses,
)
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.joining import Recalled, joined, mixed
from vipnas_cli.inference.keyframe import NOBODY, KeyFrames, KeyView, went_behind
from vipnas_cli.inference.people import PeopleSource
from vipnas_cli.inference.propagation import KeyReason, PropagationOptions, Step
from vipnas_cli.pose import CropTransform, People
from vipnas_cli.tracking.appearance import look_of
from vipnas_cli.tracking.ids import IdentityTracker
from vipnas_cli.tracking.outliers import JointPaths
from vipnas_cli.tracking.sides import SideVote

# Who is there at all is seen by one of the first looks; only then are pauses between them as long as they may be.
LOOKS_IN_VAIN = 12
# Whoever went missing behind somebody else is looked for on every key frame for so many seconds.
SEARCH_S = 0.6


@dataclass(frozen=True)
class _Look:
    """The last look for people: on which frame and when it was, what the frame looked like, the boxes of the people
    then, how many looks found nobody since somebody was there, and how many in a row found the same people as were
    there."""

    frame_index: int
    time_s: float
    thumbnail: Thumbnail
    boxes_frame: Boxes
    in_vain: int
    unchanged: int


@dataclass
class _LastFrame:
    """What the next frame needs of this one; `next_key` is set when this frame already asks for a key frame, `rested`
    counts the frames since the last look, `missing_s` is when somebody went missing behind somebody else."""

    position: int
    people: People
    poses: CropPoses
    key_people: People
    thumbnail: Thumbnail
    look: _Look
    time_s: float
    key_s: float
    rested: int = 0
    missing_s: float = -math.inf
    next_key: KeyReason | None = None


@dataclass
class Propagator:
    """Runs a schedule over the frames of one video; its state is that of the last frame and the tracker."""

    estimator: PoseEstimator
    source: PeopleSource
    tracker: IdentityTracker = field(default_factory=IdentityTracker)
    options: PropagationOptions = PropagationOptions()
    _last: _LastFrame | None = None
    # The id of whom the focus means, and when they were there last.
    _one: tuple[int, float] = (NOBODY, -math.inf)
    _sides: SideVote = field(init=False)
    _paths: JointPaths = field(init=False)

    def __post_init__(self) -> None:
        self._sides = SideVote(self.estimator.skeleton)
        self._paths = JointPaths(self.estimator.skeleton)

    def reset(self) -> None:
        """Forgets everything, as before the first frame."""
        self._last, self._one = None, (NOBODY, -math.inf)
        self.tracker.reset()
        self._sides.reset()
        self._paths.reset()

    def step(self, image: Image, frame_index: int, time_s: float, small: Thumbnail | None = None) -> Step:
        """The people of the next RGB frame (H, W, 3) at `time_s` seconds; `small` is its thumbnail if that is known."""
        small = thumbnail(image) if small is None else small
        if self._last is None:
            self.options.check((image.shape[0], image.shape[1]))
        reason = self._reason(small, image.shape[:2], time_s)
        if reason is None:
            found = self._follow(image, time_s, small)
        else:
            found = self._key(image, frame_index, time_s, small, reason)
        meant = self._told(found.people, (image.shape[0], image.shape[1]), time_s)
        if meant.all():
            return found
        return replace(found, people=found.people[meant], others=found.people[~meant])

    def _told(self, people: People, size: tuple[int, int], time_s: float) -> Flags:
        """Who of the people (P,) is told of; one whom the focus means is that one until they are forgotten."""
        if self.options.identity is not None:
            return np.asarray(people.ids == self.options.identity, np.bool_)
        if not self.options.one:
            return np.ones(len(people), np.bool_)
        chosen, seen_s = self._one
        if len(people) and chosen not in people.ids and time_s - seen_s > self.tracker.options.memory_s:
            chosen = int(people.ids[self.options.focus.ranks(people.boxes_frame, size).argmax()])
        told = np.asarray(people.ids == chosen, np.bool_)
        if told.any():
            self._one = chosen, time_s
        return told

    def _reason(self, small: Thumbnail, size: tuple[int, ...], time_s: float) -> KeyReason | None:
        """Why this frame has to be a key frame, if it has to."""
        last, changes, early = self._last, self.options.changes, self.options.early_keys
        # Also where a key frame is due: after a cut it must know nobody.
        if last is not None and early and is_cut(last.thumbnail, small, time_s - last.time_s, changes):
            return "cut"
        if last is None or (last.position + 1) % len(self.estimator.schedule) == 0:
            return "cycle"
        if not early:
            return None
        if last.next_key:
            return last.next_key
        if self._is_long(last, time_s):
            return "cycle"
        border = moves_at_border(last.thumbnail, small, last.people.boxes_frame, (size[0], size[1]), changes)
        return "border" if border else None

    def _is_long(self, last: _LastFrame, time_s: float) -> bool:
        """Whether a cycle ends here though it has followers left, as they would come long after its key frame."""
        least = self.options.shortest_cycle
        # Half a millisecond for times that were rounded in the container.
        return 0 < least <= last.position + 1 and time_s - last.key_s > self.options.follow_s + 5e-4

    def _key(self, image: Image, frame_index: int, time_s: float, small: Thumbnail, reason: KeyReason) -> Step:
        """Finds people anew; those whom the source missed but whose pose was good stay."""
        last = self._last
        rests = last is not None and reason == "cycle" and self._may_rest(last, time_s, small, image.shape[:2])
        if reason == "cut":
            self.tracker.forget()
            self._sides.reset()
            self._paths.reset()
            self._one = NOBODY, -math.inf
            last = None
        seen = FramePoses(self.estimator, image)
        # What was seen before a cut is of no use.
        asked_before = frame_index - 1 if last is None else last.look.frame_index
        key_frames = KeyFrames(self.source, self._paths, self.estimator.skeleton, self.options, asked_before)
        followed = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        if last is not None:
            followed = self._carried_boxes(last, time_s), last.people.ids
        view = key_frames.view(seen, frame_index, time_s, followed, look=not rests)
        looked = not rests or view.loses
        if rests and looked:
            # Where someone goes missing is no time to rest.
            view = key_frames.view(seen, frame_index, time_s, followed, look=True)
        asked = view.asked
        people = self._known(view, image, time_s, looked)
        keep, people = view.keep[people.ids >= 0], people[people.ids >= 0]
        poses = view.poses[keep]
        if last is not None and reason == "cycle":
            recalled = self._recalled(poses, people.ids, last)
            poses = joined(poses, recalled.heatmaps, recalled.rows, self.options.key_memory) if recalled else poses
            people = replace(people, points_frame=poses.points_frame)
        people, heatmaps = self._settled(people, poses.heatmaps, poses.transforms, time_s, key=True)
        # Who was not detected anew keeps the detection of an earlier key frame as the measure of the next box.
        reference = people if last is None else _updated(last.key_people, people, asked.followed[keep] < 0)
        if looked or last is None:
            look, rested = _looked(last, people, (frame_index, time_s), small, sure=not view.loses), 0
        else:
            look, rested = last.look, last.rested + 1
        missing_s = -math.inf if last is None else _missing_s(last, people, time_s)
        poses = replace(poses, heatmaps=heatmaps)
        self._last = _LastFrame(0, people, poses, reference, small, look, time_s, time_s, rested, missing_s)
        return Step(people, 0, reason, seen.computed, looked, asked.left_out)

    def _known(self, view: KeyView, image: Image, time_s: float, looked: bool) -> People:
        """The kept people of a key frame with their ids; NOBODY is an echo of another pose, whose id went elsewhere."""
        people = view.people[view.keep]
        # Looks tell people apart; of one alone they are remembered from time to time.
        alone = len(people) < 2 and self.tracker.knows_one_at_most and not looked
        looks = None if alone else look_of(image, people, self.estimator.skeleton)
        echoes = view.echoes(self.estimator.skeleton, self.options.same_person_oks)
        parts = (people.boxes_frame, people.points_frame, people.scores)
        return replace(people, ids=self.tracker.match(*parts, time_s, looks, view.again[view.keep], ~echoes))

    def _recalled(self, now: CropPoses | Crops, ids: Ids, last: _LastFrame) -> Recalled | None:
        """What is known of those people, with ids (P,), who were there before; None of nobody."""
        place_of = {identity: place for place, identity in enumerate(last.people.ids.tolist())}
        places = np.array([place_of.get(identity, NOBODY) for identity in ids.tolist()], np.int64)
        rows = np.flatnonzero(places != NOBODY)
        if not self.options.fusion or not len(rows):
            return None
        before, people = last.poses[places[rows]], last.people[places[rows]]
        views, transforms = [now.views[row] for row in rows], [now.transforms[row] for row in rows]
        return Recalled.of(rows, before, people, transforms, views)

    def _may_rest(self, last: _LastFrame, time_s: float, small: Thumbnail, size: tuple[int, ...]) -> bool:
        """Whether a key frame needs no new boxes: the last look for people is not long ago, or nothing is new since."""
        if time_s - last.missing_s <= SEARCH_S:
            return False
        # Half a millisecond for times that were rounded in the container.
        since, options = time_s - last.look.time_s + 5e-4, self.options
        patience = 1.0 if len(last.people) else min(last.look.in_vain / LOOKS_IN_VAIN, 1.0)
        every_s = options.detect_every_s if len(last.people) else min(options.detect_every_s, options.search_every_s)
        if not every_s or since < patience * every_s:
            return every_s > 0
        longest_s = min(options.rest_s * 2.0**last.look.unchanged, max(options.rest_s, options.longest_rest_s))
        # Whose box slides off needs a new one before the pose is on something else, whose score may be high.
        doubtful = bool((last.people.person_scores < options.rest_score).any())
        if since >= longest_s or patience < 1 or doubtful:
            return False
        if last.rested + 1 < options.detect_every_frames:
            return True
        known = np.concatenate([last.look.boxes_frame, last.people.boxes_frame])
        return is_still(last.look.thumbnail, small, known, (size[0], size[1]), options.changes)

    def _follow(self, image: Image, time_s: float, small: Thumbnail) -> Step:
        """Carries everyone on by one frame."""
        last = self._last
        assert last is not None
        position = last.position + 1
        poses, people = self._followed(position, image, time_s, last)
        scores = people.person_scores
        at_key = dict(zip(last.key_people.ids.tolist(), last.key_people.person_scores.tolist(), strict=True))
        before = np.array([at_key[identity] for identity in people.ids.tolist()], np.float32)
        # Who needs no score on a key frame needs none until the next one.
        believed = scores >= min(self.options.lost_score, self.options.new_score)
        next_key: KeyReason | None = None
        if (scores < self.options.lost_score).any():
            next_key = "lost"
        elif (scores < self.options.falling_factor * before).any():
            next_key = "falling"
        keep = np.flatnonzero(believed)
        poses, people = poses[keep], people[keep]
        people, heatmaps = self._settled(people, poses.heatmaps, poses.transforms, time_s, key=False)
        self.tracker.observe(people, time_s)
        missing_s = _missing_s(last, people, time_s)
        looks = (last.key_people, small, last.look, time_s, last.key_s, last.rested + 1, missing_s)
        self._last = _LastFrame(position, people, replace(poses, heatmaps=heatmaps), *looks, next_key)
        return Step(people, position, None, len(scores))

    def _settled(
        self, people: People, heatmaps: Heatmaps, transforms: tuple[CropTransform, ...], time_s: float, key: bool
    ) -> tuple[People, Heatmaps]:
        """People and heatmaps (P, K, h, w) with left and right as most key frames saw them, each joint on its path."""
        if self.options.steady_sides:
            settled, order = self._sides.settled(people, key, time_s)
            if settled is not people:
                people, heatmaps = settled, heatmaps[np.arange(len(people))[:, None], order]
            self._paths.exchange(people.ids, self._sides.turned)
        if self.options.steady_joints and len(people):
            return self._paths.corrected(people, heatmaps, transforms, key, time_s)
        return people, heatmaps

    def _followed(self, position: int, image: Image, time_s: float, last: _LastFrame) -> tuple[CropPoses, People]:
        """Poses of the people of the last frame, where they were carried to."""
        boxes, plan = self._carried_boxes(last, time_s), self.estimator.schedule.plan(position)
        if not len(boxes):
            return no_poses(self.estimator, position), last.people
        crops = Crops.of(image, crop_transforms(boxes, plan))
        recalled, previous = self._recalled(crops, last.people.ids, last), None
        if plan.fusion.operation != "none":
            previous = recalled.heatmaps if recalled else empty_heatmaps(self.estimator, position, len(boxes))
        poses = estimate_poses(self.estimator, position, crops, previous)
        if recalled:
            shares = self.options.memory_shares(recalled.moves, time_s - last.time_s)
            poses = mixed(poses, recalled.heatmaps, recalled.rows, shares)
        return poses, People(last.people.ids, boxes.astype(np.float32), poses.points_frame, poses.scores)

    def _carried_boxes(self, last: _LastFrame, time_s: float) -> Boxes:
        """Boxes (P, 4) for the next frame."""
        row_of = {identity: row for row, identity in enumerate(last.key_people.ids.tolist())}
        rows = np.array([row_of[identity] for identity in last.people.ids.tolist()], np.int64)
        return next_boxes(last.key_people[rows], last.people, self.options, time_s - last.time_s)


def _looked(last: _LastFrame | None, people: People, when: tuple[int, float], small: Thumbnail, sure: bool) -> _Look:
    """A look for people that found these; `sure`: whoever was found is believed."""
    in_vain = unchanged = 0
    if last is not None and sure and set(people.ids.tolist()) == set(last.people.ids.tolist()):
        unchanged = last.look.unchanged + 1
    if not len(people):
        in_vain = 1 + (last.look.in_vain if last is not None else 0)
    return _Look(*when, small, people.boxes_frame, in_vain, unchanged)


def _missing_s(last: _LastFrame, people: People, time_s: float) -> float:
    """When somebody went missing behind somebody else, as the people at `time_s` are these; minus infinity if nobody
    did since somebody came."""
    if went_behind(last.people, people):
        return time_s
    return last.missing_s if set(people.ids.tolist()) <= set(last.people.ids.tolist()) else -math.inf


def _updated(before: People, now: People, fresh: NDArray[np.bool_]) -> People:
    """The people of now, with the older sighting of those who are not `fresh` (P,) and were there before."""
    rows = {identity: row for row, identity in enumerate(before.ids.tolist())}
    parts = [
        now[index : index + 1] if fresh[index] or identity not in rows else before[rows[identity] : rows[identity] + 1]
        for index, identity in enumerate(now.ids.tolist())
    ]
    if not parts:
        return now
    return People(
        now.ids,
        np.concatenate([part.boxes_frame for part in parts]),
        np.concatenate([part.points_frame for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )
