"""Scores of networks in training, on people and clips that stay the same.

Key networks are scored on stills. Super-networks and followers are scored on clips, as searches score them: as they
would be used, extracted from the shared weights and with batch-norm statistics of their own.

Shapes: N people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vipnas_cli.data.augment import crop_person
from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.errors import DataError
from vipnas_cli.evaluation.clip_sets import ClipSets, SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks, Seen
from vipnas_cli.inference.frozen import FrozenKey, load_key
from vipnas_cli.metrics.pck import limb_sizes, limbs_of, pck
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec
from vipnas_cli.spec import CycleSpace, FusionSpec, Plan, Schedule, key_space_of
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import Images, synthetic_people
from vipnas_cli.training.followers import Followers, schedule_of
from vipnas_cli.training.loop import Validation
from vipnas_cli.training.recipe import Recipe
from vipnas_cli.training.start import RunPlan

LIMBS = limbs_of(COCO17)
FEWEST_LIMB_JOINTS = 3
REACH = 0.1
ROWS = 32
# Far from the seeds of recipes, so that nobody is scored on people it was trained on.
SYNTHETIC_SEED = 777_000


@dataclass(frozen=True)
class PoseScore:
    """PCK@0.1 in percent of people whose boxes are given: crops (N, H, W, 3) uint8, points_crop (N, K, 2), labelled
    (N, K); distances are in shares of the longer side of the box around a person's limb joints."""

    crops: Tensor
    points_crop: NDArray[np.float32]
    labelled: NDArray[np.bool_]

    @staticmethod
    def of(people: Sequence[LabelledPerson], images: Images, size: tuple[int, int]) -> PoseScore:
        """The people with enough surely labelled limb joints, as crops of `size` (height, width).

        DataError if there are none.
        """
        rows = []
        for person in people:
            transform = CropTransform.from_box(person.box_frame, *size)
            crop, points, weights = crop_person(images[person.image], person, transform, False)
            labelled = weights == 1
            if labelled[LIMBS].sum() >= FEWEST_LIMB_JOINTS:
                rows.append((crop, points, labelled))
        if not rows:
            raise DataError("the validation set holds nobody to score on", "check [validation] in the recipe")
        crops, places, flags = zip(*rows, strict=True)
        return PoseScore(stacked(crops), np.stack(places), np.stack(flags))

    @torch.no_grad()
    def __call__(self, net: nn.Module) -> float:
        """The score of a network that gives heatmaps (N, K, H/4, W/4) of images; the network is in eval mode."""
        device = next(net.parameters()).device
        codec = HeatmapCodec(self.crops.shape[1], self.crops.shape[2])
        found = []
        for crops in torch.split(self.crops, ROWS):
            heatmaps = net(network_input(crops.to(device))).float().cpu().numpy()
            found.append(codec.decode(heatmaps)[0])
        sizes = limb_sizes(self.points_crop[:, LIMBS], self.labelled[:, LIMBS])
        return float(pck(self.points_crop, np.concatenate(found), self.labelled, sizes, [REACH])[0])


def still_score(recipe: Recipe, data: Path, size: tuple[int, int]) -> PoseScore | None:
    """The score on the recipe's validation set with crops of `size` (height, width); None if it has none."""
    wanted = recipe.validation
    if wanted is None:
        return None
    images: Images
    if wanted.format == "synthetic":
        people, images = synthetic_people(wanted.people, SYNTHETIC_SEED + recipe.seed)
    else:
        people = read_people(data / wanted.path)
        people = [people[row] for row in spread(len(people), wanted.people)]
        images = {path: read_image(path) for path in {person.image for person in people}}
    return PoseScore.of(people, images, size)


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the numbers 0 … `count` − 1, from the first to the last at even distances."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, wanted))]


def still_validation(recipe: Recipe, data: Path, size: tuple[int, int]) -> Validation | None:
    """When and how a pose network of a recipe is scored; None if the recipe says nothing of it."""
    score = still_score(recipe, data, size)
    if score is None or recipe.validation is None:
        return None
    return Validation(score, recipe.validation.every, recipe.validation.keep_best)


