"""Recipes: everything that a training needs besides the data folder, in one TOML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from vipnas_cli.data.augment import Augmentation
from vipnas_cli.data.crowds import SceneOptions
from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.files import shown
from vipnas_cli.spec import FusionSpec
from vipnas_cli.training.limits import check_meaning
from vipnas_cli.training.options import KeyErrors, LoopOptions

Start = Literal["imagenet", "blazepose-lite", "blazepose", "blazepose-heavy", "scratch"]
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
class CropShare:
    """Crops of `height` × `width` pixels for this share of the steps."""

    height: int
    width: int
    share: float


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

    Key networks are trained on `crops` of several sizes one after the other, by their shares of the steps, or on those
    of the network's own size if none are named; of their loss the share `distilled` is the distance from the heatmaps
    of teachers, where a training has any. Followers see `key_errors` in the heatmaps of key frames.
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
    start: Start = "imagenet"
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
    crops: tuple[CropShare, ...] = ()
    key_errors: KeyErrors = KeyErrors()
    distilled: float = 0.5

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON object for a checkpoint's header."""
        return asdict(self)


RECIPES = DocumentKind("a recipe", DataError, "compare it with a bundled recipe", 1_000_000)
TABLES: dict[str, type] = {
    "loop": LoopOptions,
    "data": DataShare,
    "augmentation": Augmentation,
    "scene": SceneOptions,
    "fusion": FusionSpec,
    "validation": ValidationSet,
    "crops": CropShare,
    "key_errors": KeyErrors,
}


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
        if not path.exists():
            raise UsageError(f"{shown(path)} does not exist", "check the path of the recipe")
        text = RECIPES.read_text(path)
    elif name_or_path in recipe_names():
        text = (resources.files("vipnas_cli.training") / "recipes" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        known = f"known are {', '.join(recipe_names())}, or name a .toml"
        raise UsageError(f"there is no recipe {shown(name_or_path)!r}", known)
    data = RECIPES.parse_toml(text, path)
    with RECIPES.told(path):
        _check_names(data, Recipe, "")
        recipe = RECIPES.convert({**data, "name": path.stem}, path, Recipe)
        _check_validation(recipe)
        check_meaning(recipe)
    return recipe


def _check_names(table: dict[str, Any], kind: type, place: str) -> None:
    """ValueError for an entry that no field takes up, in a table or those below it."""
    known = {field.name for field in fields(kind)} - {"name"}
    unknown = set(table) - known
    if unknown:
        raise ValueError(f"unknown entries {', '.join(f'{place}{name}' for name in sorted(unknown))}")
    for name, below in TABLES.items() if kind is Recipe else ():
        value = table.get(name, [])
        for row in value if isinstance(value, list) else [value]:
            if isinstance(row, dict):
                _check_names(row, below, f"{name}.")


def _check_validation(recipe: Recipe) -> None:
    """ValueError if the recipe's kind of network is not scored on what its validation names."""
    formats = {"pose": ("coco", "synthetic"), "detector": (), "verifier": ()}.get(recipe.kind, ("clips", "synthetic"))
    if recipe.validation is not None and recipe.validation.format not in formats:
        raise ValueError(f"validation of kind {recipe.kind} has format {recipe.validation.format!r}, not of {formats}")
