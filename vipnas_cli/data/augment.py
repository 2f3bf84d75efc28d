"""Random crops of labelled people and random degradations of a crop.

Shapes: K keypoints, H, W crop pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.pose import COCO17, CropTransform

Images = NDArray[np.uint8]
_UPPER = np.array([name.split("_")[-1] not in ("hip", "knee", "ankle") for name in COCO17.keypoints])


@dataclass(frozen=True)
class Augmentation:
    """How far crops vary (paper section 2.5) and how strongly their degradations do.

    Angles are normal with σ `rotation` / 1.5 degrees and never beyond 1.5 times `rotation`. `coarse` is the share of
    crops that lose detail, as those of people who are small in the picture do. `bystander` is the share with another
    person beside or before the one in the middle, `cut_off` that of people whom the picture's border cuts. `grey` is
    the share that lose their colours, of those whose colours vary; `dark` the share seen in poor and coloured light.
    """

    flip: float = 0.5
    scale: tuple[float, float] = (0.75, 1.33)
    rotation: float = 45.0
    rotation_probability: float = 0.6
    shift: float = 0.12
    half_body: float = 0.2
    colour: float = 0.7
    blur: float = 0.15
    occlusion: float = 0.3
    coarse: float = 0.0
    bystander: float = 0.0
    cut_off: float = 0.0
    grey: float = 0.1
    dark: float = 0.0


# What a crop shows of people who are 40 to 150 pixels tall in the picture.
COARSE_SHRINK = (0.15, 0.6)


def draw_transform(
    person: LabelledPerson, size: tuple[int, int], options: Augmentation, generator: np.random.Generator
) -> tuple[CropTransform, bool]:
    """A random crop of height, width `size` around a person, and whether it is mirrored."""
    box = person.box_frame
    if generator.random() < options.half_body:
        box = _half_body_box(person, generator)
    width, height = box[2] - box[0], box[3] - box[1]
    moved = box + np.tile(generator.uniform(-1, 1, 2) * options.shift * (width, height), 2)
    angle = 0.0
    if generator.random() < options.rotation_probability:
        angle = float(np.radians(_angle(options, generator)))
    flip = bool(generator.random() < options.flip)
    padding = 1.25 * np.exp(generator.uniform(*np.log(options.scale)))
    return CropTransform.from_box(moved, *size, float(padding), angle, flip), flip


def _angle(options: Augmentation, generator: np.random.Generator) -> float:
    most = 1.5 * options.rotation
    return float(np.clip(generator.normal(0, options.rotation / 1.5), -most, most))


def _half_body_box(person: LabelledPerson, generator: np.random.Generator) -> NDArray[np.float32]:
    """A box around the upper or the lower half of a person with enough labelled joints, else the whole box."""
    half = _UPPER if generator.random() < 0.6 else ~_UPPER
    points = person.points_frame[half & (person.weights > 0)]
    if (person.weights > 0).sum() <= 8 or len(points) < 3:
        return person.box_frame
    low, high = points.min(0), points.max(0)
    grow = 0.25 * max(*(high - low), 8.0)
    return np.concatenate([low - grow, high + grow]).astype(np.float32)


def crop_person(
    image: Images, person: LabelledPerson, transform: CropTransform, flip: bool
) -> tuple[Images, NDArray[np.float32], NDArray[np.float32]]:
    """The crop (H, W, 3), points_crop (K, 2) and weights (K,); joints outside the crop weigh nothing."""
    return transform.warp(image), *crop_labels(person, transform, flip)


def crop_labels(
    person: LabelledPerson, transform: CropTransform, flip: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The labels that belong to a crop: points_crop (K, 2) and weights (K,)."""
    points = transform.to_crop(person.points_frame)
    weights = person.weights
    if flip:
        order = list(COCO17.flip_order)
        points, weights = points[order], weights[order]
    inside = ((points > -0.5) & (points < np.array([transform.width, transform.height]) - 0.5)).all(-1)
    return points, (weights * inside).astype(np.float32)


