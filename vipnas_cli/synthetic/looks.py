"""How a synthetic person looks: measures, skin, hair and clothes, all drawn at random.

Colours are RGB in 0-1; lengths are parts of the body height.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vipnas_cli.synthetic.skeleton import Proportions, Reals

Colour = tuple[float, float, float]

# From dark to light; people are blends of two neighbours.
_SKINS = (
    (0.25, 0.15, 0.10),
    (0.40, 0.25, 0.17),
    (0.58, 0.39, 0.27),
    (0.76, 0.56, 0.42),
    (0.89, 0.69, 0.56),
    (0.95, 0.79, 0.69),
)
_HAIRS = (
    *((0.05, 0.04, 0.04), (0.09, 0.06, 0.04), (0.20, 0.12, 0.07), (0.33, 0.21, 0.11)),
    *((0.62, 0.46, 0.25), (0.80, 0.68, 0.45), (0.45, 0.17, 0.07), (0.62, 0.61, 0.60)),
)
_NEUTRALS = (
    (0.06, 0.06, 0.07),
    (0.93, 0.93, 0.92),
    (0.45, 0.46, 0.48),
    (0.13, 0.16, 0.26),
    (0.30, 0.30, 0.33),
    (0.72, 0.66, 0.55),
)
_TROUSERS = (
    (0.16, 0.22, 0.36),
    (0.27, 0.35, 0.50),
    (0.08, 0.08, 0.09),
    (0.35, 0.34, 0.34),
    (0.60, 0.53, 0.41),
    (0.29, 0.24, 0.19),
)
PATTERNS = ("plain", "rows", "columns", "checks", "blotches", "band", "halves", "fade")
HAIR_STYLES = ("bald", "buzz", "short", "medium", "long", "ponytail", "bun", "afro", "cap", "hat", "beanie")


@dataclass(frozen=True)
class Cloth:
    """A fabric: two colours and the way they alternate."""

    colour: Colour
    second: Colour
    pattern: str = "plain"
    pitch: float = 0.03

    def paint(self, around: Reals, height: Reals, noise: Reals) -> Reals:
        """Colours (N, 3) at angles `around` in radians (0 is the front) and heights; `noise` (N,) in -1 to 1."""
        first, second = np.array(self.colour), np.array(self.second)
        colours: Reals = first + self._share(around, height, noise)[:, None] * (second - first)
        return colours

    def _share(self, around: Reals, height: Reals, noise: Reals) -> Reals:
        rows: Reals = np.floor(height / self.pitch) % 2
        columns: Reals = np.floor(around / (self.pitch * 12.0)) % 2
        match self.pattern:
            case "rows":
                return rows
            case "columns":
                return columns
            case "checks":
                return 0.5 * (rows + columns)
            case "blotches":
                return (noise > 0.15).astype(np.float64)
            case "band":
                return (np.abs(height - 0.21) < self.pitch).astype(np.float64)
            case "halves":
                return (np.sin(around) > 0).astype(np.float64)
            case "fade":
                return np.clip(height / 0.3 + 0.2, 0.0, 1.0)
            case _:
                return np.zeros_like(height)


@dataclass(frozen=True)
class Look:
    """One person: a body, its colours and its clothes.

    `sleeve`, `leg` and `skirt` say how far down the limb the cloth reaches (0 leaves it bare); `ease` is how far it
    stands off the body, `flare` how much more at the end of a trouser leg; `hem` is the height of the shirt's lower
    edge above the hips, `neckline` the depth of its neck hole, `socks` their height.
    """

    proportions: Proportions
    skin: Colour
    hair: Colour
    style: str
    shirt: Cloth
    trousers: Cloth
    shoes: Colour
    sole: Colour
    headwear: Colour
    sleeve: float
    leg: float
    skirt: float
    ease: float
    flare: float
    hem: float
    neckline: float
    socks: float
    beard: float
    smile: float
    glasses: bool
    curl: float


def random_look(generator: np.random.Generator) -> Look:
    """A person drawn at random."""
    feminine = float(np.clip(generator.normal(0.5, 0.5), 0.0, 1.0))
    proportions = _random_proportions(generator, feminine)
    skin = _blend(_SKINS, float(generator.beta(1.6, 1.1)))
    skirt = float(generator.uniform(0.10, 0.42)) if feminine > 0.55 and generator.random() < 0.35 else 0.0
    leg = float(
        generator.choice(
            [0.0, 0.06, 0.14, 0.21, 0.30, 0.455, 0.465, 0.47], p=[0.05, 0.07, 0.14, 0.16, 0.05, 0.13, 0.2, 0.2]
        )
    )
    sleeve = float(
        generator.choice([0.0, 0.07, 0.11, 0.20, 0.28, 0.315, 0.32], p=[0.14, 0.1, 0.28, 0.06, 0.06, 0.18, 0.18])
    )
    bare = generator.random() < 0.05 and feminine < 0.5
    look = Look(
        proportions,
        skin=_jitter(skin, 0.03, generator),
        hair=_jitter(_HAIRS[generator.integers(len(_HAIRS))], 0.04, generator),
        style=_random_style(generator, feminine),
        shirt=_random_cloth(generator, 0.35),
        trousers=_random_trousers(generator),
        shoes=_random_colour(generator, 0.6),
        sole=_random_colour(generator, 0.9),
        headwear=_random_colour(generator, 0.4),
        sleeve=0.0 if bare else sleeve,
        leg=0.0 if skirt else leg,
        skirt=skirt,
        ease=float(generator.uniform(0.002, 0.012)),
        hem=float(generator.choice([0.06, 0.0, -0.04])) + float(generator.uniform(-0.01, 0.01)),
        flare=float(generator.uniform(0.0, 0.012) if not skirt else generator.uniform(0.0, 0.08)),
        neckline=float(generator.uniform(0.0, 0.05)),
        socks=float(generator.choice([0.0, 0.02, 0.05, 0.16])),
        beard=float(generator.uniform(0.2, 0.9)) if feminine < 0.4 and generator.random() < 0.35 else 0.0,
        smile=float(generator.uniform(-0.3, 1.0)),
        glasses=bool(generator.random() < 0.12),
        curl=float(generator.uniform(0.0, 1.0)),
    )
    return replace(look, shirt=Cloth(look.skin, look.skin)) if bare else look


def _random_proportions(generator: np.random.Generator, feminine: float) -> Proportions:
    def near_one(spread: float) -> float:
        return float(np.clip(generator.normal(1.0, spread), 1.0 - 2.5 * spread, 1.0 + 2.5 * spread))

    child = generator.random() < 0.12
    height = generator.uniform(1.05, 1.45) if child else 1.79 - 0.13 * feminine + generator.normal(0.0, 0.06)
    return Proportions(
        height=float(np.clip(height, 1.0, 2.05)),
        bulk=float(np.clip(np.exp(generator.normal(0.0, 0.13)), 0.8, 1.45)),
        feminine=feminine,
        head=near_one(0.04) * (1.2 if child else 1.0),
        legs=near_one(0.03) * (0.95 if child else 1.0),
        arms=near_one(0.03),
        shoulders=near_one(0.05) * (1.05 - 0.1 * feminine),
        hips=near_one(0.05) * (0.97 + 0.06 * feminine),
    )


def _random_style(generator: np.random.Generator, feminine: float) -> str:
    masculine = np.array([0.09, 0.16, 0.34, 0.12, 0.02, 0.02, 0.02, 0.05, 0.11, 0.03, 0.04])
    womanly = np.array([0.0, 0.02, 0.10, 0.16, 0.30, 0.18, 0.12, 0.04, 0.04, 0.03, 0.01])
    odds = (1.0 - feminine) * masculine + feminine * womanly
    return str(generator.choice(HAIR_STYLES, p=odds / odds.sum()))


def _random_cloth(generator: np.random.Generator, neutral: float) -> Cloth:
    pattern = "plain" if generator.random() < 0.5 else str(generator.choice(PATTERNS[1:]))
    pitch = float(generator.uniform(0.012, 0.05))
    return Cloth(_random_colour(generator, neutral), _random_colour(generator, 0.5), pattern, pitch)


def _random_trousers(generator: np.random.Generator) -> Cloth:
    if generator.random() < 0.35:
        return _random_cloth(generator, 0.6)
    colour = _jitter(_TROUSERS[generator.integers(len(_TROUSERS))], 0.05, generator)
    return Cloth(colour, _jitter(colour, 0.08, generator), "blotches" if generator.random() < 0.4 else "plain")


def _random_colour(generator: np.random.Generator, neutral: float) -> Colour:
    if generator.random() < neutral:
        return _jitter(_NEUTRALS[generator.integers(len(_NEUTRALS))], 0.04, generator)
    hue, saturation, value = generator.uniform(0.0, 6.0), generator.uniform(0.25, 0.95), generator.uniform(0.2, 0.95)
    wheel = np.clip(np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return _colour(value * (1.0 - saturation + saturation * wheel))


def _blend(palette: tuple[Colour, ...], place: float) -> Colour:
    """The colour at `place`, 0-1, along a palette."""
    first = min(int(place * (len(palette) - 1)), len(palette) - 2)
    share = place * (len(palette) - 1) - first
    return _colour((1.0 - share) * np.array(palette[first]) + share * np.array(palette[first + 1]))


def _jitter(colour: Colour, spread: float, generator: np.random.Generator) -> Colour:
    return _colour(
        np.clip(
            np.array(colour) + generator.normal(0.0, spread, 3) * 0.5 + generator.normal(0.0, spread) * 0.5, 0.02, 0.98
        )
    )


def _colour(values: Reals) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
