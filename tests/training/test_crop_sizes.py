"""Key networks that are trained on crops of several sizes one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.errors import DataError  # noqa: E402
from vipnas_cli.nets.checkpoints import load_checkpoint  # noqa: E402
from vipnas_cli.training.data import Folders  # noqa: E402
from vipnas_cli.training.loop import resume_path  # noqa: E402
from vipnas_cli.training.options import LoopOptions  # noqa: E402
from vipnas_cli.training.recipe import CropShare, DataShare, Recipe, read_recipe  # noqa: E402
from vipnas_cli.training.runs import crop_batches, train  # noqa: E402
from vipnas_cli.training.start import RunPlan  # noqa: E402

SIZES = (CropShare(32, 32, 0.6), CropShare(64, 32, 0.2))
RECIPE = Recipe(
    "sizes",
    "pose",
    2,
    LoopOptions(4, warmup=1),
    (DataShare("synthetic", 1.0, count=3),),
    preset="pyramid-base",
    height=64,
    width=32,
    start="scratch",
    crops=SIZES,
)


def plan(folder: Path, name: str = "a", recipe: Recipe = RECIPE) -> RunPlan:
    return RunPlan(recipe, Folders(folder, folder), folder / f"{name}.safetensors", compile=False)


def test_sizes_follow_each_other_by_their_shares(tmp_path: Path) -> None:
    found = [tuple(crop_batches(plan(tmp_path), (64, 32)).batch(step).crops.shape[1:3]) for step in range(5)]
    # The last one also serves whoever asks for more than all steps.
    assert found == [(32, 32)] * 3 + [(64, 32)] * 2
    alone = plan(tmp_path, recipe=replace(RECIPE, crops=()))
    assert crop_batches(alone, (64, 32)).batch(0).crops.shape[1:3] == (64, 32)


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    losses = [event.loss for event in train(plan(tmp_path, "whole"))]
    first = plan(tmp_path, "parts")
    parts = [event.loss for event in train(replace(first, until=2))]
    assert parts + [event.loss for event in train(replace(first, resume=True))] == losses
    for of in (Path, resume_path):
        whole, header = load_checkpoint(of(tmp_path / "whole.safetensors"), of_training=True)
        resumed, _ = load_checkpoint(of(tmp_path / "parts.safetensors"), of_training=True)
        assert header["step"] == 4
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_sizes_are_read_and_only_key_networks_have_them(tmp_path: Path) -> None:
    recipe = read_recipe("key-blaze")
    assert (recipe.start, recipe.crops[-1]) == ("blazepose", CropShare(256, 192, 0.8))
    text = (tmp_path / "a.toml").open("w")
    text.write('kind = "detector"\nbatch = 1\ncrops = [{ height = 64, width = 64, share = 1.0 }]\n')
    text.write('[loop]\nsteps = 1\n[[data]]\nformat = "synthetic"\ncount = 1\nshare = 1.0\n')
    text.close()
    with pytest.raises(DataError, match="crops is for kind pose, not detector"):
        read_recipe(str(tmp_path / "a.toml"))
