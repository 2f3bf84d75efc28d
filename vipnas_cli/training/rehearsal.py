"""Short trainings on synthetic people: they show that a recipe runs on a machine, not how well it does."""

from __future__ import annotations

from dataclasses import replace

from vipnas_cli.training.options import LoopOptions
from vipnas_cli.training.recipe import DataShare, Kind, Recipe, ValidationSet

PICTURES = 240
# Pictures of a key network, clips of all others: those take longer, and go through several networks.
SCORED: dict[Kind, int] = {"pose": 40, "followers": 16, "spatial": 16, "temporal": 8, "cycle": 16}
KEY_STEPS = 60
# Steps, batch and crop that end within some three minutes on one core, the pictures included.
SIZES: dict[Kind, tuple[int, int, tuple[int, int]]] = {
    "pose": (300, 16, (96, 64)),
    "followers": (150, 8, (96, 64)),
    "detector": (250, 8, (96, 96)),
    "verifier": (80, 32, (96, 64)),
    "spatial": (80, 4, (96, 64)),
    "temporal": (60, 2, (96, 64)),
    "cycle": (60, 4, (96, 64)),
}


def rehearsal(recipe: Recipe) -> Recipe:
    """The recipe's network from scratch on a few hundred small synthetic pictures, in a few hundred steps at most."""
    steps, batch, (height, width) = SIZES[recipe.kind]
    loop = LoopOptions(steps, recipe.loop.learning_rate, 1.0, warmup=steps // 10, average_decay=0.98)
    scored = (
        ValidationSet("synthetic", max(steps // 4, 1), people=SCORED[recipe.kind]) if recipe.kind in SCORED else None
    )
    return replace(
        recipe,
        batch=batch,
        loop=loop,
        data=(DataShare("synthetic", 1.0, count=PICTURES),),
        height=height if recipe.height else 0,
        width=width if recipe.width else 0,
        start="scratch",
        crops=(),
        frozen_stages=0,
        validation=scored,
    )


def rehearsal_key(recipe: Recipe) -> Recipe:
    """The recipe of a small key network for the rehearsal of followers."""
    loop = LoopOptions(KEY_STEPS, warmup=6, average_decay=0.9)
    data = (DataShare("synthetic", 1.0, count=PICTURES // 4),)
    name, preset = f"{recipe.name}-key", recipe.preset or "fast-base"
    return Recipe(name, "pose", 16, loop, data, preset, 96, 64, start="scratch", seed=recipe.seed)
