"""Recipes: what no training can mean is told in one sentence, whatever the entry."""

import math
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from vipnas_cli.errors import DataError
from vipnas_cli.training.limits import KINDS, LIMITS, numbers
from vipnas_cli.training.options import LoopOptions
from vipnas_cli.training.recipe import CropShare, DataShare, Recipe, ValidationSet, read_recipe, recipe_names

HEAD = 'kind = "pose"\npreset = "fast-base"\nheight = 64\nwidth = 64\nbatch = 4\n'
LOOP = "[loop]\nsteps = 4\n"
DATA = '[[data]]\nformat = "synthetic"\ncount = 3\nshare = 1.0\n'
COCO = '[[data]]\nformat = "coco"\npath = "a.json"\n'
CROPS = "[[crops]]\nheight = 64\nwidth = 64\n"


def read(folder: Path, text: str) -> Recipe:
    (folder / "a.toml").write_text(text, encoding="utf-8")
    return read_recipe(str(folder / "a.toml"))


@pytest.mark.parametrize(
    "entry",
    [
        "learning_rate = -1e-3",
        "learning_rate = 0.0",
        "learning_rate = nan",
        "final_factor = -1.0",
        "weight_decay = -1.0",
        "clip_norm = -1.0",
        "clip_norm = inf",
        "warmup = -2",
        "average_decay = 1.5",
    ],
)
def test_a_loop_that_nothing_learns_by(entry: str, tmp_path: Path) -> None:
    name, value = entry.split(" = ")
    shown = re.escape(str(int(value) if name == "warmup" else float(value)))
    with pytest.raises(DataError, match=rf"loop\.{name} must be \S+ to \d+, not {shown}"):
        read(tmp_path, HEAD + LOOP + entry + "\n" + DATA)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + "seed = -1\n" + LOOP + DATA, "seed must be 0 to 100000000, not -1"),
        (HEAD + "frozen_stages = -2\n" + LOOP + DATA, "frozen_stages must be 0 to 6, not -2"),
        (HEAD + "frozen_stages = 60\n" + LOOP + DATA, "frozen_stages must be 0 to 6, not 60"),
        (
            HEAD.replace("fast-base", "s-vipnet-res50") + "frozen_stages = 5\n" + LOOP + DATA,
            "0 to 4 for s-vipnet-res50",
        ),
        (HEAD.replace("fast-base", "detector") + LOOP + DATA, "preset 'detector' is for kind detector, not pose"),
        (HEAD.replace("fast-base", "slow") + LOOP + DATA, "unknown preset 'slow'"),
        (
            HEAD.replace('"pose"', '"followers"') + 'start = "blazepose"\n' + LOOP + DATA,
            "start 'blazepose' is for kind pose, not followers",
        ),
        (HEAD + 'space = "pyramid"\n' + LOOP + DATA, "space is for kind spatial or temporal, not pose"),
        (HEAD + 'fusion = { operation = "cat", stage = 1 }\n' + LOOP + DATA, "fusion is for kind followers, not pose"),
        (HEAD + LOOP + DATA + '[validation]\nformat = "coco"\nevery = 0\n', r"validation\.every must be 1 to"),
        (HEAD + LOOP + DATA + '[validation]\nformat = "coco"\nevery = -3\n', r"validation\.every must be 1 to"),
        (
            HEAD + LOOP + DATA + '[validation]\nformat = "coco"\nevery = 1\npeople = 0\n',
            r"validation\.people must be 1",
        ),
        (
            HEAD + LOOP + DATA + '[validation]\nformat = "coco"\nevery = 1\npeople = -5\n',
            r"validation\.people must be 1",
        ),
        (HEAD + LOOP + COCO + "share = 0.0\n", "data of format .* must have a share above 0"),
        (HEAD + LOOP + COCO + "share = -1.0\n" + COCO + "share = 2.0\n", r"data\[0\]\.share must be 0 to .* not -1\.0"),
        (HEAD + LOOP + DATA.replace("3", "0"), r"data\[0\]\.count must be 1 to 100000000 for synthetic data, not 0"),
        (HEAD + LOOP + DATA.replace("3", "-5"), r"data\[0\]\.count must be .* not -5"),
        (HEAD + LOOP + '[[data]]\nformat = "clips"\nshare = 1.0\nevery = 0\n', r"data\[0\]\.every must be 1 to"),
        (HEAD + LOOP + '[[data]]\nformat = "clips"\nshare = 1.0\nheld_back = 1.5\n', r"held_back must be 0 to 0\.99"),
        (HEAD + LOOP + DATA + "[augmentation]\nrotation = -30.0\n", r"augmentation\.rotation must be 0 to 180"),
        (
            HEAD + LOOP + DATA + "[augmentation]\nrotation_probability = 7.0\n",
            "rotation_probability must be 0 to 1, not 7",
        ),
        (HEAD + LOOP + DATA + "[augmentation]\nscale = [1.25, 0.8]\n", r"augmentation\.scale must rise"),
        (HEAD + LOOP + DATA + "[augmentation]\nscale = [0.0, 0.8]\n", r"augmentation\.scale\[0\] must be 0\.01 to 100"),
        (HEAD + LOOP + DATA + "[scene]\ngrids = [0.5, 0.6]\n", r"scene\.grids must sum to 1, not 1\.1"),
        (HEAD + LOOP + DATA + CROPS + "share = 0.0\n", "crops must have a share above 0"),
        (HEAD + LOOP + DATA + CROPS + "share = -1.0\n", r"crops\[0\]\.share must be 0 to"),
        (HEAD + LOOP + DATA + CROPS + "share = -1.0\n" + CROPS + "share = 2.0\n", r"crops\[0\]\.share must be 0 to"),
        (
            HEAD + LOOP + DATA + CROPS.replace("height = 64", "height = 100") + "share = 1.0\n",
            r"crops\[0\]: height and width must be multiples of 32, not 100 and 64",
        ),
        (
            HEAD.replace("pose", "detector").replace("fast-base", "detector").replace("width = 64", "width = 96")
            + LOOP
            + DATA,
            "height and width must be the same for kind detector, not 64 and 96",
        ),
    ],
)
def test_what_makes_no_sense_is_named_with_what_it_can_be(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=named):
        read(tmp_path, text)


def test_followers_need_clips_unless_all_come_from_stills(tmp_path: Path) -> None:
    head = HEAD.replace("pose", "followers")
    with pytest.raises(DataError, match="data of format clips or synthetic must have a share above 0"):
        read(tmp_path, head + LOOP + COCO + "share = 1.0\n")
    read(tmp_path, head + "stills = 1.0\n" + LOOP + COCO + "share = 1.0\n")


def test_every_number_has_its_range() -> None:
    data, crops = (DataShare("synthetic", 1.0, count=1),), (CropShare(64, 64, 1.0),)
    loop = LoopOptions(1, milestones=(1,))
    whole = Recipe("a", "pose", 1, loop, data, sizes=((64, 64),), crops=crops, validation=ValidationSet("coco", 1))
    found = {re.sub(r"\[\d+\]", "", name) for name, _ in numbers(whole)}
    assert found == set(LIMITS)
    assert all(math.isfinite(least) and least < most for least, most in LIMITS.values())
    assert set(KINDS) < {name.split(".")[0] for name in vars(whole)}


def test_all_bundled_recipes_make_sense() -> None:
    assert all(read_recipe(name).name == name for name in recipe_names())
