"""`vipnas train`: as typed without data, with wrong data, stopped and taken up again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from vipnas_cli.cli.console import message_console
from vipnas_cli.cli.train.job import list_recipes, train_job
from vipnas_cli.cli.train.options import TrainOptions
from vipnas_cli.cli.train.report import reporting
from vipnas_cli.errors import DataError, OutputError, UsageError, VipnasError
from vipnas_cli.nets.checkpoints import load_checkpoint
from vipnas_cli.training import rehearsal
from vipnas_cli.training.loop import StepEvent, resume_path
from vipnas_cli.training.recipe import read_recipe, recipe_names

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
def test_a_rehearsal_of_followers_makes_its_key_network(tmp_path: Path) -> None:
    train_job(TrainOptions("followers-128", out=tmp_path / "f.safetensors"))
    assert load_checkpoint(tmp_path / "f-key.safetensors")[1]["kind"] == "pose"
    assert load_checkpoint(tmp_path / "f.safetensors")[1]["plan"]["fusion"]["operation"] == "cat"
    assert 0 <= scores_in(tmp_path / "f.log.jsonl")[-1] <= 100


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


def test_sigterm_saves_the_last_step_and_resume_goes_on(tmp_path: Path) -> None:
    (tmp_path / "endless.toml").write_text(RECIPE)
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()"]
    command += ["train", "endless.toml", "-o", "out.safetensors", "--no-compile", "--threads", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "out.log.jsonl", time.monotonic() + 180
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in told
    out = tmp_path / "out.safetensors"
    step = load_checkpoint(out)[1]["step"]
    assert step >= 20
    assert load_checkpoint(resume_path(out))[1]["step"] == step
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
