"""Settings by file and environment: what comes first, what is refused, what `config show` tells."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from vipnas_cli.cli.app import app
from vipnas_cli.cli.configuration import configured_data, variable
from vipnas_cli.cli.defaults import defaults_of, options_of
from vipnas_cli.cli.doctor_job import setting_findings
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.errors import UsageError, VipnasError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, with an empty folder for the user's file below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIPNAS_DATA", raising=False)
    monkeypatch.setattr("vipnas_cli.cli.configuration.configuration_file", lambda: tmp_path / "user" / "config.toml")
    (tmp_path / "user").mkdir()
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunOptions]:
    """The options that a command line of run comes to."""
    got: list[RunOptions] = []
    monkeypatch.setattr("vipnas_cli.cli.run.job.run_job", lambda options: got.append(options) or 0)

    def run(*words: str, **environment: str) -> RunOptions:
        found = CliRunner().invoke(app, ["run", "clip.mp4", *words], env=environment)
        if isinstance(found.exception, UsageError):
            raise found.exception
        assert found.exit_code == 0, found.output
        return got.pop()

    return run


def write(path: Path, text: str) -> None:
    path.write_text(text)


def test_where_nothing_is_set_no_options_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VIPNAS_")]:
        monkeypatch.delenv(name)
    nobody: Any = object()
    assert defaults_of(nobody) == {}
    monkeypatch.setenv("VIPNAS_RUN_BUDGET", "1GFLOPs")
    with pytest.raises(AttributeError):
        defaults_of(nobody)


def test_what_is_typed_comes_first_then_environment_project_and_user(
    folder: Path, asked: Callable[..., RunOptions]
) -> None:
    assert asked().threads == 0
    write(folder / "user" / "config.toml", "[run]\nthreads = 1\nbudget = '5ms'\nmax-people = 9\naudio = false\n")
    assert asked() == RunOptions(("clip.mp4",), threads=1, budget="5ms", max_people=9, audio=False)
    write(folder / "vipnas.toml", "[run]\nthreads = 2\nout = ['a.csv', 'b.mp4']\nmax_people = 8\n")
    assert asked() == RunOptions(
        ("clip.mp4",), threads=2, budget="5ms", max_people=8, audio=False, out=("a.csv", "b.mp4")
    )
    found = asked(VIPNAS_RUN_THREADS="3", VIPNAS_RUN_OUT="c.csv", VIPNAS_RUN_AUDIO="1")
    assert (found.threads, found.out, found.audio) == (3, ("c.csv",), True)
    assert asked("--threads", "4", "-o", "d.csv", VIPNAS_RUN_THREADS="3").threads == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nbudgt = '5ms'\n", "budget"),
        ("[run]\noverwrite = true\n", "run.overwrite"),
        ("[ruin]\nbudget = '5ms'\n", "run"),
        ("budget = '5ms'\n", "budget"),
        ("[run]\nbudget = 2020-01-01\n", "budget"),
    ],
)
def test_what_cannot_be_set(folder: Path, asked: Callable[..., RunOptions], text: str, words: str) -> None:
    write(folder / "vipnas.toml", text)
    with pytest.raises(UsageError) as caught:
        asked()
    assert "vipnas.toml" in caught.value.what
    assert words in f"{caught.value.what} {caught.value.hint}"


UNREADABLE = ["[run]\nblur-faces = yes\n", "[run]\nthreads = 1\nthreads = 2\n", "\N{LATIN SMALL LETTER O WITH STROKE}"]


@pytest.fixture(params=[*UNREADABLE, None])
def damaged(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A project's file that is no TOML, or a folder."""
    path = folder / "vipnas.toml"
    if request.param is None:
        path.mkdir()
    else:
        path.write_text(request.param, encoding="latin-1")
    return path


