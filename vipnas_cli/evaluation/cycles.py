"""Scores of schedules: networks extracted from super-networks, recalibrated, and run over fixed clips as `run` does.

Key frames get the boxes of the clips, which err as a detector's do. Followers get what a video gets: the key frame's
box moved as the pose was found to move, and the previous heatmaps re-aligned to it, each where optical flow sees its
keypoint move; what comes out of them is mixed with those. What `run` does beyond, it does over many frames: the paths
of joints and the vote on sides. Batch norms of followers are recalibrated in the order of the cycle, each on the
heatmaps that the position before it makes; there boxes err too.
Shapes: C clips, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vipnas_cli.arrays import Boxes, Heatmaps, Numbers, Points
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.evaluation.clip_sets import ClipSet, ClipSets
from vipnas_cli.evaluation.posetrack import FRAME_RATE
from vipnas_cli.inference.crops import CropPoses, Crops, crop_transforms, next_boxes
from vipnas_cli.inference.flow import View
from vipnas_cli.inference.frozen import FrozenKey, TorchKey
from vipnas_cli.inference.joining import Recalled, mixed
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.metrics import limb_pck
from vipnas_cli.nets.batchnorm import recalibrate
from vipnas_cli.nets.folding import fold_batch_norm
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.pose import COCO17, HeatmapCodec, People
from vipnas_cli.spec import Plan, Schedule

BATCH = 16
# Key networks whose heatmaps are kept; a search with a fixed key network needs one.
KEPT_KEYS = 4
PCK_THRESHOLD = 0.1
# What the product does between frames.
OPTIONS = PropagationOptions()


@dataclass(frozen=True)
class Score:
    """PCK@0.1 in percent: the mean over the cycle, and at each position."""

    mean: float
    positions: tuple[float, ...]


@dataclass(frozen=True)
class Networks:
    """Where networks come from: super-networks or finished networks, of followers one for each position.

    Followers are never asked for where every cycle has one frame.
    """

    key: SuperNet | FrozenKey
    followers: SuperNet | tuple[PoseNet, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """What a position gets of all clips: crops of boxes (C, 4), and where there was a position before, what it saw and
    the shares (C, K) that this has in what comes out; `previous` are the heatmaps (C, K, h, w) of it for a fusion."""

    crops: Crops
    boxes_frame: Boxes
    previous: Heatmaps | None = None
    recalled: Recalled | None = None
    shares: Numbers | None = None

    def seen(self, heatmaps: Heatmaps, codec: HeatmapCodec) -> Seen:
        """What a network's heatmaps (C, K, h, w) show, mixed with what is recalled."""
        poses = self.crops.decoded(heatmaps, codec)
        if self.recalled is not None and self.shares is not None:
            poses = mixed(poses, self.recalled.heatmaps, self.recalled.rows, self.shares)
        return Seen(self.boxes_frame, poses)

    def batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Network inputs, batch by batch."""
        for first in range(0, len(self.boxes_frame), BATCH):
            rows = slice(first, first + BATCH)
            images = network_input(torch.from_numpy(self.crops.pictures[rows]))
            yield images, None if self.previous is None else torch.from_numpy(self.previous[rows])


@dataclass(frozen=True)
class Seen:
    """What a position made of boxes (C, 4) of all clips."""

    boxes_frame: Boxes
    poses: CropPoses

    @property
    def people(self) -> People:
        """The person of each clip, with the clip's number as id."""
        return People(np.arange(len(self.boxes_frame)), self.boxes_frame, self.poses.points_frame, self.poses.scores)


