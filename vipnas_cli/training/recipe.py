"""Recipes: everything that a training needs besides the data folder, in one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vipnas_cli.data.augment import Augmentation
from vipnas_cli.data.crowds import SceneOptions
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.spec import FusionSpec
from vipnas_cli.training.options import LoopOptions

Kind = Literal["pose", "followers", "detector", "verifier", "spatial", "temporal", "cycle"]


@dataclass(frozen=True)
class DataShare:
    """One data set of the mix: a COCO file, a PoseTrack-style folder of clips, or synthetic people.

    `path` is relative to the data folder; `every` thins out the frames of clips that serve as stills; `count` is the
    number of synthetic pictures or clips; `held_back` is the share of clips that searches score on, never trained on.
    `complete` says that everybody has a label, so that what else a detector finds is wrong.
    Images are decoded once into a cache unless `cached` is off, which suits sets too large for the disk.
    """

    format: Literal["coco", "clips", "synthetic"]
    share: float
    path: str = ""
    every: int = 1
    count: int = 0
    held_back: float = 0.0
    cached: bool = True
    complete: bool = True


@dataclass(frozen=True)
class ValidationSet:
    """What a training is scored on every `every` steps; the weights of the best score are kept if `keep_best`.

    For key networks at most `people` of a COCO file, spread evenly over it; for super-networks and followers so many
    `clips` of the folder `path`, chosen as searches choose them; or as many synthetic ones.
    """

    format: Literal["coco", "clips", "synthetic"]
    every: int
    path: str = ""
    people: int = 300
    keep_best: bool = False


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, for how long; `stills` is the share of follower clips simulated from stills, and
    `through_time` lets gradients pass through the heatmaps from follower to follower.

    Super-networks name their `space` in place of a preset, those of its input `sizes` (height, width) that are trained
    (none named: all), the `fusion_stages` where followers fuse, and how many `random` networks each step trains
    besides the largest and the smallest.
    """

    name: str
    kind: Kind
    batch: int
    loop: LoopOptions
    data: tuple[DataShare, ...]
    preset: str = ""
    height: int = 0
    width: int = 0
    augmentation: Augmentation = Augmentation()
    scene: SceneOptions = SceneOptions()
    imagenet: bool = True
    frozen_stages: int = 0
    seed: int = 0
    fusion: FusionSpec = FusionSpec()
    followers: int = 3
    stills: float = 0.35
    through_time: bool = False
    space: str = ""
    sizes: tuple[tuple[int, int], ...] = ()
    fusion_stages: tuple[int, ...] = (1, 2, 3, 4)
    random: int = 1
    validation: ValidationSet | None = None

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON object for a checkpoint's header."""
        return asdict(self)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("vipnas_cli.training") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def recipe_purpose(name: str) -> str:
    """What a bundled recipe is for: the first lines of comment in its file."""
    text = (resources.files("vipnas_cli.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return " ".join(line.strip("# ") for line in takewhile(lambda line: line.startswith("# "), text.splitlines()))


def read_recipe(name_or_path: str) -> Recipe:
    """A bundled recipe by name or one from a file; UsageError for unknown names, DataError for wrong content."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"{path} does not exist", "check the path of the recipe")
        text = path.read_text(encoding="utf-8")
    elif name_or_path in recipe_names():
        text = (resources.files("vipnas_cli.training") / "recipes" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        raise UsageError(
            f"there is no recipe {name_or_path!r}", f"known are {', '.join(recipe_names())}, or name a .toml"
        )
    try:
        return _recipe(path.stem, tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError, KeyError, ValueError) as error:
        raise DataError(f"recipe {name_or_path} cannot be used: {error}", "compare it with a bundled recipe") from error


def _recipe(name: str, data: dict[str, Any]) -> Recipe:
    known = {f.name for f in fields(Recipe)} - {"name"}
    unknown = set(data) - known
    if unknown:
        raise KeyError(f"unknown entries {', '.join(sorted(unknown))}")
    validation = data.get("validation")
    recipe = Recipe(
        **{
            **data,
            "name": name,
            "loop": LoopOptions(**_with_tuples(data["loop"])),
            "data": tuple(DataShare(**row) for row in data["data"]),
            "augmentation": Augmentation(**_with_tuples(data.get("augmentation", {}))),
            "scene": SceneOptions(**_with_tuples(data.get("scene", {}))),
            "fusion": FusionSpec(**data.get("fusion", {})),
            "sizes": tuple(tuple(size) for size in data.get("sizes", ())),
            "fusion_stages": tuple(data.get("fusion_stages", Recipe.fusion_stages)),
            "validation": validation and ValidationSet(**validation),
        }
    )
    _check_validation(recipe)
    for entry in (recipe, recipe.loop, recipe.validation, *recipe.data):
        _check_choices(entry)
    return recipe


def _check_validation(recipe: Recipe) -> None:
    """ValueError if the recipe's kind of network is not scored on what its validation names."""
    formats = {"pose": ("coco", "synthetic"), "detector": (), "verifier": ()}.get(recipe.kind, ("clips", "synthetic"))
    if recipe.validation is not None and recipe.validation.format not in formats:
        raise ValueError(f"validation of kind {recipe.kind} has format {recipe.validation.format!r}, not of {formats}")


def _with_tuples(table: dict[str, Any]) -> dict[str, Any]:
    """A TOML table whose lists are tuples, as frozen values have them."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _check_choices(entry: object) -> None:
    """ValueError naming a field whose value is not among those that its type lists."""
    for name, hint in get_type_hints(type(entry)).items() if entry is not None else ():
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        if choices and getattr(entry, name) not in choices:
            raise ValueError(f"{name} is {getattr(entry, name)!r}, expected one of {', '.join(map(str, choices))}")
