"""Batches of clips: a key frame and T followers of one person, with what re-aligns heatmaps from frame to frame.

Shapes: B batch, T followers, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vipnas_cli.data.augment import Augmentation, crop_person, vary_look
from vipnas_cli.data.deformation import moving_limbs
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.distributed import own_rows
from vipnas_cli.pose import CropTransform
from vipnas_cli.pose.realign import realignment_weights
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import ClipSource, StillSource

Arrays = tuple[NDArray[np.generic], ...]


@dataclass(frozen=True)
class ClipBatch:
    """key_crops (B, H, W, 3) and crops (T, B, H', W', 3) uint8; points_crop (T, B, K, 2); weights (T, B, K);
    rows (T, B, h', h) and columns (T, B, w', w): where followers find the previous frame's heatmaps; the image of each
    key frame."""

    key_crops: Tensor
    crops: tuple[Tensor, ...]
    points_crop: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    columns: tuple[Tensor, ...]
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipOptions:
    """Crop sizes (height, width) of the key frame and of each follower, and how far boxes err from frame to frame.

    `stills` is the share of clips that are simulated from one still image; `limbs` is how far limbs move in those.
    """

    key_size: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    batch_size: int
    box_shift: float = 0.05
    box_scale: float = 0.08
    stills: float = 0.35
    limbs: float = 1.0
    longest_stride: int = 2


@dataclass(frozen=True)
class ClipBatches:
    """Clips of real video mixed with clips simulated from stills."""

    clips: ClipSource
    stills: StillSource
    options: ClipOptions
    augmentation: Augmentation
    seed: int

    def batch(self, step: int) -> ClipBatch:
        """This process's rows of the batch of `step`, each drawn from a generator of its own."""
        own = own_rows(self.options.batch_size)
        samples = [self._sample(np.random.default_rng((self.seed, step, row))) for row in own]
        key = stacked([sample[0] for sample in samples])
        frames = zip(*(sample[1] for sample in samples), strict=True)
        columns = [tuple(stacked(part) for part in zip(*frame, strict=True)) for frame in frames]
        crops, points, weights, rows, across = zip(*columns, strict=True)
        return ClipBatch(key, crops, points, weights, rows, across, tuple(sample[2] for sample in samples))

    def _sample(self, generator: np.random.Generator) -> tuple[NDArray[np.uint8], list[Arrays], str]:
        """The key crop; per follower: crop, points, weights, row weights, column weights; the key frame's image."""
        people, images = self._draw(generator)
        rotation, flip = self._orientation(generator)
        sizes = [self.options.key_size, *self.options.sizes]
        padding = 1.25 * float(np.exp(generator.uniform(*np.log(self.augmentation.scale))))
        transforms = [
            CropTransform.from_box(_jittered(person.box_frame, self.options, generator), *size, padding, rotation, flip)
            for person, size in zip(people, sizes, strict=True)
        ]
        look = int(generator.integers(2**32))
        frames = []
        for person, image, transform in zip(people, images, transforms, strict=True):
            crop, points, weights = crop_person(image, person, transform, flip)
            # One seed for all frames: light and blur stay as they are within a clip.
            frames.append((vary_look(crop, self.augmentation, np.random.default_rng(look)), points, weights))
        rows, columns = [], []
        for source, target in pairwise(transforms):
            row, column = realignment_weights([source], [target])
            rows.append(row[0])
            columns.append(column[0])
        key = frames[0][0]
        parts: list[Arrays] = [(*frame, r, c) for frame, r, c in zip(frames[1:], rows, columns, strict=True)]
        return key, parts, str(people[0].image)

    def _draw(self, generator: np.random.Generator) -> tuple[list[LabelledPerson], list[NDArray[np.uint8]]]:
        """A person in consecutive frames."""
        count = len(self.options.sizes) + 1
        if generator.random() < self.options.stills:
            person = self.stills.draw(generator)
            return _simulated_clip(person, self.stills.images[person.image], count, self.options.limbs, generator)
        clip = self.clips.draw(generator).frames
        stride = int(generator.integers(1, self.options.longest_stride + 1))
        stride = max(1, min(stride, (len(clip) - 1) // (count - 1)))
        first = int(generator.integers(len(clip) - stride * (count - 1)))
        people = list(clip[first : first + stride * count : stride])[:count]
        if generator.random() < 0.5:
            people.reverse()
        return people, [self.clips.images[person.image] for person in people]

    def _orientation(self, generator: np.random.Generator) -> tuple[float, bool]:
        options = self.augmentation
        turned = generator.random() < options.rotation_probability
        angle = np.clip(generator.normal(0, options.rotation / 1.5), -1.5 * options.rotation, 1.5 * options.rotation)
        return (float(np.radians(angle)) if turned else 0.0), bool(generator.random() < options.flip)


def _jittered(box: NDArray[np.float32], options: ClipOptions, generator: np.random.Generator) -> NDArray[np.float32]:
    """A box as a detector or the last pose would give it: a little off in place and size."""
    size = box[2:] - box[:2]
    middle = (box[:2] + box[2:]) / 2 + generator.normal(0, options.box_shift, 2) * size
    half = size / 2 * np.exp(generator.normal(0, options.box_scale, 2))
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _simulated_clip(
    person: LabelledPerson, image: NDArray[np.uint8], count: int, limbs: float, generator: np.random.Generator
) -> tuple[list[LabelledPerson], list[NDArray[np.uint8]]]:
    """A still person in `count` frames: the box wanders as if camera or person moved, and so do some limbs."""
    size = person.box_frame[2:] - person.box_frame[:2]
    step = generator.normal(0, 0.06, 2) * size
    boxes = [person.box_frame + np.tile(step * index, 2).astype(np.float32) for index in range(count)]
    people = [replace(person, box_frame=box) for box in boxes]
    images = [image] * count
    whole = moving_limbs(person, limbs, generator)
    if whole is None:
        return people, images
    for index in range(1, count):
        moved = whole.scaled(index / (count - 1))
        images[index] = moved.picture(image)
        people[index] = replace(people[index], points_frame=moved.points(person.points_frame))
    return people, images
