"""Scores of a network in training on people that stay the same.

Shapes: N people, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vipnas_cli.data.augment import crop_person
from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.errors import DataError
from vipnas_cli.metrics.pck import LIMB_JOINTS, limb_sizes, pck
from vipnas_cli.nets.posenet import network_input
from vipnas_cli.pose import COCO17, CropTransform, HeatmapCodec
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import Images, synthetic_people
from vipnas_cli.training.loop import Validation
from vipnas_cli.training.recipe import Recipe

LIMBS = [COCO17.index(name) for name in LIMB_JOINTS]
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
        people = people[:: max(len(people) // wanted.people, 1)][: wanted.people]
        images = {path: read_image(path) for path in {person.image for person in people}}
    return PoseScore.of(people, images, size)


def still_validation(recipe: Recipe, data: Path, size: tuple[int, int]) -> Validation | None:
    """When and how a pose network of a recipe is scored; None if the recipe says nothing of it."""
    score = still_score(recipe, data, size)
    if score is None or recipe.validation is None:
        return None
    return Validation(score, recipe.validation.every, recipe.validation.keep_best)
