"""Pictures for a person detector: several photos in one and people cut out and put before others.

Photos of single people are common, labelled photos of crowds are not; these compositions make up for it.
Shapes: N people, K keypoints, H, W pixels; boxes are xyxy and measured from the picture's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.pose import COCO17

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

_PADDING = (114, 114, 114)
# A person of whom less shows is neither asked for nor an error.
LEAST_SHOWN = 1 / 3
SMALLEST_WIDTH, SMALLEST_HEIGHT = 5, 12
# The share of groups that are out of focus.
OUT_OF_FOCUS = 0.2
_SHOULDERS = [COCO17.index("left_shoulder"), COCO17.index("right_shoulder")]
_HIPS = [COCO17.index("left_hip"), COCO17.index("right_hip")]
_FACE = [COCO17.index(name) for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]


@dataclass(frozen=True)
class Scene:
    """A composed picture (H, W, 3), the boxes (N, 4) of its people and regions (R, 4) that are neither."""

    image: Image
    boxes: Floats
    ignored: Floats


@dataclass(frozen=True)
class SceneOptions:
    """Shares of pictures of one, of 2×2, of 3×3 … photos; how often people are put in, and how many at most.

    `group` is the share of pictures with a group of people who stand close together, of at most `group_most`.
    The scales are relative to a photo that just fits.
    """

    grids: tuple[float, ...] = (0.6, 0.28, 0.12)
    crowd: float = 0.5
    most: int = 4
    scale: tuple[float, float] = (0.7, 1.5)
    group: float = 0.0
    group_most: int = 10


def empty_scene(side: int, generator: np.random.Generator) -> Scene:
    """A square of plain colour: the grey that pads pictures, or any other."""
    colour = _PADDING if generator.random() < 0.5 else tuple(generator.integers(0, 256, 3).tolist())
    nothing = np.zeros((0, 4), np.float32)
    return Scene(np.full((side, side, 3), colour, np.uint8), nothing, nothing)


def windows(side: int, options: SceneOptions, generator: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """The places x0, y0, x1, y1 of the photos of a picture: all of it, or the cells of an uneven grid."""
    count = 1 + int(generator.choice(len(options.grids), p=options.grids))
    edges = np.linspace(0, side, count + 1)[:, None] + np.zeros(2)
    edges[1:-1] += generator.uniform(-0.3, 0.3, (count - 1, 2)) * side / count
    columns, rows = edges.round().astype(int).T.tolist()
    return [(*low, *high) for low, high in _corners(columns, rows)]


def _corners(columns: list[int], rows: list[int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [((x0, y0), (x1, y1)) for y0, y1 in pairwise(rows) for x0, x1 in pairwise(columns)]


def with_photo(
    scene: Scene,
    window: tuple[int, int, int, int],
    photo: tuple[Image, LabelledImage],
    scales: tuple[float, float],
    generator: np.random.Generator,
) -> Scene:
    """The scene with a photo at a random scale, place and mirroring inside the window x0, y0, x1, y1."""
    image, label = photo
    corner, far = np.array(window[:2]), np.array(window[2:])
    height, width = image.shape[:2]
    scale = float(min((far - corner) / (width, height)) * np.exp(generator.uniform(*np.log(scales))))
    stretch = np.exp(generator.uniform(-0.12, 0.12))
    size = np.maximum(np.round(np.array([width * stretch, height / stretch]) * scale), 1).astype(int)
    small = _resized(image, size)
    grid = np.concatenate([label.boxes_frame, label.ignored_frame]) * np.tile(size / (width, height), 2)
    if generator.random() < 0.5:
        small = small[:, ::-1]
        grid[:, [0, 2]] = size[0] - grid[:, [2, 0]]
    room = far - corner - size
    offset = corner + np.floor(generator.uniform(np.minimum(room, 0), np.maximum(room, 0) + 1)).astype(int)
    low, high = np.maximum(offset, corner), np.minimum(offset + size, far)
    canvas = scene.image.copy()
    canvas[low[1] : high[1], low[0] : high[0]] = small[
        low[1] - offset[1] : high[1] - offset[1], low[0] - offset[0] : high[0] - offset[0]
    ]
    moved = (grid + np.tile(offset, 2)).astype(np.float32)
    shown = np.clip(moved, np.tile(low, 2), np.tile(high, 2)).astype(np.float32)
    people = len(label.boxes_frame)
    kept = _share(shown[:people], moved[:people]) > LEAST_SHOWN
    ignored = np.concatenate([scene.ignored, shown[people:], shown[:people][~kept]])
    return Scene(canvas, np.concatenate([scene.boxes, shown[:people][kept]]), ignored)


def with_person(scene: Scene, image: Image, person: LabelledPerson, generator: np.random.Generator) -> Scene:
    """The scene with a person cut out along the joints and put, at a random size, beside or before somebody."""
    return _with_cut_out(scene, (image, person), _spot(scene, generator), generator)


def with_group(scene: Scene, members: Sequence[tuple[Image, LabelledPerson]], generator: np.random.Generator) -> Scene:
    """The scene with people cut out and put close together on common ground, the nearer ones larger and before others.

    Often the picture ends or something lies before them at the height of their legs or waists; some are out of focus.
    """
    side, count = scene.image.shape[0], len(members)
    tall = float(side * np.exp(generator.uniform(np.log(0.12), np.log(0.6))))
    ground = generator.uniform(0.4, 1.25) * side
    near = np.sort(np.exp(generator.uniform(-0.3, 0.3, count)))
    gaps = tall * generator.uniform(0.15, 0.55, count)
    across = generator.permutation(np.cumsum(gaps) - gaps.sum() / 2) + generator.uniform(0.1, 0.9) * side
    if generator.random() < OUT_OF_FOCUS:
        members = [(_blurred(*member, generator.uniform(0.01, 0.04)), member[1]) for member in members]
    for member, depth, x in zip(members, near, across, strict=True):
        own = tall * depth * generator.uniform(0.85, 1.15)
        foot = ground + 0.7 * tall * (depth - 1)
        scene = _with_cut_out(scene, member, (np.array([x, foot - own / 2]), own), generator)
    if generator.random() < 0.3:
        scene = _with_front(scene, members[0][0], ground - tall * generator.uniform(0.1, 0.6), generator)
    return scene


def _blurred(image: Image, person: LabelledPerson, share: float) -> Image:
    """The photo as blurred as a lens makes what is out of focus, by a share of the person's height."""
    shrink = max(share * float(person.box_frame[3] - person.box_frame[1]), 1)
    height, width = image.shape[:2]
    # The blur of a small copy looks the same and takes a fraction of the time.
    few = (max(round(width / shrink), 1), max(round(height / shrink), 1))
    small = cv2.GaussianBlur(cv2.resize(image, few, interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _with_front(scene: Scene, photo: Image, top: float, generator: np.random.Generator) -> Scene:
    """The scene with something without shape, as wide as most of the picture, before all below `top`."""
    side = scene.image.shape[0]
    low = int(np.clip(top, 0, side - 1))
    left, right = np.sort(generator.integers(0, side, 2)) if generator.random() < 0.5 else (0, side - 1)
    mask = np.zeros((side, side), bool)
    mask[low : low + int(side * generator.uniform(0.15, 0.6)), left : right + 1] = True
    # So strongly blurred that nobody can be seen in it.
    look = cv2.resize(cv2.resize(photo, (5, 5), interpolation=cv2.INTER_AREA), (side, side))
    canvas = np.where(mask[..., None], look, scene.image).astype(np.uint8)
    return uncovered(Scene(canvas, scene.boxes, scene.ignored), mask)


def _with_cut_out(
    scene: Scene,
    member: tuple[Image, LabelledPerson],
    spot: tuple[NDArray[np.float64], float],
    generator: np.random.Generator,
) -> Scene:
    """The scene with a person of a photo, around the middle and of the height that `spot` names."""
    (image, person), (middle, tall), side = member, spot, scene.image.shape[0]
    x0, y0, x1, y1 = _window(person, image)
    scale = tall / (y1 - y0)
    size = np.maximum(np.round(np.array([x1 - x0, y1 - y0]) * scale), 2).astype(int)
    cut = _resized(image[y0:y1, x0:x1], size)
    points = (person.points_frame - (x0, y0)) * (size / (x1 - x0, y1 - y0))
    mask = body_mask(points, person.weights > 0, (int(size[1]), int(size[0])))
    if generator.random() < 0.5:
        cut, mask = cut[:, ::-1], mask[:, ::-1]
    offset = np.round(middle - size / 2).astype(int)
    low, high = np.maximum(offset, 0), np.minimum(offset + size, side)
    if (high - low).min() < 2 or mask.max() <= 0.5:
        return scene
    part = (slice(low[1] - offset[1], high[1] - offset[1]), slice(low[0] - offset[0], high[0] - offset[0]))
    place = (slice(low[1], high[1]), slice(low[0], high[0]))
    alpha = np.zeros((side, side), np.float32)
    alpha[place] = mask[part]
    canvas = scene.image.copy()
    canvas[place] = np.round(canvas[place] + (cut[part].astype(np.float32) - canvas[place]) * alpha[place][..., None])
    whole = (_extent(mask > 0.5) + np.tile(offset, 2)).astype(np.float32)[None]
    shown = np.clip(whole, 0, side)
    covered = uncovered(Scene(canvas, scene.boxes, scene.ignored), alpha > 0.5)
    if _share(shown, whole)[0] > LEAST_SHOWN:
        return Scene(canvas, np.concatenate([covered.boxes, shown]), covered.ignored)
    return Scene(canvas, covered.boxes, np.concatenate([covered.ignored, shown]))


def uncovered(scene: Scene, cover: NDArray[np.bool_]) -> Scene:
    """The scene with its boxes shrunk to what `cover` (H, W) leaves of them; mostly hidden people are ignored."""
    kept, hidden = [], []
    for box in scene.boxes:
        x0, y0, x1, y1 = (int(v) for v in (*np.floor(box[:2]), *np.ceil(box[2:])))
        inside = cover[y0:y1, x0:x1]
        if not inside.size or not inside.any():
            kept.append(box)
            continue
        # People fill about half of their boxes, so a line that is covered to two thirds shows nothing of them.
        free_x, free_y = (np.flatnonzero(inside.mean(axis) < 0.67) for axis in (0, 1))
        if inside.mean() > 0.5 or not len(free_x) or not len(free_y):
            hidden.append(box)
            continue
        low, high = np.array([x0 + free_x[0], y0 + free_y[0]]), np.array([x0 + free_x[-1], y0 + free_y[-1]]) + 1
        kept.append(np.concatenate([np.maximum(box[:2], low), np.minimum(box[2:], high)]))
    boxes = np.asarray(kept, np.float32).reshape(-1, 4)
    return Scene(scene.image, boxes, np.concatenate([scene.ignored, np.asarray(hidden, np.float32).reshape(-1, 4)]))


def body_mask(points: NDArray[np.floating], seen: NDArray[np.bool_], size: tuple[int, int]) -> Floats:
    """A soft mask (H, W) in 0–1 around the body: thick limbs, a trunk and a head; `size` is height, width."""
    mask = np.zeros(size, np.uint8)
    torso = max(
        float(np.linalg.norm(points[_SHOULDERS].mean(0) - points[_HIPS].mean(0))),
        float(np.linalg.norm(points[_SHOULDERS[0]] - points[_SHOULDERS[1]])),
    )
    pixels = np.round(points).astype(int)
    thick = max(round(0.3 * torso), 2)
    for a, b in COCO17.limbs:
        if seen[a] and seen[b]:
            cv2.line(mask, pixels[a].tolist(), pixels[b].tolist(), 255, thick)
    cv2.fillConvexPoly(mask, cv2.convexHull(pixels[[*_SHOULDERS, *_HIPS]].astype(np.int32)), 255)
    face = [joint for joint in _FACE if seen[joint]]
    neck, hip = points[_SHOULDERS].mean(0), points[_HIPS].mean(0)
    head = points[face].mean(0) if face else neck + 0.5 * (neck - hip)
    # The skull reaches further up than the face, away from the hips.
    crown = head + 0.12 * (neck - hip)
    cv2.circle(mask, np.round(crown).astype(int).tolist(), max(round(0.36 * torso), 2), 255, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.04 * torso, 0.6))
    return (np.asarray(soft) / 255).astype(np.float32)


def can_be_cut_out(person: LabelledPerson) -> bool:
    """Whether enough joints are known to draw the person's outline."""
    tall = person.box_frame[3] - person.box_frame[1]
    return bool((person.weights[_SHOULDERS + _HIPS] > 0).all() and (person.weights > 0).sum() >= 9 and tall > 60)


def _spot(scene: Scene, generator: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """The middle and the height of a new person: beside or before somebody, or anywhere."""
    side = scene.image.shape[0]
    if not len(scene.boxes) or generator.random() < 0.3:
        return generator.uniform(0, side, 2), float(np.exp(generator.uniform(np.log(20), np.log(0.8 * side))))
    box = scene.boxes[int(generator.integers(len(scene.boxes)))].astype(np.float64)
    size = box[2:] - box[:2]
    tall = float(np.clip(size[1] * np.exp(generator.uniform(-0.4, 0.4)), 16, side))
    reach = np.array([0.3 + 0.7 * generator.random(), 0.25 * generator.random()]) * generator.choice([-1, 1], 2)
    return (box[:2] + box[2:]) / 2 + reach * size, tall


def _window(person: LabelledPerson, image: Image) -> tuple[int, int, int, int]:
    low, high = person.box_frame[:2], person.box_frame[2:]
    grow = 0.06 * (high - low)
    x0, y0 = np.maximum(np.floor(low - grow), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + grow), image.shape[1::-1]).astype(int)
    return int(x0), int(y0), max(int(x1), int(x0) + 2), max(int(y1), int(y0) + 2)


def _resized(image: Image, size: NDArray[np.integer]) -> Image:
    way = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (int(size[0]), int(size[1])), interpolation=way), np.uint8)


def _extent(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The box (4,) around the set pixels of a mask."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def _share(shown: Floats, whole: Floats) -> Floats:
    """What share (N,) of each box shows; 0 for boxes that are too small to see."""
    size = shown[:, 2:] - shown[:, :2]
    areas = np.maximum((whole[:, 2:] - whole[:, :2]).prod(1), 1e-6)
    large = (size[:, 0] >= SMALLEST_WIDTH) & (size[:, 1] >= SMALLEST_HEIGHT)
    return np.where(large, size.prod(1) / areas, 0).astype(np.float32)
