"""Poses on pictures: a colour per person, shades of it per side, and a dark rim against any background."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.media.faces import FACE, head_circles
from vipnas_cli.media.frames import Image
from vipnas_cli.pose.people import Floats, People
from vipnas_cli.pose.skeletons import Skeleton

Color = tuple[int, int, int]

# The first people stay apart for every kind of colour vision, too.
FIRST_COLORS: tuple[Color, ...] = (
    *((255, 150, 30), (45, 165, 255), (40, 255, 130), (255, 95, 175), (255, 235, 60), (165, 120, 255)),
    *((60, 240, 255), (255, 90, 70)),
)
# Further ids get hues this share of the circle apart (the golden angle), so that few look alike.
HUE_STEP = 0.381966
# How much white is in the person's colour on each side of the body.
PALENESS = {"left": 0.5, "right": 0.0, "middle": 0.25}
RIM: Color = (15, 15, 15)
FONT = cv2.FONT_HERSHEY_SIMPLEX
# OpenCV takes positions in 1/16 pixel.
SUBPIXEL_BITS = 4
SUBPIXELS = 1 << SUBPIXEL_BITS
# A trail changes its colour and width after so many points.
TRAIL_STEP = 3
# Shares of the full colour, from keypoints that are hardly believed to those that are.
STRENGTHS = (0.4, 0.7, 1.0)


def draw_people(image: Image, people: People, skeleton: Skeleton, min_score: float = 0.3) -> Image:
    """Draws into `image` and returns it; keypoints below `min_score` are left out, those little above are dark.

    Who is larger in the picture is mostly nearer and is drawn later.
    """
    size = np.maximum(*np.moveaxis(people.boxes_frame[:, 2:] - people.boxes_frame[:, :2], 1, 0))
    people = people[np.argsort(size, kind="stable")]
    levels = _levels(people, min_score)
    points, parts = _subpixels(people.points_frame, image), _parts(skeleton)
    for person, pose, level, box in zip(people.ids.tolist(), points, levels, people.boxes_frame, strict=True):
        _draw_pose(image, pose, level, parts, person, _width(image, box))
    _draw_labels(image, people, levels, skeleton)
    return image


@lru_cache(maxsize=4096)
def id_color(person: int) -> Color:
    """The bright colour that goes with a person's id."""
    if 0 <= person < len(FIRST_COLORS):
        return FIRST_COLORS[person]
    red, green, blue = colorsys.hsv_to_rgb(person * HUE_STEP % 1, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


@lru_cache(maxsize=4096)
def shade(person: int, side: str, strength: float = 1.0) -> Color:
    """The colour of a person's limbs on one side: left, right or middle; `strength` is 1 where they are sure."""
    white = 255 * PALENESS[side]
    red, green, blue = (round(strength * (white + (1 - PALENESS[side]) * part)) for part in id_color(person))
    return red, green, blue


@dataclass(frozen=True)
class _Limb:
    """A limb of a skeleton, by its number and the numbers of the keypoints at its ends."""

    number: int
    start: int
    end: int
    side: str


@dataclass(frozen=True)
class _Parts:
    """The limbs of body and face, the ends (L, 2) of all limbs, and each keypoint's side and whether it is fine."""

    body: tuple[_Limb, ...]
    face: tuple[_Limb, ...]
    ends: NDArray[np.intp]
    joints: tuple[tuple[str, bool], ...]


@lru_cache
def _parts(skeleton: Skeleton) -> _Parts:
    sides = [name.split("_")[0] if name.startswith(("left_", "right_")) else "middle" for name in skeleton.keypoints]
    fine = [name in FACE for name in skeleton.keypoints]
    body: list[_Limb] = []
    face: list[_Limb] = []
    for number, (start, end) in enumerate(skeleton.limbs):
        named = {sides[start], sides[end]} - {"middle"}
        limb = _Limb(number, start, end, named.pop() if len(named) == 1 else "middle")
        (face if fine[start] and fine[end] else body).append(limb)
    ends = np.array(skeleton.limbs, np.intp).reshape(-1, 2)
    return _Parts(tuple(body), tuple(face), ends, tuple(zip(sides, fine, strict=True)))


def _width(image: Image, box: Floats) -> int:
    """Limb width in pixels: by the picture's size, thinner on small people."""
    person = float(max(box[2] - box[0], box[3] - box[1]))
    width: float = min(min(image.shape[:2]) / 200, person / 60)
    return max(1, round(width))


def _subpixels(points: Floats, image: Image) -> NDArray[np.int32]:
    reach = 4 * max(image.shape)  # far points still give the direction of a limb, but must fit OpenCV's integers
    near = np.clip(np.nan_to_num(points), -reach, reach)
    return np.rint(near * SUBPIXELS).astype(np.int32)


def _levels(people: People, min_score: float) -> list[list[int]]:
    """For each keypoint (P, K) the number of its strength from 1 on; 0 is not drawn at all."""
    rise = np.clip(2 * (people.scores - min_score) / max(1 - min_score, 1e-6), 0, 1)
    shown = (people.scores >= min_score) & np.isfinite(people.points_frame).all(axis=-1)
    levels: list[list[int]] = np.where(shown, 1 + np.rint(rise * (len(STRENGTHS) - 1)), 0).astype(int).tolist()
    return levels


def _draw_pose(
    image: Image, points: NDArray[np.int32], levels: list[int], parts: _Parts, person: int, width: int
) -> None:
    """First the dark below the limbs, then the limbs, all of a shade at once, then the keypoints; the face is fine."""
    rim = 2 * max(1, width // 2)
    pairs = points[parts.ends]
    body, face = _strokes(pairs, levels, parts.body), _strokes(pairs, levels, parts.face)
    _lines(image, [limb for limbs in body.values() for limb in limbs], RIM, width + rim)
    for strokes, thick in ((face, 1), (body, width)):
        for (side, level), limbs in strokes.items():
            _lines(image, limbs, shade(person, side, STRENGTHS[level - 1]), thick)
    radius = round(SUBPIXELS * (width + rim) / 2)
    for center, level, (side, fine) in zip(points.tolist(), levels, parts.joints, strict=True):
        if level:
            color = shade(person, side, STRENGTHS[level - 1])
            cv2.circle(image, center, radius // 2 if fine else radius, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _strokes(
    pairs: NDArray[np.int32], levels: list[int], limbs: tuple[_Limb, ...]
) -> dict[tuple[str, int], list[NDArray[np.int32]]]:
    """Those of the limbs that are shown, of all limbs as pairs of points (L, 2, 2), by side and level."""
    found: dict[tuple[str, int], list[NDArray[np.int32]]] = {}
    for limb in limbs:
        level = min(levels[limb.start], levels[limb.end])
        if level:
            found.setdefault((limb.side, level), []).append(pairs[limb.number])
    return found


def _lines(image: Image, lines: list[NDArray[np.int32]], color: Color, width: int) -> None:
    cv2.polylines(image, lines, False, color, width, cv2.LINE_AA, SUBPIXEL_BITS)


def draw_trail(image: Image, pieces: list[Floats], person: int) -> None:
    """Draws the pieces (N, 2) of a trail into `image`, oldest first, thin and dark there and bright at its end."""
    total, done, width = sum(map(len, pieces)), 0, _trail_width(image)
    for piece in pieces:
        points = _subpixels(piece, image)
        for start in range(0, len(points) - 1, TRAIL_STEP):
            part = points[start : start + TRAIL_STEP + 1]
            age = (done + start + len(part)) / total
            _lines(image, [part], shade(person, "middle", 0.3 + 0.7 * age), max(1, round(width * age)))
        done += len(points)


def _trail_width(image: Image) -> int:
    width: float = min(image.shape[:2]) / 200
    return max(1, round(width))


def font(image: Image) -> tuple[float, int]:
    """The size and the thickness of letters for a picture."""
    scale = max(0.35, min(image.shape[:2]) / 1200)
    return scale, max(1, round(1.6 * scale))


@lru_cache(maxsize=1024)
def text_size(text: str, scale: float, thick: int) -> tuple[int, int, int]:
    """Width, height above the base line, and what hangs below it, in pixels."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
    return int(width), int(height), int(below)


@dataclass(frozen=True)
class _Plate:
    """A label with its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    def touches(self, other: _Plate) -> bool:
        """Whether two of them share a pixel."""
        across = self.left < other.left + other.width and other.left < self.left + self.width
        return across and self.top < other.top + other.height and other.top < self.top + self.height


def _draw_labels(image: Image, people: People, levels: list[list[int]], skeleton: Skeleton) -> None:
    """Each id on a small plate above or beside its head, off all faces and off other plates where there is room."""
    heads = np.nan_to_num(head_circles(people, skeleton))
    taken = [_Plate(round(x - r), round(y - r), round(2 * r), round(2 * r)) for x, y, r in heads.tolist()]
    for person, head, level in zip(people.ids.tolist(), heads.tolist(), levels, strict=True):
        if any(level):
            text = str(person)
            above, *others = _places(image, text, head)
            plate = next((place for place in (above, *others) if not any(map(place.touches, taken))), above)
            taken.append(plate)
            _draw_plate(image, plate, text, id_color(person))


def _places(image: Image, text: str, head: list[float]) -> Iterator[_Plate]:
    """Where a label may stand: above the head, on its sides, below it; always inside the picture."""
    x, y, radius = head
    scale, thick = font(image)
    wide, high, _ = text_size(text, scale, thick)
    pad = max(2, high // 3)
    width, height = wide + 2 * pad, high + 2 * pad
    gap = 1.15 * radius + pad
    above, beside = (x - width / 2, y - gap - height), y - height / 2
    for left, top in (above, (x + gap, beside), (x - gap - width, beside), (x - width / 2, y + gap)):
        yield _Plate(_kept(left, image.shape[1] - width), _kept(top, image.shape[0] - height), width, height)


def _kept(position: float, last: int) -> int:
    return round(min(max(position, 0), max(last, 0)))


def _draw_plate(image: Image, plate: _Plate, text: str, color: Color) -> None:
    scale, thick = font(image)
    pad = max(2, text_size(text, scale, thick)[1] // 3)
    right, bottom = plate.left + plate.width, plate.top + plate.height
    cv2.rectangle(image, (plate.left - 1, plate.top - 1), (right + 1, bottom + 1), RIM, cv2.FILLED)
    cv2.rectangle(image, (plate.left, plate.top), (right, bottom), color, cv2.FILLED)
    cv2.putText(image, text, (plate.left + pad, bottom - pad), FONT, scale, RIM, thick, cv2.LINE_AA)
