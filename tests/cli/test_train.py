"""`vipnas train`: as typed without data, with wrong data, stopped and taken up again."""

import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
import torch

from vipnas_cli.cli.console import message_console
from vipnas_cli.cli.train import job
from vipnas_cli.cli.train.job import list_recipes, train_job
from vipnas_cli.cli.train.options import TrainOptions
from vipnas_cli.cli.train.report import draw_curves, reporting
from vipnas_cli.errors import DataError, InputError, OutputError, UsageError, VipnasError
from vipnas_cli.nets.checkpoints import load_checkpoint
from vipnas_cli.training import rehearsal
from vipnas_cli.training.data import Folders
from vipnas_cli.training.loop import StepEvent, resume_path
from vipnas_cli.training.recipe import read_recipe, recipe_names
from vipnas_cli.training.runs import train
from vipnas_cli.training.start import RunPlan

RECIPE = """# Endless.
kind = "pose"
preset = "fast-base"
height = 64
width = 32
batch = 2
start = "scratch"

[loop]
steps = 100000

[[data]]
format = "synthetic"
count = 2
share = 1.0
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A rehearsal that takes seconds, in a folder of its own, without a data folder in the environment."""
    monkeypatch.setattr(rehearsal, "PICTURES", 4)
    monkeypatch.setattr(rehearsal, "SCORED", {"pose": 3, "followers": 2, "spatial": 2})
    monkeypatch.setattr(
        rehearsal,
        "SIZES",
        {
            "pose": (4, 2, (64, 32)),
            "followers": (2, 2, (64, 32)),
            "spatial": (2, 2, (64, 32)),
            "verifier": (2, 8, (64, 32)),
        },
    )
    monkeypatch.setattr(rehearsal, "KEY_STEPS", 2)
    monkeypatch.delenv("VIPNAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("small")
def test_without_data_a_rehearsal_runs_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_job(TrainOptions("key-128"))
    told = capsys.readouterr().err
    assert "rehearsal" in told
    assert "synthetic people" in told
    assert "--data DATA" in told
    tensors, header = load_checkpoint(tmp_path / "key-128-rehearsal.safetensors")
    assert header["kind"] == "pose"
    assert tensors
    rows = [json.loads(line) for line in (tmp_path / "key-128-rehearsal.log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4
    assert 0 <= rows[-1]["score"] <= 100
    with pytest.raises(OutputError, match="exists already"):
        train_job(TrainOptions("key-128"))


@pytest.mark.usefixtures("small")
def test_a_rehearsal_of_followers_makes_its_key_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_job(TrainOptions("followers-128", out=tmp_path / "f.safetensors"))
    assert "vipnas train followers-128 --data DATA --key KEY" in " ".join(capsys.readouterr().err.split())
    assert load_checkpoint(tmp_path / "f-key.safetensors")[1]["kind"] == "pose"
    assert load_checkpoint(tmp_path / "f.safetensors")[1]["plan"]["fusion"]["operation"] == "cat"
    assert 0 <= scores_in(tmp_path / "f.log.jsonl")[-1] <= 100


@pytest.mark.parametrize(
    ("kind", "options", "more"),
    [
        ("pose", TrainOptions("key-128"), ""),
        ("pose", TrainOptions("my recipes/a.toml", init=(Path("a"), Path("b c"))), "--init a --init 'b c'"),
        ("pose", TrainOptions("a.toml", teacher=(Path("t"),), spec=Path("s.json")), "--teacher t --spec s.json"),
        ("temporal", TrainOptions("temporal"), "--key KEY"),
        ("cycle", TrainOptions("cycle", key=(Path("k"), Path("l")), spec=Path("s")), "--key k --key l --spec s"),
        ("verifier", TrainOptions("verifier", detector=Path("d")), "--detector d"),
    ],
)
def test_the_training_that_a_rehearsal_is_for_has_its_files(kind: str, options: TrainOptions, more: str) -> None:
    assert options.recipe is not None
    words = ["vipnas", "train", options.recipe, "--data", "DATA", *shlex.split(more)]
    assert shlex.split(job.with_data(options, kind)) == words


@pytest.mark.usefixtures("small")
def test_the_key_network_of_a_rehearsal_is_trained_to_its_end_and_taken_up_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(name: str) -> str:
        (tmp_path / "f.safetensors").unlink(missing_ok=True)
        train_job(TrainOptions(name, out=tmp_path / "f.safetensors", steps=1))
        return " ".join(capsys.readouterr().err.split())

    key = tmp_path / "f-key.safetensors"
    assert "First a small key network" in told("followers-128")
    assert load_checkpoint(tmp_path / "f.safetensors")[1]["step"] == 1
    tensors, header = load_checkpoint(key)
    assert header["step"] == rehearsal.KEY_STEPS == 2
    assert f"the key network that is there already, {key}" in told("followers-128")
    # One that was interrupted is trained to its end, with what it had or from its beginning.
    for state in (True, False):
        key.unlink()
        resume_path(key).unlink()
        plan = RunPlan(rehearsal.rehearsal_key(read_recipe("followers-128")), Folders(Path(), Path()), key, until=1)
        list(train(replace(plan, compile=False)))
        if not state:
            resume_path(key).unlink()
        assert "First a small key network" in told("followers-128")
        found, header = load_checkpoint(key)
        assert header["step"] == 2
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in found.items())


@pytest.mark.usefixtures("small")
def test_a_verifier_learns_on_what_the_bundled_detector_finds(tmp_path: Path) -> None:
    train_job(TrainOptions("verifier"))
    tensors, header = load_checkpoint(tmp_path / "verifier-rehearsal.safetensors")
    assert header["kind"] == "verifier"
    assert "--detector detector.fp16.safetensors" in header["training"]["command"]
    assert tensors["final.weight"].shape[0] == 5
    with pytest.raises(UsageError, match="does not exist"):
        train_job(TrainOptions("verifier", out=tmp_path / "v.safetensors", detector=tmp_path / "none.safetensors"))


@pytest.mark.usefixtures("small")
def test_a_super_network_is_scored_on_the_way(tmp_path: Path) -> None:
    train_job(TrainOptions("spatial"))
    assert all(0 <= score <= 100 for score in scores_in(tmp_path / "spatial-rehearsal.log.jsonl"))


def scores_in(log: Path) -> list[float]:
    """The scores of a training's log."""
    return [row["score"] for row in map(json.loads, log.read_text().splitlines()) if row.get("score") is not None]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        (TrainOptions("key-128", data=Path("none")), UsageError, "none"),
        (TrainOptions("unheard-of"), UsageError, "unheard-of"),
        (TrainOptions("key-128", data=Path()), DataError, "stanford40"),
        (TrainOptions("followers-128", data=Path()), UsageError, "key network"),
        (TrainOptions("key-128", init=(Path("no.safetensors"),)), UsageError, r"no\.safetensors"),
        (TrainOptions("key-128", teacher=(Path("no.safetensors"),)), UsageError, r"no\.safetensors"),
        (
            TrainOptions("verifier", teacher=(Path("no.safetensors"),)),
            UsageError,
            "--teacher is for recipes of kind pose",
        ),
        (TrainOptions("key-128", resume=True), UsageError, "--resume|does not exist"),
        (TrainOptions("key-128", device="abacus"), UsageError, "abacus"),
        (TrainOptions("key-128", out=Path("model.seed1")), UsageError, r"model\.seed1 does not end in \.safetensors"),
        (TrainOptions("key-128", out=Path("pic.png")), UsageError, r"pic\.png does not end in \.safetensors"),
        (TrainOptions("key-128", out=Path("a.resume.safetensors")), UsageError, "beside another checkpoint"),
    ],
)
def test_wrong_values_are_named(options: TrainOptions, error: type[VipnasError], named: str) -> None:
    with pytest.raises(error, match=named):
        train_job(options)