@pytest.mark.parametrize(
    "words", ["run clip.mp4", "run clip.mp4 -o --help", "report", "eval posetrack", "models", "convert --overwrite x"]
)
def test_no_command_goes_on_without_settings_that_cannot_be_read(damaged: Path, words: str) -> None:
    found = CliRunner().invoke(app, words.split())
    assert isinstance(found.exception, UsageError)
    assert found.exception.exit_code == 2
    assert found.exception.what.startswith("vipnas.toml ")
    assert "is not readable" in found.exception.what or "cannot be read" in found.exception.what
    assert "correct it" in found.exception.hint
    assert not found.stdout


def test_a_wrong_line_of_settings_is_told_with_its_number(folder: Path) -> None:
    write(folder / "vipnas.toml", UNREADABLE[0])
    found = CliRunner().invoke(app, ["run", "clip.mp4"])
    assert isinstance(found.exception, UsageError)
    assert "line 2" in found.exception.what


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_settings_that_nobody_may_read_are_an_error(folder: Path) -> None:
    write(folder / "vipnas.toml", "[run]\nthreads = 1\n")
    (folder / "vipnas.toml").chmod(0)
    assert isinstance(CliRunner().invoke(app, ["run", "clip.mp4"]).exception, UsageError)


def test_a_folder_of_settings_that_nobody_may_look_into_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    found = CliRunner().invoke(app, ["models"])
    assert isinstance(found.exception, UsageError)
    assert "cannot be read: Permission denied" in found.exception.what


def test_help_version_and_what_looks_into_settings_work_without_them_and_tell(damaged: Path) -> None:
    write(damaged.parent / "user" / "config.toml", "[run]\nthreads = 1\n")
    runner = CliRunner()
    helped = runner.invoke(app, ["run", "--help"])
    assert "--budget" in helped.stdout
    assert helped.stderr.count("vipnas.toml") == 1
    for words in (["--help"], ["--version"], ["run", "--help"]):
        assert runner.invoke(app, words).exit_code == 0
    listed = runner.invoke(app, ["config", "show", "--json"])
    document = json.loads(listed.stdout)
    assert listed.exit_code == 0
    assert [row["name"] for row in document["settings"] if row["name"].startswith("run.")] == ["run.threads"]
    assert [problem.startswith("vipnas.toml ") for problem in document["problems"]] == [True]
    findings = list(setting_findings(options_of(get_command(app))))
    assert [(finding.state, finding.found.startswith("vipnas.toml ")) for finding in findings] == [("fail", True)]


def test_doctor_tells_settings_that_cannot_be_used(folder: Path) -> None:
    write(folder / "vipnas.toml", "[run]\nbudgt = '5ms'\n")
    found = CliRunner().invoke(app, ["doctor", "--json"])
    settings = [one for one in json.loads(found.stdout)["findings"] if one["what"] == "settings"]
    assert found.exit_code == 1
    assert settings == [
        {
            "state": "fail",
            "what": "settings",
            "found": "vipnas.toml sets run.budgt, which cannot be set",
            "advice": "do you mean budget?",
        }
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("VIPNAS_RUN_BLUR_FACE", "do you mean VIPNAS_RUN_BLUR_FACES?"),
        ("VIPNAS_EVAL_POSETRACK_SPLITS", "do you mean VIPNAS_EVAL_POSETRACK_SPLIT?"),
        ("VIPNAS_LATENCY_TABLE_XYZZY", "no option has this name."),
        ("VIPNAS_EVAL_XYZZY", "no option has this name."),
        ("VIPNAS_RUN_OVERWRITE", "--overwrite has to be typed."),
    ],
)
def test_a_variable_of_a_command_that_sets_nothing_is_told_once(
    folder: Path, asked: Callable[..., RunOptions], name: str, said: str
) -> None:
    known = {"VIPNAS_DATA": "x", "VIPNAS_CACHE": "x", "VIPNAS_MAX_PIXELS": "1", "VIPNAS_TEST_DATA": "x"}
    told = CliRunner().invoke(app, ["run", "clip.mp4"], env={name: "1", "VIPNAS_RUN_BUDGET": "5ms", **known}).stderr
    assert told == f"{name} sets nothing: {said}\n"
    assert not CliRunner().invoke(app, ["run", "clip.mp4"], env={name: "", **known}).stderr


