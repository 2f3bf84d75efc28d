"""Batches of crops, made by a thread while the network computes.

Shapes: B batch, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Augmentation, crop_person, draw_transform, vary_look
from vipnas_cli.training.data_sets import StillSource


@dataclass(frozen=True)
class Batch:
    """Crops (B, H, W, 3) uint8, points_crop (B, K, 2), weights (B, K)."""

    crops: Tensor
    points_crop: Tensor
    weights: Tensor


BatchType = TypeVar("BatchType", covariant=True)


class BatchSource(Protocol[BatchType]):
    """Anything that makes the batch of a step; the same step always gives the same batch."""

    def batch(self, step: int) -> BatchType:
        """The batch of `step`."""
        ...


@dataclass(frozen=True)
class StillBatches:
    """Augmented crops of still images."""

    source: StillSource
    size: tuple[int, int]
    batch_size: int
    augmentation: Augmentation
    seed: int

    def batch(self, step: int) -> Batch:
        """The batch of `step`, drawn from a generator of its own so that resuming repeats it."""
        generator = np.random.default_rng((self.seed, step))
        rows = [self._sample(generator) for _ in range(self.batch_size)]
        crops, points, weights = (np.stack(column) for column in zip(*rows, strict=True))
        return Batch(torch.from_numpy(crops), torch.from_numpy(points), torch.from_numpy(weights))

    def _sample(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        person = self.source.draw(generator)
        transform, flip = draw_transform(person, self.size, self.augmentation, generator)
        crop, points, weights = crop_person(self.source.images[person.image], person, transform, flip)
        return vary_look(crop, self.augmentation, generator), points, weights


def prefetched(source: BatchSource[BatchType], first: int, last: int, ahead: int = 4) -> Iterator[BatchType]:
    """The batches of steps `first` … `last` − 1, made by a thread that stays at most `ahead` batches in front."""
    pool = ThreadPoolExecutor(1, "batches")
    try:
        pending = deque(pool.submit(source.batch, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            batch = pending.popleft().result()
            if step + ahead < last:
                pending.append(pool.submit(source.batch, step + ahead))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
