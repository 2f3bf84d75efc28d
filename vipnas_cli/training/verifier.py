"""Training of the verifier on boxes that a detector finds in photos, and the person that each is nearest to.

Shapes: B batch, N boxes, P people, H, W crop pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Augmentation, vary_look
from vipnas_cli.data.crowds import Scene, empty_scene, with_photo
from vipnas_cli.distributed import mean_over_ranks, own_rows
from vipnas_cli.nets.checkpoints import load_detector
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import network_input
from vipnas_cli.nets.verifier import BoxVerifier, placed
from vipnas_cli.pose import CropTransform, mirrored_places
from vipnas_cli.pose.boxes import covered_shares, iou
from vipnas_cli.spec import preset
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import PictureSource, picture_source
from vipnas_cli.training.detector import generalised_iou, pairwise_iou
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.start import RunPlan, compiled, freeze, header_of, initialise

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
BOXES_PER_PHOTO = 8
# Shares of boxes that are wrong, and that are about right, as the detector finds them; the others are true boxes moved.
WRONG, RIGHT = 0.45, 0.3
# A box that overlaps a person by at least this is about right: it means that person, and can be corrected ...
ABOUT_RIGHT = 0.3
# ... and from the lower to the upper of these the place found instead is believed more and more: boxes are asked to
# overlap by a half.
NO_FIT, FIT = 0.3, 0.65
PLACE_WEIGHT = 1.0
# How strongly true boxes are moved, as shares of their sides, and how much all others are.
SPREADS, JITTER = (0.04, 0.12, 0.2, 0.3), 0.02
LEAST_SCORE = 0.05
_LEAST_SIDE = 4.0


@dataclass(frozen=True)
class VerificationBatch:
    """Crops (B, H, W, 3) uint8 of boxes, the places (B, 4) of the people whom they mean, and which boxes (B,) are
    about right; `ids` name photos.

    Places are xyxy in units of the box, mirrored if the crop is; those of boxes that are wrong mean nothing.
    """

    crops: Tensor
    places: Tensor
    right: Tensor
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a detector sees in a picture: boxes (N, 4) xyxy and scores (N,)."""

    boxes: Floats
    scores: Floats


