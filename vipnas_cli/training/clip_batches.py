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
from vipnas_cli.pose.geometry import PADDING
from vipnas_cli.pose.realign import realignment_weights
from vipnas_cli.training.batches import stacked
from vipnas_cli.training.data import ClipSource, StillSource

Array = NDArray[np.generic]


@dataclass(frozen=True)
class KeyView:
    """What one of several key networks (`key`, None for heatmaps drawn from the labels) sees of n clips of a batch.

    crops (n, H, W, 3) uint8, points_crop (n, K, 2), weights (n, K); rows (n, h', h) and columns (n, w', w): where the
    first follower finds the heatmaps.
    """

    key: int | None
    crops: Tensor
    points_crop: Tensor
    weights: Tensor
    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class ClipBatch:
    """Views of the key frames, which together have the clips in their order; crops (T, B, H', W', 3) uint8;
    points_crop (T, B, K, 2); weights (T, B, K); rows (T − 1, B, h', h) and columns (T − 1, B, w', w): where followers
    after the first find the previous one's heatmaps; the image of each key frame."""

    views: tuple[KeyView, ...]
    crops: tuple[Tensor, ...]
    points_crop: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    columns: tuple[Tensor, ...]
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipOptions:
    """Crop sizes (height, width) of each key network and of each follower, and how far boxes err from frame to frame.

    `key_paddings` is how much larger than boxes the crops of each key network are, none: as for followers.
    Every clip has one of the key networks, all equally likely; for the share `drawn` of clips heatmaps are drawn from
    the labels instead, for the first key network's crop. `stills` is the share of clips that are simulated from one
    still image; `limbs` is how far limbs move in those.
    """

    key_sizes: tuple[tuple[int, int], ...]
    sizes: tuple[tuple[int, int], ...]
    batch_size: int
    box_shift: float = 0.05
    box_scale: float = 0.08
    stills: float = 0.35
    limbs: float = 1.0
    longest_stride: int = 2
    drawn: float = 0.0
    key_paddings: tuple[float, ...] = ()


@dataclass(frozen=True)
class _Sample:
    """One clip: its key network, per frame crop, points and weights, per follower row and column weights."""

    key: int | None
    frames: tuple[tuple[Array, Array, Array], ...]
    rows: tuple[Array, ...]
    columns: tuple[Array, ...]
    id: str


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
        # The clips of a key network stand together; where there is one alone, all keep their places.
        samples.sort(key=lambda sample: len(self.options.key_sizes) if sample.key is None else sample.key)
        views = []
        for key in dict.fromkeys(sample.key for sample in samples):
            own_frames = [(*s.frames[0], s.rows[0], s.columns[0]) for s in samples if s.key == key]
            views.append(KeyView(key, *(stacked(part) for part in zip(*own_frames, strict=True))))
        places = range(1, len(self.options.sizes) + 1)
        crops, points, weights = (
            tuple(stacked([sample.frames[place][part] for sample in samples]) for place in places) for part in range(3)
        )
        rows, columns = (
            tuple(stacked([getattr(sample, name)[place] for sample in samples]) for place in places[:-1])
            for name in ("rows", "columns")
        )
        return ClipBatch(tuple(views), crops, points, weights, rows, columns, tuple(sample.id for sample in samples))

    def _sample(self, generator: np.random.Generator) -> _Sample:
        people, images = self._draw(generator)
        rotation, flip = self._orientation(generator)
        key = self._key(generator)
        sizes = [self.options.key_sizes[key or 0], *self.options.sizes]
        scale = float(np.exp(generator.uniform(*np.log(self.augmentation.scale))))
        own = self.options.key_paddings[key or 0] if self.options.key_paddings else PADDING
        paddings = [own * scale, *[PADDING * scale] * len(self.options.sizes)]
        transforms = [
            CropTransform.from_box(_jittered(person.box_frame, self.options, generator), *size, padding, rotation, flip)
            for person, size, padding in zip(people, sizes, paddings, strict=True)
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
        return _Sample(key, tuple(frames), tuple(rows), tuple(columns), str(people[0].image))

    def _key(self, generator: np.random.Generator) -> int | None:
        """Which key network a clip has, None for the labels; what needs no choice draws nothing."""
        if self.options.drawn and generator.random() < self.options.drawn:
            return None
        count = len(self.options.key_sizes)
        return int(generator.integers(count)) if count > 1 else 0

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