@pytest.mark.parametrize(
    ("text", "variable_set", "place"),
    [
        ("stride = 0", {}, "(run.stride in vipnas.toml)"),
        ("budget = 'much'", {}, "(run.budget in vipnas.toml)"),
        ("budget = '0.01GFLOPs'", {}, "(run.budget in vipnas.toml)"),
        ("weights = 'none.vipnas'", {}, "(run.weights in vipnas.toml)"),
        ("", {"VIPNAS_RUN_START": "1:xx"}, "(VIPNAS_RUN_START)"),
        # What is typed is wrong by itself, and what is right is not told.
        ("max-people = 7", {"VIPNAS_RUN_STRIDE": "2"}, ""),
    ],
)
def test_errors_name_the_place_of_a_setting(
    folder: Path, text: str, variable_set: dict[str, str], place: str, clip: Path
) -> None:
    write(folder / "vipnas.toml", f"[run]\n{text}\n")
    words = [] if place else ["--budget", "7x"]
    found = CliRunner().invoke(app, ["run", str(clip), "-o", "a.csv", *words], env=variable_set)
    said = " ".join(found.output.replace("│", " ").split())
    if isinstance(found.exception, VipnasError):
        said = f"{found.exception.what}. {found.exception.hint}"
    assert found.exit_code
    assert place in said
    assert bool(place) == ("vipnas.toml" in said or "VIPNAS_" in said)


def test_the_data_folder_of_the_project_comes_before_that_of_the_user(folder: Path) -> None:
    assert configured_data() is None
    write(folder / "user" / "config.toml", 'data = "/user"\n')
    assert configured_data() == Path("/user")
    write(folder / "vipnas.toml", 'data = "/project"\n[run]\nthreads = 1\n')
    assert configured_data() == Path("/project")


def test_show_tells_the_data_folder_that_is_taken(folder: Path) -> None:
    def rows(**environment: str) -> list[tuple[str, str, str]]:
        found = CliRunner().invoke(app, ["config", "show", "--json"], env=environment)
        listed = json.loads(found.stdout)["settings"]
        return [(row["name"], row["value"], row["origin"]) for row in listed if "data" in row["name"].lower()]

    assert rows(VIPNAS_DATA="/variable") == [("data", "/variable", "VIPNAS_DATA")]
    write(folder / "vipnas.toml", "data = '/project'\n")
    assert rows(VIPNAS_DATA="/variable") == [("data", "/variable", "VIPNAS_DATA")]
    assert rows() == [("data", "/project", "vipnas.toml")]


def test_show_tells_what_is_set_and_where(folder: Path) -> None:
    write(folder / "user" / "config.toml", "[eval.posetrack]\nsplit = 'train'\n[run]\nthreads = 1\n")
    write(folder / "vipnas.toml", "[run]\nthreads = 2\n")
    runner, environment = CliRunner(), {variable("run", "max-people"): "5", "VIPNAS_CACHE": "/cache"}
    rows = json.loads(runner.invoke(app, ["config", "show", "--json"], env=environment).stdout)["settings"]
    found: dict[str, Any] = {row["name"]: (row["value"], row["origin"]) for row in rows}
    assert found["run.threads"] == ("2", "vipnas.toml")
    assert found["run.max-people"] == ("5", "VIPNAS_RUN_MAX_PEOPLE")
    assert found["eval.posetrack.split"] == ("train", str(folder / "user" / "config.toml"))
    assert found["VIPNAS_CACHE"] == ("/cache", "environment")
    text = runner.invoke(app, ["config", "show", "--origin"], env=environment).stdout
    assert "VIPNAS_RUN_MAX_PEOPLE" in text
    assert "Looked at" in text
