"""`vipnas models`: what is listed is what the bundle holds, measured or not."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vipnas_cli.bundle.reader import MANIFEST, bundled_weights, open_bundle
from vipnas_cli.cli.app import app
from vipnas_cli.errors import WeightsError
from vipnas_cli.latency.choice import DEFAULT_BUDGET
from vipnas_cli.latency.machine import PipelineTimes, measurements_file, pipeline_key, remember, this_machine
from vipnas_cli.spec import Budget


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def models(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_document_holds_every_pipeline_with_its_true_cost() -> None:
    bundle = open_bundle(bundled_weights())
    document = json.loads(models("--json"))
    assert document["schema"] == 1
    (found,) = document["bundles"]
    assert [row["name"] for row in found["pipelines"]] == [pipeline.name for pipeline in bundle.by_cost]
    for row, pipeline in zip(found["pipelines"], bundle.by_cost, strict=True):
        assert row["cycle"] == len(row["networks"]) == len(pipeline.networks)
        assert row["macs_per_person_frame"] == round(pipeline.macs_per_person_frame)
        assert row["measured"] is None
    files = {network.path for pipeline in bundle.pipelines for network in pipeline.networks}
    assert bundle.detector is not None
    own = [file.path for file in (bundle.detector, bundle.detector.verifier) if file is not None]
    assert found["bytes"] == sum(path.stat().st_size for path in {*files, *own})


def test_what_was_measured_is_shown_and_what_was_not_is_a_dash_with_advice() -> None:
    bundle = open_bundle(bundled_weights())
    assert "vipnas bench" in models()
    times = {1: PipelineTimes(6.25, 7.0, 7.0, 111.0, 77.0)}
    remember(measurements_file(), this_machine(), {pipeline_key(p, bundle.detector): times for p in bundle.pipelines})
    text = models()
    assert "vipnas bench" not in text
    for number in ("6.2", "111"):
        assert number in text
    assert json.loads(models("--json"))["bundles"][0]["pipelines"][0]["measured"]["video_fps"] == 77.0


def test_the_next_command_names_a_budget_that_can_be_met() -> None:
    last = models().strip().splitlines()[-1]
    assert last.startswith("Next: vipnas run")
    bundle = open_bundle(bundled_weights())
    budget = float(last.split()[-1].removesuffix("GFLOPs")) * 1e9
    # The one that run takes by itself, not the worst that there is.
    assert budget == Budget.parse(DEFAULT_BUDGET).value
    assert f"takes {bundle.within(budget).name}" in models()


def test_untrained_networks_are_said_to_be_so(tmp_path: Path) -> None:
    shutil.copytree(bundled_weights(), tmp_path / "mine", ignore=shutil.ignore_patterns("*.safetensors"))
    manifest = tmp_path / "mine" / MANIFEST
    document = json.loads(manifest.read_text())
    for network in document["networks"].values():
        network["origin"] = "untrained"
    manifest.write_text(json.dumps(document))
    assert "untrained, for timing only" in models("--weights", str(tmp_path / "mine"))
    assert "untrained" not in models()


def test_a_name_with_a_space_stays_one_word(tmp_path: Path) -> None:
    shutil.copytree(bundled_weights(), tmp_path / "my nets", ignore=shutil.ignore_patterns("*.safetensors"))
    text = models("--weights", str(tmp_path / "my nets"))
    for begin, end in (("machine; ", " does it"), ("Next: ", "\n")):
        words = shlex.split(text.partition(begin)[2].partition(end)[0])
        assert words[words.index("--weights") + 1] == str(tmp_path / "my nets")


def test_pipelines_in_the_cache_are_listed_too(cache: Path) -> None:
    shutil.copytree(bundled_weights(), cache / "pipelines" / "mine", ignore=shutil.ignore_patterns("*.safetensors"))
    assert "mine" in models()
    assert len(json.loads(models("--json"))["bundles"]) == 2


def test_a_folder_without_pipelines_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["models", "--weights", str(tmp_path)])
    assert isinstance(result.exception, WeightsError)
