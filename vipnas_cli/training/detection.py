"""Batches and losses of the person detector.

Shapes: B batch, H, W input pixels, h, w cells of the detector's map.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Augmentation, vary_look
from vipnas_cli.nets.detector import DETECTOR_STRIDE, boxes_from_distances
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data_sets import PictureSource
from vipnas_cli.training.distributed import mean_over_ranks, own_rows

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DetectionBatch:
    """Pictures (B, H, W, 3) uint8; heat (B, h, w) with 1 at centres; boxes (B, h, w, 4) xyxy in input pixels;
    box_weights (B, h, w) where a box is to be predicted; heat_weights (B, h, w), 0 in regions to ignore."""

    crops: Tensor
    heat: Tensor
    boxes: Tensor
    box_weights: Tensor
    heat_weights: Tensor
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class DetectionBatches:
    """Randomly scaled and placed pictures."""

    source: PictureSource
    side: int
    batch_size: int
    look: Augmentation
    seed: int

    def batch(self, step: int) -> DetectionBatch:
        """This process's rows of the batch of `step`, each drawn from a generator of its own."""
        rows = [self._sample(np.random.default_rng((self.seed, step, row))) for row in own_rows(self.batch_size)]
        crops, heat, boxes, box_weights, heat_weights, names = zip(*rows, strict=True)
        targets = (stacked(heat), stacked(boxes), stacked(box_weights), stacked(heat_weights))
        return DetectionBatch(stacked(crops), *targets, names)

    def _sample(self, generator: np.random.Generator) -> tuple[NDArray[np.uint8], Floats, Floats, Floats, Floats, str]:
        label = self.source.draw(generator)
        image = self.source.images[label.image]
        matrix = _placement(image.shape[0], image.shape[1], self.side, generator)
        size = (self.side, self.side)
        border = tuple(int(v) for v in generator.integers(0, 256, 3))
        placed = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=border)
        boxes, ignored = _moved(label.boxes_frame, matrix), _moved(label.ignored_frame, matrix)
        targets = detection_targets(boxes, ignored, self.side)
        return (vary_look(np.asarray(placed, np.uint8), self.look, generator), *targets, str(label.image))


def _placement(height: int, width: int, side: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A random scale, place and mirror; the scale is relative to the letterboxed picture."""
    scale = side / max(height, width) * np.exp(generator.uniform(np.log(0.6), np.log(1.8)))
    room = side - np.array([width, height]) * scale
    offset = generator.uniform(np.minimum(room, 0), np.maximum(room, 0))
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    if generator.random() < 0.5:
        matrix[0] = [-scale, 0, side - 1 - offset[0]]
    return matrix


def _moved(boxes: Floats, matrix: NDArray[np.float64]) -> Floats:
    """Boxes (N, 4) xyxy through a matrix without rotation."""
    corners = boxes.reshape(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([corners.min(1), corners.max(1)], -1).astype(np.float32)


def detection_targets(boxes: Floats, ignored: Floats, side: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Heat, boxes, box weights and heat weights of a square picture; see DetectionBatch.

    Persons cut by the picture's edge keep the part that shows; less than a third showing is ignored.
    """
    cells = side // DETECTOR_STRIDE
    centre = (np.arange(cells, dtype=np.float32) + 0.5) * DETECTOR_STRIDE
    heat, box_weights = np.zeros((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    heat_weights = np.ones((cells, cells), np.float32)
    target = np.zeros((cells, cells, 4), np.float32)
    shown = np.clip(boxes, 0, side)
    areas = (shown[:, 2] - shown[:, 0]) * (shown[:, 3] - shown[:, 1])
    whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = (areas > whole / 3) & (areas > 36)
    for x0, y0, x1, y1 in (*np.clip(ignored, 0, side), *shown[~kept]):
        heat_weights[np.ix_((centre > y0) & (centre < y1), (centre > x0) & (centre < x1))] = 0
    order = np.argsort(-areas)
    for x0, y0, x1, y1 in shown[order[kept[order]]]:
        middle_x, middle_y, width, height = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        sigma_x, sigma_y = max(0.1 * width, 4.0), max(0.1 * height, 4.0)
        across = np.exp(-((centre - middle_x) ** 2) / (2 * sigma_x**2))
        down = np.exp(-((centre - middle_y) ** 2) / (2 * sigma_y**2))
        blob = down[:, None] * across
        # The nearest cell is the positive one, wherever the middle falls in it.
        blob /= blob.max()
        near = (blob > 0.4) & (blob >= heat)
        target[near], box_weights[near] = (x0, y0, x1, y1), blob[near]
        heat = np.maximum(heat, blob)
        heat_weights[blob > 0.9] = 1
    return heat, target, box_weights, heat_weights


def detection_loss(raw: tuple[Tensor, Tensor], batch: DetectionBatch) -> Tensor:
    """Quality focal loss of the heat plus generalised IoU of the boxes.

    The heat around a middle is a target of its own: which single cell is the middle is often a matter of taste, and a
    loss that asks for exactly one keeps all scores low.
    """
    logits, distances = raw
    positive = batch.heat >= 0.999
    difference = (logits.sigmoid() - batch.heat).abs()
    entropy = F.binary_cross_entropy_with_logits(logits, batch.heat, reduction="none")
    people = mean_over_ranks(positive.sum().float()).clamp(min=1)
    centres = (entropy * difference**2 * batch.heat_weights).sum() / people
    overlap = generalised_iou(boxes_from_distances(distances), batch.boxes)
    boxes = ((1 - overlap) * batch.box_weights).sum() / mean_over_ranks(batch.box_weights.sum()).clamp(min=1)
    return centres + 2 * boxes


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (…) of boxes (…, 4) xyxy, pair by pair; 1 for equal boxes, negative when far apart."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    hull_low, hull_high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    together = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    hull = (hull_high - hull_low).prod(-1).clamp(min=1e-6)
    return shared / together.clamp(min=1e-6) - (hull - together) / hull


__all__ = ["DetectionBatch", "DetectionBatches", "detection_loss", "detection_targets", "generalised_iou"]
