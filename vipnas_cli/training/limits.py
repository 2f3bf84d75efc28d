"""What the entries of a recipe can mean: ranges of its numbers, and the kinds of network that they are for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from vipnas_cli.documents import brief
from vipnas_cli.spec import preset
from vipnas_cli.spec.schedule import LONGEST

if TYPE_CHECKING:
    from vipnas_cli.training.recipe import Recipe

Range = tuple[float, float]
MOST = 100_000_000
SHARE: Range = (0, 1)
FROM_0: Range = (0, MOST)
FROM_1: Range = (1, MOST)
SCALE: Range = (0.01, 100)
# What networks halve five times.
SIDE = 32

# The least and the largest value of every number; those of lists have the name of the list.
LIMITS: Mapping[str, Range] = MappingProxyType(
    {
        "batch": FROM_1,
        "height": FROM_0,
        "width": FROM_0,
        "frozen_stages": (0, 6),
        "seed": FROM_0,
        "followers": (1, LONGEST - 1),
        "stills": SHARE,
        "sizes": (SIDE, MOST),
        "fusion_stages": (1, 4),
        "random": FROM_0,
        "distilled": SHARE,
        "fusion.stage": (0, 4),
        "loop.steps": FROM_1,
        "loop.learning_rate": (1e-12, 1000),
        "loop.trunk_factor": (0, 1000),
        "loop.weight_decay": (0, 1000),
        "loop.warmup": FROM_0,
        "loop.final_factor": SHARE,
        "loop.clip_norm": FROM_0,
        "loop.average_decay": SHARE,
        "loop.save_every_s": FROM_0,
        "loop.milestones": FROM_0,
        "loop.milestone_factor": SHARE,
        "data.share": FROM_0,
        "data.every": FROM_1,
        "data.count": FROM_0,
        # Of clips that are all held back none is left to train on.
        "data.held_back": (0, 0.99),
        "augmentation.flip": SHARE,
        "augmentation.scale": SCALE,
        "augmentation.rotation": (0, 180),
        "augmentation.rotation_probability": SHARE,
        "augmentation.shift": (0, 10),
        "augmentation.half_body": SHARE,
        "augmentation.colour": SHARE,
        "augmentation.blur": SHARE,
        "augmentation.occlusion": SHARE,
        "augmentation.coarse": SHARE,
        "augmentation.bystander": SHARE,
        "augmentation.cut_off": SHARE,
        "augmentation.grey": SHARE,
        "augmentation.dark": SHARE,
        "scene.grids": SHARE,
        "scene.crowd": SHARE,
        "scene.most": FROM_1,
        "scene.scale": SCALE,
        "scene.group": SHARE,
        "scene.group_most": (2, MOST),
        "validation.every": FROM_1,
        "validation.people": FROM_1,
        "crops.height": (SIDE, MOST),
        "crops.width": (SIDE, MOST),
        "crops.share": FROM_0,
        "key_errors.drawn": SHARE,
        "key_errors.spoiled": SHARE,
        "key_errors.jitter": (0, 1000),
        "key_errors.width": (0, 10),
        "key_errors.missed": SHARE,
        "key_errors.exchanged": SHARE,
        "key_errors.ghosts": SHARE,
    }
)
_ONE_NETWORK = ("pose", "followers", "detector", "verifier")
_SHARED = ("spatial", "temporal")
_FOLLOWERS = ("followers", "temporal", "cycle")
# The kinds that entries are for, where these are not all.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "preset": _ONE_NETWORK,
        "height": _ONE_NETWORK,
        "width": _ONE_NETWORK,
        "frozen_stages": (*_ONE_NETWORK, "cycle"),
        "crops": ("pose",),
        "distilled": ("pose",),
        "fusion": ("followers",),
        "stills": _FOLLOWERS,
        "through_time": _FOLLOWERS,
        "key_errors": _FOLLOWERS,
        "space": _SHARED,
        "sizes": _SHARED,
        "random": _SHARED,
        "fusion_stages": ("temporal",),
    }
)
# Presets that are for one kind, which has their name.
OWN_PRESETS = ("detector", "verifier")


def check_meaning(recipe: Recipe) -> None:
    """ValueError for entries that no training can mean, in one sentence with the name, the value and what it can be."""
    for name, value in numbers(recipe):
        least, most = LIMITS[re.sub(r"\[\d+\]", "", name)]
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least} to {most}, not {brief(value)}")
    _check_kinds(recipe)
    _check_preset(recipe)
    _check_data(recipe)
    _check_crops(recipe)
    for name, (low, high) in (("augmentation", recipe.augmentation.scale), ("scene", recipe.scene.scale)):
        if low > high:
            raise ValueError(f"{name}.scale must rise, not fall from {low} to {high}")
    if abs(sum(recipe.scene.grids) - 1) > 1e-8:
        raise ValueError(f"scene.grids must sum to 1, not {sum(recipe.scene.grids):g}")


def numbers(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """All numbers within a dataclass with their names, such as `data[0].share`."""
    if is_dataclass(value):
        for field in fields(value):
            yield from numbers(getattr(value, field.name), f"{name}.{field.name}" if name else field.name)
    elif isinstance(value, tuple):
        for index, part in enumerate(value):
            yield from numbers(part, f"{name}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


def _check_kinds(recipe: Recipe) -> None:
    defaults = {field.name: field.default for field in fields(recipe)}
    for name, kinds in KINDS.items():
        if recipe.kind not in kinds and getattr(recipe, name) != defaults[name]:
            raise ValueError(f"the entry {name} is for kind {' or '.join(kinds)}, not {recipe.kind}")
    # Their batch norms have no statistics before a key network's training has shown them crops.
    if recipe.start.startswith("blazepose") and recipe.kind != "pose":
        raise ValueError(f"start {recipe.start!r} is for kind pose, not {recipe.kind}")


def _check_preset(recipe: Recipe) -> None:
    if not recipe.preset:
        return
    stages = len(preset(recipe.preset).stages)
    if recipe.preset in OWN_PRESETS and recipe.preset != recipe.kind:
        raise ValueError(f"preset {recipe.preset!r} is for kind {recipe.preset}, not {recipe.kind}")
    if recipe.frozen_stages > stages:
        raise ValueError(f"frozen_stages must be 0 to {stages} for {recipe.preset}, not {recipe.frozen_stages}")


def _check_data(recipe: Recipe) -> None:
    """ValueError if there is nothing to draw from, as a batch draws its data set by the shares."""
    formats: tuple[str, ...] = ("coco", "clips", "synthetic")
    if recipe.kind in OWN_PRESETS:
        formats = ("coco", "synthetic")
    elif recipe.kind in _FOLLOWERS and recipe.stills < 1:
        formats = ("clips", "synthetic")
    if not any(part.share for part in recipe.data if part.format in formats):
        raise ValueError(f"data of format {' or '.join(formats)} must have a share above 0 for kind {recipe.kind}")
    for index, part in enumerate(recipe.data):
        if part.format == "synthetic" and part.count < 1:
            raise ValueError(f"data[{index}].count must be 1 to {MOST} for synthetic data, not {part.count}")


def _check_crops(recipe: Recipe) -> None:
    if recipe.kind == "detector" and recipe.height != recipe.width:
        size = f"{recipe.height} and {recipe.width}"
        raise ValueError(f"height and width must be the same for kind detector, not {size}")
    for index, crop in enumerate(recipe.crops):
        if crop.height % SIDE or crop.width % SIDE:
            size = f"{crop.height} and {crop.width}"
            raise ValueError(f"crops[{index}]: height and width must be multiples of {SIDE}, not {size}")
    if recipe.crops and not any(crop.share for crop in recipe.crops):
        raise ValueError("crops must have a share above 0")
