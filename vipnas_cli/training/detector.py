"""Training of the person detector: its batches, which cell answers for whom, and its losses.

Shapes: B batch, G people of a picture (padded), N cells, h, w cells of the detector's map.
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
from vipnas_cli.data.crowds import Scene, SceneOptions, empty_scene, windows, with_group, with_person, with_photo
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.distributed import mean_over_ranks, own_rows
from vipnas_cli.nets.detector import DETECTOR_STRIDE, PersonDetector, boxes_from_distances, cell_centres
from vipnas_cli.nets.posenet import network_input
from vipnas_cli.spec import preset
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import PictureSource, picture_source
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.start import RunPlan, compiled, freeze, header_of, initialise

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
MOST_CELLS = 10
# Cells this far from a person's middle may answer for the person: a share of the box, but at least so many pixels.
REACH, LEAST_REACH = 0.3, 1.5 * DETECTOR_STRIDE
SPARE_OVERLAP = 0.65


@dataclass(frozen=True)
class DetectionBatch:
    """Pictures (B, H, W, 3) uint8, boxes (B, G, 4) xyxy in input pixels, present (B, G) where a box is one, and
    background (B, h, w): 1 where a score without a person is an error, 0 in regions to ignore; `ids` name photos."""

    crops: Tensor
    boxes: Tensor
    present: Tensor
    background: Tensor
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class DetectionBatches:
    """Randomly composed pictures."""

    source: PictureSource
    side: int
    batch_size: int
    look: Augmentation
    seed: int
    options: SceneOptions = SceneOptions()

    def batch(self, step: int) -> DetectionBatch:
        """This process's rows of the batch of `step`, each drawn from a generator of its own."""
        rows = [self._scene(np.random.default_rng((self.seed, step, row))) for row in own_rows(self.batch_size)]
        batch = collate([scene for scene, _ in rows])
        return replace(batch, ids=tuple(name for _, name in rows))

    def _scene(self, generator: np.random.Generator) -> tuple[Scene, str]:
        scene, images, names = empty_scene(self.side, generator), self.source.images, []
        for window in windows(self.side, self.options, generator):
            label = self.source.draw(generator)
            names.append(str(label.image))
            scene = with_photo(scene, window, (images[label.image], label), self.options.scale, generator)
        if self.source.people and generator.random() < self.options.group:
            scene = with_group(scene, self._members(2, self.options.group_most, generator), generator)
        elif self.source.people and generator.random() < self.options.crowd:
            for image, person in self._members(1, self.options.most, generator):
                scene = with_person(scene, image, person, generator)
        return replace(scene, image=vary_look(scene.image, self.look, generator)), " + ".join(names)

    def _members(self, least: int, most: int, generator: np.random.Generator) -> list[tuple[Image, LabelledPerson]]:
        """From `least` to `most` random people who can be cut out, with their photos."""
        rows = generator.integers(len(self.source.people), size=generator.integers(least, most + 1))
        people = [self.source.people[int(row)] for row in rows]
        return [(self.source.images[person.image], person) for person in people]


def collate(scenes: list[Scene]) -> DetectionBatch:
    """Square scenes of one size as a batch."""
    most = max(1, *(len(scene.boxes) for scene in scenes))
    boxes, present = np.zeros((len(scenes), most, 4), np.float32), np.zeros((len(scenes), most), bool)
    for row, scene in enumerate(scenes):
        boxes[row, : len(scene.boxes)], present[row, : len(scene.boxes)] = scene.boxes, True
    crops = stacked([scene.image for scene in scenes])
    background = stacked([background_mask(scene) for scene in scenes])
    return DetectionBatch(crops, torch.from_numpy(boxes), torch.from_numpy(present), background)


def background_mask(scene: Scene) -> Floats:
    """The map (h, w) that is 0 at cells whose middle lies in a region to ignore."""
    cells = scene.image.shape[0] // DETECTOR_STRIDE
    centre = (np.arange(cells, dtype=np.float32) + 0.5) * DETECTOR_STRIDE
    result = np.ones((cells, cells), np.float32)
    for x0, y0, x1, y1 in scene.ignored:
        result[np.ix_((centre > y0) & (centre < y1), (centre > x0) & (centre < x1))] = 0
    return result


