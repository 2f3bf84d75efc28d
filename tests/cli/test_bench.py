"""`vipnas bench`: every kind of figure is there, the table says what it depends on, run takes what is remembered."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vipnas_cli.bundle.reader import MANIFEST
from vipnas_cli.cli.app import app
from vipnas_cli.cli.bench import BenchOptions
from vipnas_cli.cli.bench_job import bench_job, default_threads
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.latency.bench import Row
from vipnas_cli.latency.machine import PipelineTimes, load_measurements, measurements_file, this_machine

NAME = "pyramid-224-cycle4-light"
CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench of one pipeline: its document in bench.json, its table in bench.csv, its memory in cache."""
    path = tmp_path_factory.mktemp("bench")
    arguments = ["bench", "--pipeline", NAME, "--threads", "1", "--seconds", "0.01", "--csv", str(path / "bench.csv")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipnas_cli.cli.bench_job.share_of_core", lambda: 1.0)
        result = CliRunner().invoke(app, [*arguments, "--json"], env={"VIPNAS_CACHE": str(path / "cache")})
    assert result.exit_code == 0, result.output
    (path / "bench.json").write_text(result.stdout)
    return path


def test_every_kind_of_figure_is_there(folder: Path) -> None:
    document = json.loads((folder / "bench.json").read_text())
    assert document["schema"] == 1
    rows = document["rows"]
    assert {row["kind"] for row in rows} == {"network", "detector", "verifier", "stage", "pipeline", "run"}
    assert {(row["people"]) for row in rows if row["kind"] == "network"} == {1, 4}
    assert {row["name"] for row in rows if row["kind"] == "detector"} == {"416x256", "416x416"}
    stages = {row["name"].split()[0] for row in rows if row["kind"] == "stage"}
    assert stages == {"decode", "detect", "draw", "encode"}
    assert {row["name"] for row in rows if row["kind"] == "run"} == {f"{NAME} csv", f"{NAME} csv+video"}
    for row in rows:
        assert 0 <= row["low"] <= row["value"] <= row["high"]


def test_the_table_holds_the_same_figures_and_what_they_depend_on(folder: Path) -> None:
    rows = json.loads((folder / "bench.json").read_text())["rows"]
    with (folder / "bench.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["kind"], row["name"]) for row in table] == [(row["kind"], row["name"]) for row in rows]
    assert [float(row["value"]) for row in table] == pytest.approx([row["value"] for row in rows], abs=1e-3)
    for column in ("date", "cpu", "cores", "os", "onnxruntime", "av", "cv2"):
        assert table[0][column]


def test_run_takes_what_is_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIPNAS_CACHE", str(folder / "cache"))
    (remembered,) = load_measurements(measurements_file(), this_machine()).pipelines.values()
    assert set(remembered) == {1}
    assert (remembered[1].width, remembered[1].height, remembered[1].frame_rate) == (640, 360, 25.0)
    arguments = ["run", str(CLIP), "--end", "0.2", "-o", str(tmp_path / "o.csv"), "--budget", "0.1GFLOPs", "--json"]
    summary = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert (summary["pipeline"], summary["threads"], summary["threads_from"]) == (NAME, 1, "bench")


def test_nothing_is_remembered_of_a_busy_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path))
    monkeypatch.setattr("vipnas_cli.cli.bench_job.share_of_core", lambda: 0.2)
    monkeypatch.setattr("vipnas_cli.cli.bench_job._measure", lambda *_: ([], {"a": {1: PipelineTimes(1, 1, 1)}}))
    result = CliRunner().invoke(app, ["bench"])
    assert "Nothing of this is remembered" in result.stdout
    assert not measurements_file().exists()


def test_what_comes_next_has_the_networks_that_were_measured(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [Row("run", "tiny-key csv", 1, 1, "fps", 100.0, 90.0, 110.0)]
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vipnas_cli.cli.bench_job._measure", lambda *_: (rows, {}))
    shutil.copytree(tiny_bundle, tmp_path / "my nets")
    arguments = ["bench", "--weights", str(tmp_path / "my nets")]
    words = shlex.split(CliRunner().invoke(app, arguments).stdout.partition("Next: ")[2])
    assert words == ["vipnas", "run", "clip.mp4", *arguments[1:], "-o", "poses.csv", "--budget", "60fps"]
    manifest = tmp_path / "my nets" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"origin": "checkpoint"', '"origin": "untrained"'))
    # Poses of untrained networks are noise.
    assert "vipnas run" not in CliRunner().invoke(app, arguments).stdout


def test_figures_are_told_though_nothing_can_be_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vipnas_cli.cli.bench_job.share_of_core", lambda: 1.0)
    monkeypatch.setattr("vipnas_cli.cli.bench_job._measure", lambda *_: ([], {"a": {1: PipelineTimes(1, 1, 1)}}))
    result = CliRunner().invoke(app, ["bench", "--json"])
    assert isinstance(result.exception, OutputError)
    assert json.loads(result.stdout)["schema"]


def test_bad_options_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        bench_job(BenchOptions(pipeline="nonsense"))
    (tmp_path / "there.csv").touch()
    with pytest.raises(OutputError, match=r"there\.csv"):
        bench_job(BenchOptions(csv=tmp_path / "there.csv"))
    for threads in ("0", "1,x", "-1", ""):
        result = CliRunner().invoke(app, ["bench", "--threads", threads])
        assert isinstance(result.exception, UsageError)


def test_a_table_without_a_place_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipnas_cli.cli.bench_job._measure", lambda *_: pytest.fail("something was measured"))
    with pytest.raises(OutputError, match="nowhere does not exist"):
        bench_job(BenchOptions(csv=tmp_path / "nowhere" / "bench.csv"))


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64])
def test_the_settings_that_are_tried_fit_the_machine(cores: int) -> None:
    found = default_threads(cores)
    assert found[0] == 1
    assert all(1 <= threads <= cores for threads in found)
    assert list(found) == sorted(set(found))
