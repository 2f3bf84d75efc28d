"""Batches of crops, made by a thread while the network computes.

Shapes: B batch, K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Augmentation, crop_person, draw_transform, vary_look
from vipnas_cli.data.crowds import can_be_cut_out
from vipnas_cli.data.surroundings import cut_off, with_bystander
from vipnas_cli.distributed import own_rows
from vipnas_cli.training.data import StillSource


@dataclass(frozen=True)
class Batch:
    """Crops (B, H, W, 3) uint8, points_crop (B, K, 2), weights (B, K), and the image that each row is from."""

    crops: Tensor
    points_crop: Tensor
    weights: Tensor
    ids: tuple[str, ...] = ()


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
        """This process's rows of the batch of `step`, each from a generator of its own so that resuming repeats it."""
        rows = [self._sample(np.random.default_rng((self.seed, step, row))) for row in own_rows(self.batch_size)]
        crops, points, weights, names = zip(*rows, strict=True)
        return Batch(stacked(crops), stacked(points), stacked(weights), names)

    def _sample(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], str]:
        person, options = self.source.draw(generator), self.augmentation
        image = self.source.images[person.image]
        if options.cut_off and generator.random() < options.cut_off:
            image, person, _ = cut_off(image, person, generator)
        transform, flip = draw_transform(person, self.size, options, generator)
        crop, points, weights = crop_person(image, person, transform, flip)
        if options.bystander and generator.random() < options.bystander:
            other = self.source.draw(generator)
            if can_be_cut_out(other):
                crop, weights = with_bystander(
                    crop, (points, weights), (self.source.images[other.image], other), generator
                )
        return vary_look(crop, self.augmentation, generator), points, weights, str(person.image)


@dataclass(frozen=True)
class SuccessiveBatches(Generic[BatchType]):
    """Batches of one source after the other; `parts` has each with the first step that is no longer its own."""

    parts: tuple[tuple[int, BatchSource[BatchType]], ...]

    def batch(self, step: int) -> BatchType:
        """The batch of `step`, by the last source past all of them."""
        for end, source in self.parts:
            if step < end:
                return source.batch(step)
        return self.parts[-1][1].batch(step)


def stacked(rows: Sequence[NDArray[np.generic]]) -> Tensor:
    """Arrays of one shape as a tensor with one more dimension in front."""
    return torch.from_numpy(np.stack(rows))


def prefetched(source: BatchSource[BatchType], first: int, last: int, threads: int = 1) -> Iterator[BatchType]:
    """The batches of steps `first` … `last` − 1, made by threads that stay a few batches in front."""
    ahead = 3 + threads
    pool = ThreadPoolExecutor(threads, "batches")
    try:
        pending = deque(pool.submit(source.batch, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            batch = pending.popleft().result()
            if step + ahead < last:
                pending.append(pool.submit(source.batch, step + ahead))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