@dataclass(frozen=True)
class Degradation:
    """How a crop is changed, in this order; a part that is None changes nothing.

    `shrink` is the share of its size at which detail is lost; `smear` a kernel (k, k) of motion blur; `table` (256, 3)
    new values of each channel; `patch` is top, left, bottom, right of what `cover` (3,) hides.
    """

    shrink: float | None = None
    smear: NDArray[np.float32] | None = None
    table: Images | None = None
    grey: bool = False
    patch: tuple[int, int, int, int] | None = None
    cover: Images | None = None


def draw_degradation(size: tuple[int, int], options: Augmentation, generator: np.random.Generator) -> Degradation:
    """A random degradation of a crop of height, width `size`."""
    height, width = size
    shrink, smear, table, grey, patch, cover = None, None, None, False, None, None
    if generator.random() < options.blur:
        if generator.random() < 0.5:
            shrink = float(generator.uniform(0.35, 0.8))
        else:
            smear = _motion_kernel(height // 24, generator)
    if options.coarse and generator.random() < options.coarse:
        shrink = float(np.exp(generator.uniform(*np.log(COARSE_SHRINK))))
    if generator.random() < options.colour:
        table = _colour_table(generator)
        grey = bool(generator.random() < options.grey)
    if options.dark and generator.random() < options.dark:
        table = _dark_table(generator)
    if generator.random() < options.occlusion:
        extent = generator.uniform(0.08, 0.3, 2) * (height, width)
        top, left = int(generator.integers(0, height)), int(generator.integers(0, width))
        patch = (top, left, top + int(extent[0]), left + int(extent[1]))
        cover = generator.integers(0, 256, 3, dtype=np.uint8)
    return Degradation(shrink, smear, table, grey, patch, cover)


def degraded(crop: Images, degradation: Degradation) -> Images:
    """The crop (H, W, 3) degraded."""
    height, width = crop.shape[:2]
    if degradation.shrink is not None:
        small = (int(width * degradation.shrink), int(height * degradation.shrink))
        crop = np.asarray(cv2.resize(crop, small, interpolation=cv2.INTER_AREA), np.uint8)
        crop = np.asarray(cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if degradation.smear is not None:
        crop = np.asarray(cv2.filter2D(crop, -1, degradation.smear), np.uint8)
    if degradation.table is not None:
        crop = np.asarray(cv2.LUT(crop, degradation.table[None]), np.uint8)
    if degradation.grey:
        crop = np.repeat(crop.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    if degradation.patch is not None and degradation.cover is not None:
        top, left, bottom, right = degradation.patch
        crop = crop.copy()
        crop[top:bottom, left:right] = degradation.cover
    return crop


def vary_look(crop: Images, options: Augmentation, generator: np.random.Generator) -> Images:
    """The crop (H, W, 3) with another colour, blur or a hidden patch; geometry stays."""
    return degraded(crop, draw_degradation(crop.shape[:2], options, generator))


def _colour_table(generator: np.random.Generator) -> Images:
    """Gain, offset and gamma as new values (256, 3) of each channel."""
    ramp = np.linspace(0, 1, 256) ** np.exp(generator.uniform(-0.35, 0.35))
    gains = generator.uniform(0.75, 1.3) * generator.uniform(0.85, 1.15, 3)
    tables = ramp[:, None] * gains + generator.uniform(-0.12, 0.12)
    table: Images = (np.clip(tables, 0, 1) * 255).astype(np.uint8)
    return table


def _dark_table(generator: np.random.Generator) -> Images:
    """Poor light, as new values (256, 3) of each channel: shadows without detail, and a cast like that of lamps."""
    ramp = np.linspace(0, 1, 256) ** generator.uniform(1.2, 2.6)
    gains = generator.uniform(0.6, 1.0) * generator.uniform(0.6, 1.1, 3)
    table: Images = (np.clip(ramp[:, None] * gains, 0, 1) * 255).astype(np.uint8)
    return table


def _motion_kernel(reach: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A line through the centre along which a moving camera smears."""
    size = 2 * max(reach, 1) + 1
    kernel = np.zeros((size, size), np.float32)
    angle = generator.uniform(0, np.pi)
    for t in np.linspace(-1, 1, 2 * size):
        x, y = np.round(size // 2 + t * (size // 2) * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        kernel[y, x] = 1
    normalised: NDArray[np.float32] = kernel / kernel.sum()
    return normalised
