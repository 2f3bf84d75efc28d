"""Poses on pictures: limbs coloured by side, each person's id in its own colour, a dark rim against any background."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.media.frames import Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton

Color = tuple[int, int, int]

# Orange and blue stay apart for every kind of colour vision.
SIDE_COLORS: dict[str, Color] = {"left": (255, 140, 30), "right": (60, 165, 255), "middle": (245, 245, 140)}
RIM: Color = (15, 15, 15)
FACE = frozenset({"nose", "left_eye", "right_eye", "left_ear", "right_ear"})
FONT = cv2.FONT_HERSHEY_SIMPLEX
# OpenCV takes positions and radii in 1/16 pixel.
SUBPIXEL_BITS = 4
SUBPIXELS = 1 << SUBPIXEL_BITS
# The colour at the lowest score that is drawn, as a share of the full colour.
FAINTEST = 0.4
# Ids that follow each other get hues this share of the circle apart (the golden angle), so that few look alike.
HUE_STEP = 0.381966
# Captions darken what is behind them to this share.
SHADE = 0.35


def draw_people(image: Image, people: People, skeleton: Skeleton, min_score: float = 0.3) -> Image:
    """Draws into `image` and returns it; keypoints below `min_score` are left out, those little above are faint."""
    looks = _looks(skeleton)
    for points, scores, box in zip(people.points_frame, people.scores, people.boxes_frame, strict=True):
        _draw_pose(image, _subpixels(points, image), _strengths(points, scores, min_score), looks, _width(image, box))
    for person, points, scores in zip(people.ids.tolist(), people.points_frame, people.scores, strict=True):
        shown = points[_strengths(points, scores, min_score) > 0]
        if len(shown):
            _draw_label(image, str(person), id_color(person), shown)
    return image


def draw_caption(image: Image, text: str) -> Image:
    """Draws one small line into the lower left corner of `image` and returns it."""
    scale, thick = _font(image)
    (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
    pad = max(2, height // 2)
    top = max(0, image.shape[0] - height - below - 2 * pad)
    band = image[top:, : width + 2 * pad]
    band[:] = band * SHADE
    cv2.putText(image, text, (pad, image.shape[0] - pad - below), FONT, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return image


def id_color(person: int) -> Color:
    """The bright colour that goes with a person's id."""
    red, green, blue = colorsys.hsv_to_rgb(person * HUE_STEP % 1, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclass(frozen=True)
class _Looks:
    """Limbs as (end, end, colour, fine) and keypoints as (colour, fine); the face is fine, as it is small."""

    limbs: tuple[tuple[int, int, Color, bool], ...]
    joints: tuple[tuple[Color, bool], ...]


@lru_cache
def _looks(skeleton: Skeleton) -> _Looks:
    sides = [name.split("_")[0] if name.startswith(("left_", "right_")) else "middle" for name in skeleton.keypoints]
    fine = [name in FACE for name in skeleton.keypoints]
    limbs = []
    for start, end in skeleton.limbs:
        named = {sides[start], sides[end]} - {"middle"}
        side = named.pop() if len(named) == 1 else "middle"
        limbs.append((start, end, SIDE_COLORS[side], fine[start] and fine[end]))
    return _Looks(tuple(limbs), tuple((SIDE_COLORS[side], small) for side, small in zip(sides, fine, strict=True)))


def _width(image: Image, box: NDArray[np.float32]) -> int:
    """Limb width in pixels: by the picture's size, thinner on small people."""
    person = float(max(box[2] - box[0], box[3] - box[1]))
    width: float = min(min(image.shape[:2]) / 250, person / 60)
    return max(1, round(width))


def _font(image: Image) -> tuple[float, int]:
    scale = max(0.35, min(image.shape[:2]) / 1300)
    return scale, max(1, round(1.6 * scale))


def _subpixels(points: NDArray[np.float32], image: Image) -> list[tuple[int, int]]:
    reach = 4 * max(image.shape)  # far points still give the direction of a limb, but must fit OpenCV's integers
    near = np.clip(np.nan_to_num(points), -reach, reach)
    return [(x, y) for x, y in np.rint(near * SUBPIXELS).astype(int).tolist()]


def _strengths(points: NDArray[np.float32], scores: NDArray[np.float32], min_score: float) -> NDArray[np.float32]:
    """How full the colour of each keypoint is: 0 is not drawn at all."""
    rise = (scores - min_score) / max(1 - min_score, 1e-6)
    shown = (scores >= min_score) & np.isfinite(points).all(axis=1)
    return np.where(shown, FAINTEST + (1 - FAINTEST) * np.clip(2 * rise, 0, 1), 0).astype(np.float32)


def _draw_pose(
    image: Image, points: list[tuple[int, int]], strengths: NDArray[np.float32], looks: _Looks, width: int
) -> None:
    full = strengths.tolist()
    rim = max(1, width // 2)
    limbs = [limb for limb in looks.limbs if full[limb[0]] and full[limb[1]]]
    for start, end, _, fine in limbs:
        _line(image, points[start], points[end], RIM, (max(1, width // 2) if fine else width) + 2 * rim)
    for start, end, color, fine in limbs:
        faded = _faded(color, min(full[start], full[end]))
        _line(image, points[start], points[end], faded, max(1, width // 2) if fine else width)
    for point, strength, (color, fine) in zip(points, full, looks.joints, strict=True):
        if strength:
            radius = (0.7 if fine else 1.1) * width + 0.5
            _dot(image, point, RIM, radius + rim)
            _dot(image, point, _faded(color, strength), radius)


def _faded(color: Color, strength: float) -> Color:
    red, green, blue = color
    return round(red * strength), round(green * strength), round(blue * strength)


def _line(image: Image, start: tuple[int, int], end: tuple[int, int], color: Color, width: int) -> None:
    cv2.line(image, start, end, color, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(image: Image, center: tuple[int, int], color: Color, radius: float) -> None:
    cv2.circle(image, center, round(radius * SUBPIXELS), color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_label(image: Image, text: str, color: Color, points: NDArray[np.float32]) -> None:
    """A small plate above the highest keypoint, kept inside the picture."""
    scale, thick = _font(image)
    (width, height), _ = cv2.getTextSize(text, FONT, scale, thick)
    pad = max(2, height // 3)
    x, y = points[points[:, 1].argmin()]
    plate_width, plate_height = width + 2 * pad, height + 2 * pad
    left = round(min(max(float(x) - plate_width / 2, 0), image.shape[1] - plate_width))
    top = round(min(max(float(y) - plate_height - 3 * pad, 0), image.shape[0] - plate_height))
    corner = (left + plate_width, top + plate_height)
    cv2.rectangle(image, (left - 1, top - 1), (corner[0] + 1, corner[1] + 1), RIM, cv2.FILLED)
    cv2.rectangle(image, (left, top), corner, color, cv2.FILLED)
    cv2.putText(image, text, (left + pad, top + pad + height), FONT, scale, RIM, thick, cv2.LINE_AA)
