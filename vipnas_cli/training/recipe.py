"""Recipes: everything that a training needs besides the data folder, in one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vipnas_cli.data.augment import Augmentation
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.spec import FusionSpec
from vipnas_cli.training.options import LoopOptions

Kind = Literal["pose", "followers", "detector"]


@dataclass(frozen=True)
class DataShare:
    """One data set of the mix: a COCO file, a PoseTrack-style folder of clips, or synthetic people.

    `path` is relative to the data folder; `every` thins out the frames of clips that serve as stills; `count` is the
    number of synthetic pictures or clips.
    """

    format: Literal["coco", "clips", "synthetic"]
    share: float
    path: str = ""
    every: int = 1
    count: int = 0


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, for how long; `stills` is the share of follower clips simulated from stills."""

    name: str
    kind: Kind
    preset: str
    height: int
    width: int
    batch: int
    loop: LoopOptions
    data: tuple[DataShare, ...]
    augmentation: Augmentation = Augmentation()
    imagenet: bool = True
    frozen_stages: int = 0
    seed: int = 0
    fusion: FusionSpec = FusionSpec()
    followers: int = 3
    stills: float = 0.35

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON object for a checkpoint's header."""
        return asdict(self)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("vipnas_cli.training") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


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
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
        raise DataError(f"recipe {name_or_path} cannot be used: {error}", "compare it with a bundled recipe") from error


def _recipe(name: str, data: dict[str, Any]) -> Recipe:
    known = {f.name for f in fields(Recipe)} - {"name"}
    unknown = set(data) - known
    if unknown:
        raise KeyError(f"unknown entries {', '.join(sorted(unknown))}")
    augmentation = dict(data.get("augmentation", {}))
    if "scale" in augmentation:
        augmentation["scale"] = tuple(augmentation["scale"])
    return Recipe(
        **{
            **data,
            "name": name,
            "loop": LoopOptions(**data["loop"]),
            "data": tuple(DataShare(**row) for row in data["data"]),
            "augmentation": Augmentation(**augmentation),
            "fusion": FusionSpec(**data.get("fusion", {})),
        }
    )
