"""Painted floors, walls and views, and random things to stand about in them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.synthetic.scene import Image, Scene, Surface, ball, box, column, random_light
from vipnas_cli.synthetic.skeleton import Reals

Floats = NDArray[np.float32]
PROP_CODE = 255
_OUTDOORS = ("grass", "asphalt", "sand", "court", "snow")
_INDOORS = ("wood", "tiles", "court", "carpet")
_VIEWS = ("trees", "city", "hills", "stand", "mosaic")
_WALLS = ("plaster", "brick", "gym", "studio", "mosaic")
_BASES = {
    **{
        "grass": (0.28, 0.42, 0.16),
        "wood": (0.55, 0.38, 0.22),
        "tiles": (0.62, 0.60, 0.57),
        "asphalt": (0.36, 0.36, 0.38),
    },
    **{
        "sand": (0.76, 0.67, 0.50),
        "court": (0.20, 0.40, 0.55),
        "snow": (0.88, 0.91, 0.95),
        "carpet": (0.42, 0.25, 0.28),
    },
}


def random_scene(generator: np.random.Generator, grain: float) -> Scene:
    """A floor and a wall or view drawn at random, without things; `grain` in pixels per metre."""
    outdoors = generator.random() < 0.55
    walls, odds = (_VIEWS, (0.32, 0.22, 0.2, 0.18, 0.08)) if outdoors else (_WALLS, (0.42, 0.18, 0.18, 0.14, 0.08))
    wall = str(generator.choice(walls, p=odds))
    floor = str(generator.choice(_OUTDOORS if outdoors else _INDOORS))
    distance = float(generator.uniform(6.0, 14.0) if outdoors else generator.uniform(3.0, 9.0))
    # A view is larger than a wall and has no more pixels.
    wall_grain = grain * (0.5 if outdoors else 1.0)
    light = random_light(generator)
    return Scene(
        floor_picture(floor, generator, grain), wall_picture(wall, generator, grain), grain, wall_grain, distance, light
    )


def noise_of(generator: np.random.Generator, height: int, width: int, cells: float, octaves: int = 3) -> Floats:
    """Cloudy noise (H, W) in about -1 to 1 whose largest blobs are `cells` pixels wide."""
    total = np.zeros((1, 1), np.float32)
    for octave in range(octaves):
        size = max(1.0, cells / 2**octave)
        rows, columns = max(2, round(height / size)), max(2, round(width / size))
        fresh = generator.random((rows, columns), np.float32) * 2.0 - 1.0
        total = cv2.resize(total, (columns, rows)) + fresh * 0.6**octave
    return cv2.resize(total, (width, height)).astype(np.float32, copy=False)


def _tinted(base: Reals | tuple[float, float, float], lightness: Reals | Floats) -> Image:
    """A picture (H, W, 3) of one colour, brighter and darker by `lightness` (H, W)."""
    bright = np.maximum(1.0 + lightness, 0.0).astype(np.float32)
    return cv2.merge([cv2.convertScaleAbs(bright, alpha=255.0 * float(channel)) for channel in base]).astype(np.uint8)


def _colour(generator: np.random.Generator) -> Reals:
    """A colour as walls and things have it, seldom a bright one."""
    grey = generator.uniform(0.1, 0.9)
    return np.clip(grey + generator.normal(0.0, 0.05 + 0.25 * generator.random() ** 2, 3), 0.04, 0.96)


def floor_picture(kind: str, generator: np.random.Generator, grain: float) -> Image:
    """A square floor of 12 metres."""
    side = round(12 * grain)
    base = np.clip(np.array(_BASES[kind]) * generator.uniform(0.7, 1.2) + generator.normal(0.0, 0.03, 3), 0.03, 0.97)
    if kind == "court":
        base = 0.7 * generator.permutation(base) + 0.3 * base.mean()
    light = 0.10 * noise_of(generator, side, side, 2.0 * grain) + 0.12 * noise_of(generator, side, side, 4.0, 1)
    x = np.arange(side, dtype=np.float32)[None] / grain
    if kind == "grass" and generator.random() < 0.5:
        light += 0.08 * np.sign(np.sin(2.2 * x))
    elif kind == "wood":
        plank = (x / 0.14).astype(np.int64)
        light += generator.uniform(-0.12, 0.12, plank.max() + 1)[plank] - 0.25 * (x % 0.14 < 0.02)
    elif kind == "tiles":
        size = generator.uniform(0.3, 0.7)
        tile, joint = (x / size).astype(np.int64), x % size < 0.03
        light += generator.uniform(0.0, 0.3) * ((tile + tile.T) % 2) - 0.25 * (joint | joint.T)
    picture = _tinted(base, light)
    if kind in ("court", "asphalt", "grass") and generator.random() < 0.7:
        _draw_lines(picture, generator, grain)
    return picture


def _draw_lines(picture: Image, generator: np.random.Generator, grain: float) -> None:
    """White lines of a pitch or a street."""
    thick = max(1, round(0.06 * grain))
    side = len(picture)
    shade = [int(v) for v in generator.integers(190, 250, 3)]
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(0, side))
        ends = ((at, 0), (at, side)) if generator.random() < 0.5 else ((0, at), (side, at))
        cv2.line(picture, *ends, shade, thick)
    if generator.random() < 0.4:
        cv2.circle(picture, (side // 2, side // 2), round(generator.uniform(1.0, 3.0) * grain), shade, thick)


def wall_picture(kind: str, generator: np.random.Generator, grain: float) -> Image:
    """What stands behind the floor, 16 metres wide and 5 metres high at `grain`; its lowest row meets the floor."""
    height, width = round(5 * grain), round(16 * grain)
    match kind:
        case "plaster" | "gym" | "studio":
            return _indoor_wall(kind, generator, height, width)
        case "brick":
            return _brick_wall(generator, height, width, grain)
        case "trees" | "hills":
            return _landscape(kind, generator, height, width)
        case "city":
            return _city(generator, height, width)
        case "stand":
            return _stand(generator, height, width, grain)
        case _:
            return _mosaic(generator, height, width)


def _indoor_wall(kind: str, generator: np.random.Generator, height: int, width: int) -> Image:
    base = generator.uniform(0.45, 0.9) * np.clip(1.0 + generator.normal(0.0, 0.12, 3), 0.6, 1.2)
    if kind == "studio":
        base = np.clip(generator.uniform(0.1, 0.9) + generator.normal(0.0, 0.12, 3), 0.05, 0.95)
    down = np.linspace(0.1, -0.15, height, dtype=np.float32)[:, None]
    light = 0.05 * noise_of(generator, height, width, height / 2) + down
    light += 0.02 * noise_of(generator, height, width, 3.0, 1)
    if kind == "studio":
        across = np.linspace(-2.0, 2.0, width, dtype=np.float32)[None]
        light += 0.35 * np.exp(-(across**2)) - 0.25
    picture = _tinted(base, light)
    if kind != "studio":
        for _ in range(generator.integers(2, 12)):
            _hang(picture, generator)
        cv2.rectangle(
            picture,
            (0, height - height // 40),
            (width, height),
            [int(v) for v in base * generator.uniform(90, 240)],
            -1,
        )
    if kind == "gym":
        edge = int(generator.uniform(0.45, 0.8) * height)
        picture[edge:] = (picture[edge:] * generator.uniform(0.35, 1.0, 3)).astype(np.uint8)
    return picture


def _hang(picture: Image, generator: np.random.Generator) -> None:
    """A window, a door, a poster or a cupboard on a wall."""
    height, width = picture.shape[:2]
    tall, wide = int(generator.uniform(0.12, 0.5) * height), int(generator.uniform(0.03, 0.12) * width)
    x = int(generator.integers(0, width - wide))
    y = int(generator.integers(height // 5, height - tall)) if generator.random() < 0.6 else height - tall
    frame = [int(v) for v in 255 * _colour(generator)]
    inside = _colour(generator)
    panel = _tinted(inside, 0.35 * noise_of(generator, tall, wide, generator.uniform(4, 60)))
    picture[y : y + tall, x : x + wide] = panel
    cv2.rectangle(picture, (x, y), (x + wide, y + tall), frame, int(generator.integers(1, 5)))
    for _ in range(generator.integers(0, 3)):
        at = x + int(generator.integers(wide))
        cv2.line(picture, (at, y), (at, y + tall), frame, 2)


def _brick_wall(generator: np.random.Generator, height: int, width: int, grain: float) -> Image:
    tall, wide = 0.09 * grain, 0.26 * grain
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    row = (y / tall).astype(np.int64)
    place = x / wide + 0.5 * (row % 2)
    stone = row * 97 + place.astype(np.int64)
    tone = generator.uniform(-0.25, 0.25, stone.max() + 1)[stone] + 0.1 * noise_of(generator, height, width, 3.0, 1)
    joint = (y % tall < 1.2) | ((place % 1.0) * wide < 1.2)
    base = np.array([0.58, 0.32, 0.24]) if generator.random() < 0.6 else np.full(3, generator.uniform(0.4, 0.8))
    return _tinted(base, np.where(joint, 0.35 * np.sign(generator.normal()), tone))


def _sky(generator: np.random.Generator, height: int, width: int) -> Image:
    top = (
        np.array([0.35, 0.55, 0.85]) * generator.uniform(0.7, 1.1)
        if generator.random() < 0.6
        else np.full(3, generator.uniform(0.6, 0.9))
    )
    low = np.clip(top + generator.uniform(0.1, 0.3), 0.0, 1.0)
    down = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    cloud = np.clip(noise_of(generator, height, width, width / 5, 4), 0.0, 0.6) * 127.0
    clear = np.broadcast_to(255.0 * (top + down * (low - top)), (height, width, 3)).astype(np.uint8)
    return cv2.add(clear, cv2.merge([cloud.astype(np.uint8)] * 3)).astype(np.uint8)


def _landscape(kind: str, generator: np.random.Generator, height: int, width: int) -> Image:
    picture = _sky(generator, height, width)
    rows = np.arange(height)[:, None]
    for layer in range(int(generator.integers(2, 4))):
        skyline = height * (0.35 + 0.22 * layer + generator.uniform(-0.12, 0.08))
        ridge = skyline + 0.1 * height * noise_of(generator, 2, width, width / 8, 2 if kind == "hills" else 6)[:1]
        leaf = np.array([0.20, 0.32, 0.12]) * generator.uniform(0.5, 1.4) + generator.normal(0.0, 0.04, 3)
        if kind == "hills":
            leaf = 0.5 * leaf + 0.5 * np.array([0.45, 0.47, 0.45])
        rough = (
            0.55 * noise_of(generator, height, width, 14.0)
            if kind == "trees"
            else 0.12 * noise_of(generator, height, width, 30.0)
        )
        below = np.where(rows > ridge, 255, 0).astype(np.uint8)
        picture = cv2.copyTo(_tinted(np.clip(leaf, 0.03, 1.0), rough), below, picture).astype(np.uint8)
    for _ in range(int(generator.integers(0, 8)) if kind == "trees" else 0):
        x, wide = int(generator.integers(width)), int(generator.integers(2, 9))
        bark = [int(v) for v in generator.uniform(30, 90) * np.array([1.0, 0.85, 0.7])]
        cv2.rectangle(picture, (x, int(generator.uniform(0.2, 0.5) * height)), (x + wide, height), bark, -1)
    return picture


def _city(generator: np.random.Generator, height: int, width: int) -> Image:
    picture = _sky(generator, height, width)
    x = 0
    while x < width:
        wide, tall = int(generator.uniform(0.06, 0.2) * width), int(generator.uniform(0.4, 1.0) * height)
        base = np.clip(generator.uniform(0.3, 0.8) + generator.normal(0.0, 0.06, 3), 0.1, 0.95)
        block = _tinted(base, 0.06 * noise_of(generator, tall, wide, 20.0))
        step_y, step_x = (int(v) for v in generator.integers(9, 30, 2))
        rows, columns = np.arange(tall)[:, None], np.arange(wide)[None]
        window = (rows % step_y > step_y * 0.4) & (columns % step_x > step_x * 0.35) & (rows < tall * 0.85)
        block[window] = (0.8 * _colour(generator) * 255).astype(np.uint8)
        end = min(width, x + wide)
        picture[height - tall :, x:end] = block[:, : end - x]
        x += wide
    return picture


def _stand(generator: np.random.Generator, height: int, width: int, grain: float) -> Image:
    """Blurred rows of seats behind a row of hoardings."""
    rows, columns = height * 2 // 3, width
    dots = generator.integers(20, 235, (max(2, round(rows / 5)), max(2, round(columns / 4)), 3), dtype=np.uint8)
    seats = cv2.addWeighted(
        cv2.resize(dots, (columns, rows), interpolation=cv2.INTER_CUBIC),
        0.45,
        _tinted(generator.uniform(0.2, 0.8, 3), np.zeros((rows, columns))),
        0.55,
        0,
    )
    dim = generator.uniform(0.35, 0.9) * (1.0 - 0.3 * (np.arange(rows) % 9 < 3))
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:rows] = (seats * dim[:, None, None]).astype(np.uint8)
    x = 0
    while x < width:
        wide = int(generator.uniform(1.5, 5.0) * grain)
        board = _tinted(_colour(generator), 0.03 * noise_of(generator, height - rows, wide, 20.0))
        for place in range(wide // 6, wide * 5 // 6, max(4, wide // 9)):
            if generator.random() < 0.75:
                size = (int(generator.integers(2, max(3, wide // 12))), (height - rows) // 4)
                cv2.ellipse(
                    board, (place, (height - rows) // 2), size, 0, 0, 360, [int(v) for v in 255 * _colour(generator)], 3
                )
        end = min(width, x + wide)
        picture[rows:, x:end] = board[:, : end - x]
        x += wide
    return picture


def _mosaic(generator: np.random.Generator, height: int, width: int) -> Image:
    """No place at all: blobs, patches and strokes, to make a network look at bodies only."""
    base = np.stack([noise_of(generator, height, width, generator.uniform(10, 120)) for _ in range(3)], axis=2)
    picture = np.clip(generator.uniform(60, 190, 3) + 60 * base, 0, 255).astype(np.uint8)
    for _ in range(generator.integers(5, 40)):
        colour = [int(v) for v in 255 * _colour(generator)]
        x, y = int(generator.integers(width)), int(generator.integers(height))
        dx, dy = (int(v) for v in generator.integers(-60, 60, 2))
        if generator.random() < 0.5:
            cv2.ellipse(picture, (x, y), (abs(dx) + 2, abs(dy) + 2), int(generator.integers(180)), 0, 360, colour, -1)
        else:
            cv2.line(picture, (x, y), (x + dx, y + dy), colour, int(generator.integers(1, 20)))
    return picture


def surface_of(pieces: list[list[Reals]]) -> Surface:
    """One thing made of boxes, columns and balls."""
    corners = np.concatenate([piece[0] for piece in pieces])
    colours = np.concatenate([piece[1] for piece in pieces])
    count = len(corners)
    faces = np.arange(4 * count).reshape(count, 4)
    return Surface(
        corners.reshape(-1, 3), faces, colours, np.zeros(count), np.full(count, PROP_CODE), np.zeros(count, np.bool_)
    )


def random_prop(generator: np.random.Generator, place: Reals) -> Surface:
    """A pillar, post, bench, crate, hurdle, ball or shrub that stands at `place` (3,)."""
    colour = _colour(generator)
    turn = float(generator.uniform(-0.5, 0.5))
    match str(generator.choice(["pillar", "post", "bench", "crate", "hurdle", "ball", "shrub"])):
        case "pillar":
            tones = np.clip(colour + generator.normal(0.0, 0.02, (12, 3)), 0.0, 1.0)
            return surface_of([column(place, generator.uniform(0.1, 0.25), generator.uniform(2.5, 4.0), tones)])
        case "post":
            stripes = np.where(np.arange(14)[:, None] % 4 < 2, colour, generator.uniform(0.1, 0.95, 3))
            return surface_of([column(place, generator.uniform(0.03, 0.06), generator.uniform(0.8, 3.0), stripes)])
        case "bench":
            return bench(place, turn, colour)
        case "crate":
            size = generator.uniform(0.3, 1.0, 3)
            return surface_of([box(place + np.array([0.0, size[1] / 2, 0.0]), size, turn, colour)])
        case "hurdle":
            width, height = generator.uniform(0.9, 1.3), generator.uniform(0.5, 1.0)
            legs = [
                box(place + np.array([x, height / 2, 0.0]), np.array([0.04, height, 0.04]), 0.0, colour * 0.6)
                for x in (-width / 2, width / 2)
            ]
            return surface_of(
                [*legs, box(place + np.array([0.0, height, 0.0]), np.array([width, 0.08, 0.03]), 0.0, colour)]
            )
        case "ball":
            radius = generator.uniform(0.04, 0.16)
            return surface_of(
                [ball(place + np.array([0.0, radius, 0.0]), radius, generator.uniform(0.1, 0.95, (2, 3)))]
            )
        case _:
            leaf = np.array([0.16, 0.30, 0.10])
            blobs = []
            for _ in range(7):
                shift = generator.uniform((-0.35, 0.1, -0.25), (0.35, 0.6, 0.25))
                blobs.append(
                    ball(place + shift, generator.uniform(0.12, 0.28), leaf * generator.uniform(0.6, 1.5, (2, 1)))
                )
            return surface_of(blobs)


def bench(place: Reals, turn: float, colour: Reals) -> Surface:
    """A bench of planks, 1.5 metres wide."""
    planks = [
        box(place + np.array([0.0, y, z]), np.array([1.5, 0.05, 0.12]), turn, colour)
        for y, z in ((0.45, -0.14), (0.45, 0.0), (0.45, 0.14), (0.72, -0.2), (0.88, -0.22))
    ]
    legs = [
        box(place + np.array([x, 0.22, 0.0]), np.array([0.07, 0.44, 0.36]), turn, np.full(3, 0.2)) for x in (-0.6, 0.6)
    ]
    return surface_of([*planks, *legs])
