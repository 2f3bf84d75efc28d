"""What people look like: the mean colours of head, shirt, sleeves, trousers and shins, read along the keypoints.

Shapes: P, N, M people, K keypoints, S places on the body where a colour is read, R body parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.pose import People, Skeleton
from vipnas_cli.tracking.similarity import Floats, finite, keypoint_weights, pose_agreement

PARTS = ("head", "chest", "belly", "upper arms", "forearms", "thighs", "shins")
# Lightness changes with shadows and the way a person turns, so it counts for less than hue.
_LIGHTNESS = 0.5
# How far in CIE Lab the colour of a part strays while a person moves: one standard deviation.
_SPREAD = 9.0
# Linear sRGB to CIE XYZ; white is (1, 1, 1), so each row's sum is the white's own X, Y or Z.
_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
# A part is known when the keypoints beside its places are this sure in the mean.
_LEAST_WEIGHT = 0.25


def look_of(image: NDArray[np.uint8], people: People, skeleton: Skeleton) -> Floats:
    """The look (P, R, 3) of everyone in an RGB frame (H, W, 3): each part's mean CIE Lab colour, lightness halved.

    Parts that are outside the picture, whose keypoints are not sure, or that the skeleton does not have are NaN.
    """
    mixes, parts = _places(skeleton)
    looks = np.full((len(people), len(PARTS), 3), np.nan)
    if not len(people) or not len(parts):
        return looks
    points = mixes @ finite(people.points_frame)
    sure = keypoint_weights(people.points_frame, people.scores)
    weights = np.where(mixes > 0, sure[:, None], 1.0).min(-1)
    places = np.rint(points).astype(np.int64)
    size = np.array([image.shape[1], image.shape[0]])
    weights = weights * ((places >= 0) & (places < size)).all(-1)
    places = np.clip(places, 0, size - 1)
    colours = lab_of(image[places[..., 1], places[..., 0]]) * (_LIGHTNESS, 1.0, 1.0)
    for part in range(len(PARTS)):
        own = parts == part
        total = weights[:, own].sum(1)
        known = total > _LEAST_WEIGHT * max(int(own.sum()), 1)
        mean = (weights[:, own, None] * colours[:, own]).sum(1) / np.maximum(total, 1e-9)[:, None]
        looks[known, part] = mean[known]
    return looks


def lab_of(pixels: NDArray[np.uint8]) -> Floats:
    """CIE L*a*b* (…, 3) of sRGB pixels (…, 3) under the white of D65 (CIE 15, IEC 61966-2-1).

    OpenCV has this too, but builds tables for 0.1 s at its first call, which is a lot for fifty pixels a frame.
    """
    rgb = pixels / 255.0
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    ratios = linear @ _RGB_TO_XYZ.T / _RGB_TO_XYZ.sum(1)
    x, y, z = np.moveaxis(np.where(ratios > 216 / 24389, np.cbrt(ratios), ratios * 841 / 108 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def look_agreement(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """How alike (N, M), from 0 to 1, looks (N, R, 3) and (M, R, 3) are, and the share (N, M) of parts they compare."""
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    known = np.isfinite(distances)
    agreement = pose_agreement(np.where(known, distances, 0.0), known.astype(np.float64), np.full(1, _SPREAD))
    return agreement, known.mean(-1)


def blended_look(old: Floats, new: Floats, share: Floats) -> Floats:
    """Looks (P, R, 3) that have moved from `old` towards `new` by `share` (P,); what only one knows is taken as is."""
    mixed = old + share[:, None, None] * (new - old)
    return np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(old), old, new))


@lru_cache(maxsize=4)
def _places(skeleton: Skeleton) -> tuple[Floats, NDArray[np.int64]]:
    """Places on the body as mixtures (S, K) of keypoints, and the part (S,) that each belongs to."""
    rows, parts = [], []
    for part, mixture in _mixtures():
        if all(name in skeleton.keypoints for name in mixture):
            row = np.zeros(len(skeleton.keypoints))
            for name, share in mixture.items():
                row[skeleton.index(name)] += share
            rows.append(row)
            parts.append(PARTS.index(part))
    return np.array(rows).reshape(-1, len(skeleton.keypoints)), np.array(parts, np.int64)


def _mixtures() -> Iterator[tuple[str, dict[str, float]]]:
    """Each place on the body: its part, and the shares of the keypoints around it."""
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        yield "head", {name: 1.0}
    for down in (0.15, 0.35, 0.6, 0.8):
        for across in (0.25, 0.5, 0.75):
            yield (
                "chest" if down < 0.5 else "belly",
                {
                    "left_shoulder": (1 - down) * (1 - across),
                    "right_shoulder": (1 - down) * across,
                    "left_hip": down * (1 - across),
                    "right_hip": down * across,
                },
            )
    limbs = {
        "upper arms": ("shoulder", "elbow"),
        "forearms": ("elbow", "wrist"),
        "thighs": ("hip", "knee"),
        "shins": ("knee", "ankle"),
    }
    for part, (upper, lower) in limbs.items():
        for side in ("left", "right"):
            for along in (0.3, 0.5, 0.7):
                yield part, {f"{side}_{upper}": 1 - along, f"{side}_{lower}": along}