CALIBRATION = 64
DRAWN = 2


@dataclass(frozen=True)
class ClipScore:
    """Mean PCK@0.1 in percent of a training's networks on clips; `keys` are the frozen key networks of followers.

    What each of them sees of the clips stays the same from score to score, so it is computed once.
    """

    clips: ClipSets
    keys: tuple[FrozenKey, ...] = ()
    followers: int = 0
    _seen: dict[int, dict[Plan, tuple[FrozenKey, Seen, Seen]]] = field(default_factory=dict)

    def __call__(self, net: nn.Module) -> float:
        """The score of a super-network, of one follower in all places, or of a cycle's followers."""
        net = net.cpu()
        if not self.keys:
            assert isinstance(net, SuperNet)
            return self._mean(ClipScorer(Networks(net), self.clips), self._spatial(net))
        followers = net if isinstance(net, SuperNet) else tuple(self._places(net))
        scores = [
            # By place, as several key networks may have one architecture.
            self._mean(
                ClipScorer(Networks(key, followers), self.clips, self._seen.setdefault(place, {})),
                self._temporal(net, key),
            )
            for place, key in enumerate(self.keys)
        ]
        return float(np.mean(scores))

    @staticmethod
    def _mean(score: ClipScorer, schedules: Sequence[Schedule]) -> float:
        return float(np.mean([score(schedule).mean for schedule in schedules]))

    def _places(self, net: nn.Module) -> list[PoseNet]:
        """The finished networks of followers in the order of the cycle."""
        nets = net.in_order if isinstance(net, Followers) else [net] * self.followers
        return [follower for follower in nets if isinstance(follower, PoseNet)]

    @staticmethod
    def _spatial(net: SuperNet) -> list[Schedule]:
        """The largest and the smallest key network of a super-network, and a few in between."""
        rng = Random(0)
        archs = [net.space.largest, net.space.smallest, *(net.space.sample(rng) for _ in range(DRAWN))]
        return [Schedule((Plan(arch),)) for arch in archs]

    def _temporal(self, net: nn.Module, key: FrozenKey) -> list[Schedule]:
        """Behind a key network the largest and smallest followers of a super-network and a few in between, or all."""
        if not isinstance(net, SuperNet):
            return [
                Schedule((key.plan, *(Plan(follower.arch, follower.fusion_spec) for follower in self._places(net))))
            ]
        rng = Random(0)
        space = CycleSpace(key_space_of(key.plan), net.space, (self.followers + 1,), (FusionSpec(), *net.fusion_specs))
        drawn = [space.sample(rng) for _ in range(DRAWN + 2)]
        ends = [
            replace(schedule, plans=(key.plan, *(replace(plan, arch=arch) for plan in schedule.plans[1:])))
            for schedule, arch in zip(drawn, (net.space.largest, net.space.smallest), strict=False)
        ]
        return [*ends, *drawn[2:]]


def clip_validation(plan: RunPlan) -> Validation | None:
    """When and how a recipe's super-network or followers are scored; None if the recipe says nothing of it.

    DataError if the data folder holds nothing to score on.
    """
    recipe, wanted = plan.recipe, plan.recipe.validation
    if wanted is None or recipe.kind in ("pose", "detector"):
        return None
    # Scored on the CPU, where nothing is compiled.
    keys = () if recipe.kind == "spatial" else tuple(map(load_key, plan.keys))
    followers = recipe.followers if keys else 0
    if recipe.kind == "cycle":
        followers = len(schedule_of(plan)) - 1
    data = plan.folders.data / wanted.path if wanted.format == "clips" else None
    clips = clip_sets(data, SetSizes(wanted.people, CALIBRATION, 1 + followers))
    return Validation(ClipScore(clips, keys, followers), wanted.every, wanted.keep_best)