@dataclass(frozen=True)
class VerificationBatches:
    """Crops of boxes that a frozen detector finds in photos at random scale and place; `size` is (height, width)."""

    source: PictureSource
    detector: PersonDetector
    size: tuple[int, int]
    batch_size: int
    scale: tuple[float, float]
    look: Augmentation
    seed: int

    def batch(self, step: int) -> VerificationBatch:
        """This process's rows of the batch of `step`, each photo drawn from a generator of its own."""
        photos = own_rows(max(self.batch_size // BOXES_PER_PHOTO, 1))
        generators = [np.random.default_rng((self.seed, step, row)) for row in photos]
        drawn = [self._scene(generator) for generator in generators]
        crops, places, right = [], [], []
        seen = self._found([scene for scene, _, _ in drawn])
        for (scene, complete, _), found, generator in zip(drawn, seen, generators, strict=True):
            boxes = sample_boxes(found, scene, complete, generator)
            mirrored = generator.random(len(boxes)) < self.look.flip
            crops += [self._crop(scene.image, *box, generator) for box in zip(boxes, mirrored, strict=True)]
            places.append(place_targets(boxes, scene.boxes, mirrored))
            right.append(_best_overlap(boxes, scene.boxes) >= ABOUT_RIGHT)
        names = tuple(name for _, _, name in drawn)
        truth = torch.from_numpy(np.concatenate(places)), torch.from_numpy(np.concatenate(right))
        return VerificationBatch(stacked(crops), *truth, names)

    def _scene(self, generator: np.random.Generator) -> tuple[Scene, bool, str]:
        label, side = self.source.draw(generator), self.detector.arch.width
        photo = (self.source.images[label.image], label)
        scene = with_photo(empty_scene(side, generator), (0, 0, side, side), photo, self.scale, generator)
        return scene, label.image not in self.source.incomplete, str(label.image)

    @torch.no_grad()
    def _found(self, scenes: list[Scene]) -> list[Found]:
        device = next(self.detector.parameters()).device
        pictures = stacked([scene.image for scene in scenes]).to(device)
        scores, boxes = self.detector(network_input(pictures))
        rows = zip(scores.flatten(1).cpu().numpy(), boxes.flatten(1, 2).cpu().numpy(), strict=True)
        return [Found(found[values >= LEAST_SCORE], values[values >= LEAST_SCORE]) for values, found in rows]

    def _crop(self, image: Image, box: Floats, mirrored: bool, generator: np.random.Generator) -> Image:
        transform = CropTransform.stretched(box, *self.size, flip=bool(mirrored))
        return vary_look(transform.warp(image), self.look, generator)


def sample_boxes(found: Found, scene: Scene, complete: bool, generator: np.random.Generator) -> Floats:
    """Boxes (N, 4) to judge: what the detector takes for people and is wrong about, what it is right about, and true
    boxes moved. Where labels are not `complete`, nothing that it finds besides the people is held to be wrong."""
    overlap = _best_overlap(found.boxes, scene.boxes)
    right = overlap >= ABOUT_RIGHT
    wrong = ~right & ~_covered(found.boxes, scene.ignored) & complete
    result = []
    for kind in generator.random(BOXES_PER_PHOTO):
        if kind < WRONG and wrong.any():
            # What it scores highest is what it has to unlearn first.
            result.append(_one(found.boxes, found.scores * wrong, generator))
        elif kind < WRONG + RIGHT and right.any():
            # The worse it fits, the more there is to correct.
            result.append(_one(found.boxes, right * (1.2 - overlap), generator))
        elif len(scene.boxes):
            result.append(_jittered(scene.boxes[generator.integers(len(scene.boxes))], SPREADS, generator))
        else:
            result.append(_random_box(scene.image.shape[0], generator))
    return np.stack(result).astype(np.float32)


def place_targets(boxes: Floats, people: Floats, mirrored: NDArray[np.bool_]) -> Floats:
    """Places (N, 4) of the people (P, 4) whom boxes (N, 4) overlap best, in units of each box, some mirrored."""
    if not len(people) or not len(boxes):
        return np.tile(np.array([0, 0, 1, 1], np.float32), (len(boxes), 1))
    sides, corner = boxes[:, 2:] - boxes[:, :2], boxes[:, :2]
    nearest = people[iou(boxes, people).argmax(1)]
    places = (nearest - np.tile(corner, 2)) / np.tile(sides, 2)
    places[mirrored] = mirrored_places(places[mirrored])
    result: Floats = places.astype(np.float32)
    return result


def verification_loss(raw: Tensor, batch: VerificationBatch) -> Tensor:
    """Cross entropy of the logits, and how far the places found are from those of the people, for raw outputs (B, 5).

    What a score should be is how well the place fits that the network itself puts the box to.
    """
    found, right = placed(raw[:, 1:]), batch.right.float()
    quality = generalised_iou(found, batch.places)
    with torch.no_grad():
        overlap = pairwise_iou(found[:, None], batch.places[:, None])[:, 0, 0]
        targets = ((overlap - NO_FIT) / (FIT - NO_FIT)).clamp(0, 1) * right
    misplaced = ((1 - quality) * right).sum() / mean_over_ranks(right.sum()).clamp(min=1)
    return F.binary_cross_entropy_with_logits(raw[:, 0], targets) + PLACE_WEIGHT * misplaced


def _best_overlap(boxes: Floats, people: Floats) -> Floats:
    if not len(people) or not len(boxes):
        return np.zeros(len(boxes), np.float32)
    return np.asarray(iou(boxes, people).max(1), np.float32)


def _covered(boxes: Floats, regions: Floats) -> NDArray[np.bool_]:
    """Which boxes (N,) lie by more than a third in a region to ignore."""
    if not len(regions) or not len(boxes):
        return np.zeros(len(boxes), bool)
    return np.asarray(covered_shares(boxes, regions).max(1) > 1 / 3)


def _one(boxes: Floats, weights: Floats, generator: np.random.Generator) -> Floats:
    chosen = boxes[generator.choice(len(boxes), p=weights.astype(np.float64) / weights.sum(dtype=np.float64))]
    return _jittered(chosen, (JITTER,), generator)


def _jittered(box: Floats, spreads: tuple[float, ...], generator: np.random.Generator) -> Floats:
    sides = np.tile(box[2:] - box[:2], 2)
    moved: Floats = np.asarray(box + generator.normal(0, generator.choice(spreads), 4) * sides, np.float32)
    return moved if (moved[2:] - moved[:2]).min() >= _LEAST_SIDE else box


def _random_box(side: int, generator: np.random.Generator) -> Floats:
    size = generator.uniform(0.1, 0.6, 2) * side
    corner = generator.uniform(0, side - size)
    return np.concatenate([corner, corner + size]).astype(np.float32)


def train_verifier(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    assert plan.detector is not None
    arch = replace(preset(recipe.preset), height=recipe.height, width=recipe.width)
    net = BoxVerifier(arch)
    pictures = picture_source(recipe, plan.folders)
    initialise(net, plan)
    freeze(net, recipe.frozen_stages)
    detector = load_detector(plan.detector).float().eval().to(plan.device)
    size, scale = (arch.height, arch.width), recipe.scene.scale
    source = VerificationBatches(pictures, detector, size, recipe.batch, scale, recipe.augmentation, recipe.seed)
    trainer = Trainer(net, recipe.loop, header_of(plan, {"kind": "verifier", "arch": arch.to_json()}))
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: VerificationBatch) -> Tensor:
        return verification_loss(raw(network_input(batch.crops)), batch)

    return trainer.run(source, loss_of, plan.out, plan.until)
