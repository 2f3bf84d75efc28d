"""Crops of people whom others stand before or beside, and of people who leave the picture.

Photos of one person in full are common in training data, crowds and cut-off people are not; these changes make up for
it. Shapes: K keypoints, H, W pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.crowds import body_mask, can_be_cut_out
from vipnas_cli.data.people_labels import WEIGHT_OF_VISIBILITY, LabelledPerson
from vipnas_cli.pose import CropTransform

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
# Sides where people leave pictures, and how often.
SIDES, SIDE_SHARES = ("bottom", "left", "right", "top"), (0.55, 0.2, 0.2, 0.05)
LEAST_LEFT, MOST_LEFT = 0.35, 0.8
FEWEST_LEFT = 4
# Of somebody who is hidden further nobody can say where the rest is.
MOST_HIDDEN = 0.6
BEFORE = 0.65


def cut_off(
    image: Image, person: LabelledPerson, generator: np.random.Generator
) -> tuple[Image, LabelledPerson, NDArray[np.int64]]:
    """The picture ending somewhere within the person, the person as then labelled, and the corner (2,) that it has in
    the old picture; all unchanged where too few joints would be left."""
    side = str(generator.choice(SIDES, p=SIDE_SHARES))
    left = generator.uniform(LEAST_LEFT, MOST_LEFT)
    axis, from_low = (1 if side in ("bottom", "top") else 0), side in ("left", "top")
    low, high = float(person.box_frame[axis]), float(person.box_frame[axis + 2])
    edge = round(high - left * (high - low)) if from_low else round(low + left * (high - low))
    points = person.points_frame[:, axis]
    weights = person.weights * (points >= edge if from_low else points < edge)
    length = image.shape[1 - axis]
    if (weights > 0).sum() < FEWEST_LEFT or not 0 < edge < length:
        return image, person, np.zeros(2, np.int64)
    kept = slice(edge, None) if from_low else slice(0, edge)
    corner = np.zeros(2, np.int64)
    corner[axis] = edge if from_low else 0
    box = person.box_frame.copy()
    box[axis if from_low else axis + 2] = edge
    moved = replace(
        person,
        box_frame=(box - np.tile(corner, 2)).astype(np.float32),
        points_frame=(person.points_frame - corner).astype(np.float32),
        weights=weights.astype(np.float32),
    )
    return (image[kept] if axis == 1 else image[:, kept]), moved, corner


def with_bystander(
    crop: Image,
    labels: tuple[Floats, Floats],
    other: tuple[Image, LabelledPerson],
    generator: np.random.Generator,
) -> tuple[Image, Floats]:
    """The crop (H, W, 3) with another person beside or before its own, and the weights (K,) that joints then have.

    `labels` are points_crop (K, 2) and weights (K,) of the crop's person, whose joints behind the other one count as
    hidden; `other` is a picture and somebody in it who can be cut out.
    """
    points, weights = labels
    height, width = crop.shape[:2]
    there, mask = _beside(other, (height, width), generator)
    if generator.random() > BEFORE and can_be_cut_out(_as_person(points, weights, crop)):
        mask = mask * (1 - body_mask(points, weights > 0, (height, width)))
    columns, rows = np.clip(np.round(points), 0, (width - 1, height - 1)).astype(int).T
    hidden = mask[rows, columns] > 0.5
    if weights[hidden].sum() > MOST_HIDDEN * weights.sum():
        return crop, weights
    alpha = mask[..., None]
    mixed = np.round(crop + (there.astype(np.float32) - crop) * alpha).astype(np.uint8)
    return mixed, np.where(hidden, np.minimum(weights, WEIGHT_OF_VISIBILITY[1]), weights).astype(np.float32)


def _beside(
    other: tuple[Image, LabelledPerson], size: tuple[int, int], generator: np.random.Generator
) -> tuple[Image, Floats]:
    """Somebody in a crop of their own, away from its middle, and a soft mask of where they are."""
    image, person = other
    extent = person.box_frame[2:] - person.box_frame[:2]
    away = np.array([generator.uniform(0.3, 0.9), generator.uniform(0, 0.25)]) * generator.choice([-1, 1], 2)
    padding = 1.25 * float(np.exp(generator.uniform(-0.35, 0.35)))
    flip = bool(generator.random() < 0.5)
    # Moved against the person, the crop shows the person moved.
    box = person.box_frame - np.tile(away * np.maximum(extent, 0.4 * extent.max()), 2).astype(np.float32)
    transform = CropTransform.from_box(box, *size, padding, float(generator.normal(0, 0.12)), flip)
    mask = body_mask(transform.to_crop(person.points_frame), person.weights > 0, size)
    return transform.warp(image), mask * _shown(image, transform)


def _shown(image: Image, transform: CropTransform) -> NDArray[np.uint8]:
    """1 where a crop (H, W) shows the picture, 0 beyond the picture's border."""
    right, bottom = image.shape[1] - 1, image.shape[0] - 1
    corners = transform.to_crop(np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float32))
    shown = np.zeros((transform.height, transform.width), np.uint8)
    return np.asarray(cv2.fillConvexPoly(shown, np.round(corners).astype(np.int32), 1), np.uint8)


def _as_person(points: Floats, weights: Floats, crop: Image) -> LabelledPerson:
    box = np.array([0, 0, crop.shape[1], crop.shape[0]], np.float32)
    return LabelledPerson(Path(), box, points, weights)
