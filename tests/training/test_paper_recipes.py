"""The recipes of the published trainings start on folders laid out like the public data sets."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.data.clips import read_clips  # noqa: E402
from vipnas_cli.data.sets import SetSize, write_synthetic_coco, write_synthetic_posetrack  # noqa: E402
from vipnas_cli.pose import COCO17  # noqa: E402
from vipnas_cli.training.data import Folders  # noqa: E402
from vipnas_cli.training.loop import StepEvent, best_path  # noqa: E402
from vipnas_cli.training.recipe import read_recipe  # noqa: E402
from vipnas_cli.training.runs import train  # noqa: E402
from vipnas_cli.training.start import RunPlan  # noqa: E402

NETS = ("mobilenetv3", "res50")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as COCO 2017 unpacks: pictures of each split beside annotations."""
    folder = tmp_path_factory.mktemp("coco2017")
    for split in ("train2017", "val2017"):
        written = write_synthetic_coco(folder / split, np.random.default_rng(1), SetSize(stills=3))
        (folder / "annotations").mkdir(exist_ok=True)
        written.rename(folder / "annotations" / f"person_keypoints_{split}.json")
        for picture in (folder / split / "images").iterdir():
            picture.rename(folder / split / picture.name)
    return folder


@pytest.fixture(scope="module")
def posetrack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posetrack18")
    labels = write_synthetic_posetrack(folder, np.random.default_rng(1), SetSize(frames=2))
    labels.rename(labels.parent / "train")
    return folder


def two_steps(name: str, data: Path, out: Path) -> list[StepEvent]:
    """The recipe as it is, but for smaller crops and batches, and scored earlier."""
    recipe = replace(read_recipe(name), batch=2, height=64, width=64)
    if recipe.validation is not None:
        recipe = replace(recipe, validation=replace(recipe.validation, every=2))
    return list(train(RunPlan(recipe, Folders(data, data), out, until=2, compile=False)))


@pytest.mark.parametrize("net", NETS)
def test_the_coco_recipe_starts_and_scores(net: str, coco: Path, tmp_path: Path) -> None:
    events = two_steps(f"coco-s-vipnet-{net}", coco, tmp_path / "a.safetensors")
    assert [event.step for event in events] == [1, 2]
    assert events[0].score is None
    assert events[1].score is not None
    assert best_path(tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize("net", NETS)
def test_the_posetrack_recipe_starts(net: str, posetrack: Path, tmp_path: Path) -> None:
    assert len(two_steps(f"posetrack18-s-vipnet-{net}", posetrack, tmp_path / "a.safetensors")) == 2


@pytest.mark.parametrize("net", NETS)
def test_the_schedule_is_the_published_one(net: str) -> None:
    recipe = read_recipe(f"coco-s-vipnet-{net}")
    epoch = round(149_813 / recipe.batch + 0.5)
    assert recipe.loop.steps == 210 * epoch
    assert recipe.loop.milestones == (170 * epoch, 200 * epoch)
    assert (recipe.loop.optimizer, recipe.loop.learning_rate, recipe.loop.warmup) == ("adam", 5e-4, 500)


def test_joints_of_posetrack_become_those_of_coco(posetrack: Path) -> None:
    frame = read_clips(posetrack, "train", 1)[0].frames[0]
    document = json.loads(min((posetrack / "annotations" / "train").iterdir()).read_text())
    names = document["categories"][0]["keypoints"]
    row = min(document["annotations"], key=lambda row: (row["track_id"], row["image_id"]))
    for name in ("nose", "left_wrist", "right_ankle"):
        place = names.index(name)
        assert frame.points_frame[COCO17.index(name)] == pytest.approx(row["keypoints"][3 * place : 3 * place + 2])
    assert frame.weights[COCO17.index("left_eye")] == 0
    assert set(frame.weights.tolist()) <= {0.0, 1.0}
