"""`vipnas eval people`: the document, the rules, a checkpoint instead of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vipnas_cli.cli.app import app
from vipnas_cli.data.sets import SetSize, write_synthetic_coco
from vipnas_cli.errors import DataError


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    return write_synthetic_coco(folder, np.random.default_rng(1), SetSize(stills=4, height=120, width=160))


def document(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["eval", "people", "--threads", "1", "--json", *map(str, arguments)])
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_document_of_the_bundled_detector(stills: Path) -> None:
    found = document("--data", stills)
    assert (found["schema"], found["detector"], found["labels"]["images"]) == (1, "bundled", 4)
    assert set(found["metrics"]) == {"AP50", "precision", "recall", "recall at precision 0.8"}
    assert all(0 <= value <= 100 for value in found["metrics"].values())


def test_height_and_threshold_choose_who_counts(stills: Path) -> None:
    everyone, giants = document("--data", stills, "--min-height", 0), document("--data", stills, "--min-height", 1)
    assert everyone["labels"]["people"] > giants["labels"]["people"] == 0
    strict = document("--data", stills, "--threshold", 1)
    assert (strict["detections"], strict["metrics"]["recall"]) == (0, 0)


def test_a_checkpoint_runs_too(stills: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from vipnas_cli.nets.checkpoints import save_checkpoint
    from vipnas_cli.nets.detector import PersonDetector
    from vipnas_cli.spec.presets import DETECTOR

    torch.manual_seed(0)
    net = PersonDetector(DETECTOR)
    save_checkpoint(tmp_path / "d.safetensors", net.state_dict(), {"kind": "detector", "arch": DETECTOR.to_json()})
    found = document("--data", stills, "--weights", tmp_path / "d.safetensors")
    assert found["detector"].endswith("d.safetensors")
    assert (found["metrics"]["precision"] or 0) < 50


def test_boxes_are_verified_by_a_checkpoint_or_by_nothing(stills: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from vipnas_cli.nets.checkpoints import save_checkpoint
    from vipnas_cli.nets.verifier import BoxVerifier
    from vipnas_cli.spec.presets import VERIFIER

    torch.manual_seed(0)
    net = BoxVerifier(VERIFIER)
    torch.nn.init.constant_(net.final.bias, -20.0)
    save_checkpoint(tmp_path / "v.safetensors", net.state_dict(), {"kind": "verifier", "arch": VERIFIER.to_json()})
    doubted = document("--data", stills, "--verifier", tmp_path / "v.safetensors")
    alone = document("--data", stills, "--no-verify")
    # What believes nobody finds nobody.
    assert doubted["detections"] == 0 < alone["detections"]
    wrong = ["eval", "people", "--data", str(stills), "--verifier", str(tmp_path / "none.safetensors")]
    assert "does not exist" in str(CliRunner().invoke(app, wrong).exception)


def test_missing_labels_are_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["eval", "people", "--data", str(tmp_path / "none.json")])
    assert isinstance(result.exception, DataError)