@dataclass
class ClipScorer:
    """PCK@0.1 of the limbs on fixed clips; the same schedule always gets the same score."""

    networks: Networks
    clips: ClipSets
    _keys: dict[Plan, tuple[FrozenKey, Seen, Seen]] = field(default_factory=dict)

    def __call__(self, schedule: Schedule) -> Score:
        """The score of a schedule, on clips cut to the length of its cycle."""
        return self.run(schedule)[0]

    def run(self, schedule: Schedule) -> tuple[Score, FrozenKey, list[PoseNet]]:
        """The score of a schedule, its key network, and its followers with batch-norm statistics of their own."""
        key, calibration, first = self._key(schedule.plan(0))
        seen, nets, found = first, list[PoseNet](), [self._pck(0, first)]
        for position, plan in enumerate(schedule.plans[1:], 1):
            source = self.networks.followers
            assert source is not None, "a search for followers has their super-network"
            if isinstance(source, tuple):
                net = source[position - 1].eval()
            else:
                net = source.extract(plan.built, plan.fusion).eval()
                boxes = np.stack([person.box_frame for person in self.clips.calibration.frames(position)])
                inputs = inputs_of(self.clips.calibration, position, plan, boxes, calibration)
                recalibrate(net, inputs.batches())
                if position + 1 < len(schedule):
                    calibration = seen_by(net, inputs)
            boxes = boxes_after(first.people, seen.people, gaps_of(self.clips.scored))
            seen = seen_by(net, inputs_of(self.clips.scored, position, plan, boxes, seen))
            found.append(self._pck(position, seen))
            nets.append(net)
        return Score(float(np.mean(found)), tuple(found)), key, nets

    def every_frame(self, net: PoseNet, frames: int) -> Score:
        """The score of a finished network that sees every frame anew, with boxes that err as a detector's do."""
        key, plan, found = TorchKey(net), Plan(net.arch), []
        for position in range(frames):
            boxes = np.stack([person.box_frame for person in self.clips.scored.frames(position)])
            inputs = inputs_of(self.clips.scored, position, plan, boxes, None)
            found.append(self._pck(position, key_seen_by(key, inputs)))
        return Score(float(np.mean(found)), tuple(found))

    def _key(self, plan: Plan) -> tuple[FrozenKey, Seen, Seen]:
        """The key network and what it made of the calibration clips and of the scored ones."""
        if plan not in self._keys:
            if len(self._keys) >= KEPT_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[plan] = self._new_key(plan)
        return self._keys[plan]

    def _new_key(self, plan: Plan) -> tuple[FrozenKey, Seen, Seen]:
        source, inputs = self.networks.key, []
        for clips in (self.clips.calibration, self.clips.scored):
            boxes = np.stack([person.box_frame for person in clips.frames(0)])
            inputs.append(inputs_of(clips, 0, plan, boxes, None))
        if isinstance(source, SuperNet):
            net = source.extract(plan.built).eval()
            recalibrate(net, inputs[0].batches())
            source = TorchKey(net)
        return source, key_seen_by(source, inputs[0]), key_seen_by(source, inputs[1])

    def _pck(self, position: int, seen: Seen) -> float:
        return surely_labelled_pck(self.clips.scored.frames(position), seen.poses.points_frame)


def gaps_of(clips: ClipSet) -> Numbers:
    """The seconds (C,) from frame to frame of each clip."""
    return clips.strides / FRAME_RATE


def boxes_after(key: People, last: People, gaps_s: Numbers) -> Boxes:
    """Boxes (C, 4) for the frames that come these seconds (C,) after `last`; see next_boxes."""
    boxes = np.empty_like(last.boxes_frame)
    for gap_s in np.unique(gaps_s):
        rows = np.flatnonzero(gaps_s == gap_s)
        boxes[rows] = next_boxes(key[rows], last[rows], OPTIONS, float(gap_s))
    return boxes


def inputs_of(clips: ClipSet, position: int, plan: Plan, boxes_frame: Boxes, before: Seen | None) -> Inputs:
    """The crops of boxes (C, 4) at a position, and what the position before saw of the same people."""
    transforms, people = crop_transforms(boxes_frame, plan), clips.frames(position)
    pictures = [t.warp(clips.pictures[person.image]) for t, person in zip(transforms, people, strict=True)]
    views = tuple(View(*each) for each in zip(transforms, pictures, strict=True))
    crops = Crops(transforms, np.stack(pictures), views)
    if before is None:
        return Inputs(crops, boxes_frame)
    recalled = Recalled.of(np.arange(len(people)), before.poses, before.people, transforms, views)
    previous = None if plan.fusion.operation == "none" else recalled.heatmaps
    return Inputs(
        crops, boxes_frame, previous, recalled, OPTIONS.memory_shares(recalled.moves, gaps_of(clips)[:, None])
    )


@torch.no_grad()
def seen_by(net: PoseNet, inputs: Inputs) -> Seen:
    """What a network makes of inputs."""
    # Batch norms alone take a third of the time, and images come with their channels last.
    folded = deepcopy(net)
    fold_batch_norm(folded)
    folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    codec = HeatmapCodec(net.arch.height, net.arch.width)
    parts = [folded(images, previous).contiguous().numpy() for images, previous in inputs.batches()]
    return inputs.seen(np.concatenate(parts), codec)


def key_seen_by(key: FrozenKey, inputs: Inputs) -> Seen:
    """What a frozen key network makes of inputs."""
    arch = key.plan.arch
    pictures = torch.from_numpy(inputs.crops.pictures)
    parts = [key(part).contiguous().numpy() for part in torch.split(pictures, BATCH)]
    codec = HeatmapCodec(arch.height, arch.width)
    return inputs.seen(np.concatenate(parts), codec)


def surely_labelled_pck(people: Sequence[LabelledPerson], points_frame: Points) -> float:
    """PCK@0.1 in percent of the limbs that are surely labelled; points_frame (C, K, 2)."""
    truth = np.stack([person.points_frame for person in people])
    labelled = np.stack([person.weights == 1 for person in people])
    return float(limb_pck(truth, points_frame, labelled, COCO17, (PCK_THRESHOLD,))[0])