@pytest.mark.usefixtures("small")
def test_tensorboard_is_asked_for_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(VipnasError, match="package tensorboard"):
        train_job(TrainOptions("key-128", tensorboard=Path("board")))


def test_all_recipes_are_listed_and_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    list_recipes()
    told = capsys.readouterr().out
    for name in recipe_names():
        assert name in told
        assert read_recipe(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("pose", "juggling", "juggling"),
        ("steps = 100000", 'steps = 9\noptimizer = "sgd"', "sgd"),
        ("batch", "bath", "bath"),
        ("[loop]", '[validation]\nformat = "clips"\nevery = 1\n[loop]', "format 'clips'"),
    ],
)
def test_a_wrong_entry_of_a_recipe_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(DataError, match=named):
        read_recipe(str(tmp_path / "a.toml"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_last_step_and_resume_goes_on(number: int, tmp_path: Path) -> None:
    (tmp_path / "endless.toml").write_text(RECIPE)
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()"]
    command += ["train", "endless.toml", "-o", "out.safetensors", "--no-compile", "--threads", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "out.log.jsonl", time.monotonic() + 180
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[1]
    # A terminal that is closed sends two: its own and the shell's.
    for _ in range(1 + (number == signal.SIGHUP)):
        process.send_signal(number)
        time.sleep(0.05)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in told
    out = tmp_path / "out.safetensors"
    step = load_checkpoint(out)[1]["step"]
    assert step >= 20
    assert load_checkpoint(resume_path(out), of_training=True)[1]["step"] == step
    train_job(
        TrainOptions(str(tmp_path / "endless.toml"), out=out, resume=True, steps=step + 1, threads=1, compile=False)
    )
    assert load_checkpoint(out)[1]["step"] == step + 1
    assert out.with_suffix(".png").exists()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("recipe", "option", "named"),
    [
        ("key-128", {"key": (Path("key.safetensors"),)}, "--key is for recipes of kind followers or temporal or cycle"),
        ("temporal", {"spec": Path("schedule.json")}, "--spec is for recipes of kind pose or followers or cycle"),
        ("key-128", {"detector": Path("d.safetensors")}, "--detector is for recipes of kind verifier, not pose"),
    ],
)
def test_options_that_a_recipe_has_no_use_for_are_refused(recipe: str, option: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        train_job(TrainOptions(recipe, **option))


@pytest.mark.usefixtures("small")
def test_what_was_taken_from_a_checkpoint_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text(RECIPE)
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    train_job(TrainOptions("a.toml", out=first, steps=1, threads=1, compile=False))
    train_job(TrainOptions("a.toml", out=again, init=(first,), steps=1, threads=1, compile=False))
    told = capsys.readouterr().err
    assert "350 of 350 tensors (100 % of the network's weights, 100 % of the file's)" in told
    assert f"taken from {first}" in told
    assert "Warning" not in told


@pytest.mark.usefixtures("small")
def test_a_stop_before_the_first_step_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    data = '[[data]]\nformat = "coco"\npath = "a.json"\nshare = 1.0\ncached = false\n'
    (tmp_path / "a.toml").write_text(RECIPE.partition("[[data]]")[0] + data)
    person = {"image_id": 0, "category_id": 1, "bbox": [5, 5, 50, 70], "keypoints": [20, 20, 2] * 17}
    labels = {"images": [{"id": 0, "file_name": "gone.png"}], "annotations": [person]}
    (tmp_path / "a.json").write_text(json.dumps(labels))
    for _ in range(2):
        with pytest.raises(InputError, match=r"gone\.png"):
            train_job(TrainOptions("a.toml", data=tmp_path, threads=1, compile=False))
    assert not list(tmp_path.glob("a*.safetensors"))


@pytest.mark.parametrize("content", [None, "", "not json\n"])
def test_why_there_are_no_curves_is_told(content: str | None, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    log = tmp_path / "a.log.jsonl"
    if content is not None:
        log.write_text(content)
    with pytest.raises(DataError, match=r"a\.log\.jsonl"):
        draw_curves(log, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.usefixtures("small")
def test_the_end_names_files_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "a.toml").write_text(RECIPE)
    first = TrainOptions("a.toml", out=Path("a.safetensors"), steps=1, threads=1, compile=False)
    train_job(first)
    assert "log: a.log.jsonl; curves: a.png" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "a.log.jsonl").unlink()
    train_job(replace(first, resume=True))
    told = " ".join(capsys.readouterr().err.split())
    assert "no curves: a.log.jsonl" in told
    assert "matplotlib" not in told
    assert "log: a.log.jsonl;" not in told


def test_a_resumed_log_goes_on_with_its_running_mean(tmp_path: Path) -> None:
    losses = [8.0 / (1 + step) for step in range(60)]
    events = [StepEvent(step, loss, 1e-3, 0.0, False) for step, loss in enumerate(losses, 1)]

    def told(log: Path, parts: list[list[StepEvent]]) -> list[float]:
        for again, part in enumerate(parts):
            with reporting(message_console(quiet=True), 60, log, bool(again), None) as tell:
                for event in part:
                    tell(event)
        return [json.loads(line)["mean_loss"] for line in log.read_text().splitlines()]

    whole = told(tmp_path / "whole.log.jsonl", [events])
    assert told(tmp_path / "parts.log.jsonl", [events[:20], events[20:]]) == pytest.approx(whole, abs=2e-5)
    # Steps that were logged and then lost do not count.
    assert told(tmp_path / "lost.log.jsonl", [events[:40], events[20:]])[-1] == pytest.approx(whole[-1], abs=2e-5)