def detection_loss(raw: tuple[Tensor, Tensor], batch: DetectionBatch) -> Tensor:
    """Quality focal loss of the scores plus generalised IoU of the boxes.

    A cell that answers for a person is to score the IoU that its box reaches, so the best box is the best scored one.
    """
    logits, boxes = raw[0].flatten(1), boxes_from_distances(raw[1]).flatten(1, 2)
    x, y = cell_centres(raw[0].shape[1], raw[0].shape[2], logits.device)
    centres = torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], -1)
    owner, quality, spare = assign(logits.detach(), boxes.detach(), centres, (batch.boxes, batch.present))
    difference = (logits.sigmoid() - quality).abs()
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    taken = owner >= 0
    weights = torch.where(taken, torch.ones_like(quality), batch.background.flatten(1) * ~spare)
    total = mean_over_ranks(quality.sum()).clamp(min=1)
    truth = batch.boxes.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, 4))
    overlap = generalised_iou(boxes[taken], truth[taken])
    scores = (entropy * difference**2 * weights).sum() / total
    return scores + 2 * ((1 - overlap) * quality[taken]).sum() / total


@torch.no_grad()
def assign(
    logits: Tensor, boxes: Tensor, centres: Tensor, people: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Which person each cell answers for, (B, N) with -1 for nobody, the IoU (B, N) that its box reaches, and which
    cells (B, N) are spare: they answer for nobody, but their box is right as well and suppressed in the end.

    Near its middle a person takes the cells that already fit best; how many grows with how well they fit.
    `centres` (N, 2) are the cells' middles, `people` their boxes (B, G, 4) and which of them are present (B, G).
    """
    truth, present = people
    overlap = pairwise_iou(truth, boxes)
    middle, size = (truth[..., :2] + truth[..., 2:]) / 2, truth[..., 2:] - truth[..., :2]
    away = (centres - middle[:, :, None]) / (REACH * size).clamp(min=LEAST_REACH)[:, :, None]
    possible = (away.abs() <= 1).all(-1) & present[..., None]
    score = logits.sigmoid()[:, None]
    entropy = F.binary_cross_entropy_with_logits(logits[:, None].expand_as(overlap), overlap, reduction="none")
    cost = entropy * (score - overlap) ** 2 - 3 * overlap.clamp(min=1e-6).log() + away.square().sum(-1)
    cost = torch.where(possible, cost, torch.inf)
    wanted = (overlap * possible).topk(MOST_CELLS, -1).values.sum(-1).clamp(min=1).long()
    limit = cost.topk(MOST_CELLS, -1, largest=False).values.gather(-1, wanted[..., None] - 1)
    cost = torch.where((cost <= limit) & possible, cost, torch.inf)
    best, owner = cost.min(1)
    taken = best.isfinite()
    quality = overlap.gather(1, owner[:, None])[:, 0] * taken
    # Which of many good cells are the best is a matter of taste; to ask for exactly those keeps all scores low.
    spare = (possible & (overlap > SPARE_OVERLAP)).any(1) & ~taken
    return torch.where(taken, owner, -1), quality, spare


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (B, G, N) of boxes (B, G, 4) and (B, N, 4) xyxy."""
    a, b = a[:, :, None], b[:, None]
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    together = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / together.clamp(min=1e-6)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (…) of boxes (…, 4) xyxy, pair by pair; 1 for equal boxes, negative when far apart."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    hull_low, hull_high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    together = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    hull = (hull_high - hull_low).prod(-1).clamp(min=1e-6)
    return shared / together.clamp(min=1e-6) - (hull - together) / hull


def train_detector(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    # The size that it has learned on is the one that it is used at.
    arch = replace(preset(recipe.preset), height=recipe.height, width=recipe.width)
    net = PersonDetector(arch)
    pictures = picture_source(recipe, plan.folders)
    initialise(net, plan)
    freeze(net, recipe.frozen_stages)
    source = DetectionBatches(pictures, recipe.height, recipe.batch, recipe.augmentation, recipe.seed, recipe.scene)
    trainer = Trainer(net, recipe.loop, header_of(plan, {"kind": "detector", "arch": arch.to_json()}))
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: DetectionBatch) -> Tensor:
        return detection_loss(raw(network_input(batch.crops)), batch)

    return trainer.run(source, loss_of, plan.out, plan.until)
