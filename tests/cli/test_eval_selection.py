"""`vipnas eval selection`: the table, the document, what is held back, and mistakes in the options."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from vipnas_cli.bundle.reader import MANIFEST, open_bundle
from vipnas_cli.cli.app import app
from vipnas_cli.data.clips import is_held_back
from vipnas_cli.data.sets import SetSize, write_synthetic_coco
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.spec import Budget


def vipnas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", "selection", *map(str, arguments)])


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    return write_synthetic_coco(folder, np.random.default_rng(1), SetSize(stills=6, height=120, width=160))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten sequences of four grey frames with one person each."""
    root = tmp_path_factory.mktemp("clips")
    (root / "annotations" / "train").mkdir(parents=True)
    keypoints = [value for i in range(17) for value in (30 + 3 * i, 20 + 5 * i, 2)]
    for number in range(10):
        name = f"sequence{number}"
        images, annotations = [], []
        for index in range(4):
            path = root / "images" / name / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), np.full((120, 160, 3), 90, np.uint8))
            images.append({"id": index, "file_name": f"images/{name}/{index}.jpg"})
            box = [25, 15, 60, 95]
            annotations.append({"image_id": index, "track_id": 0, "bbox": box, "coco_keypoints": keypoints})
        document = json.dumps({"images": images, "annotations": annotations})
        (root / "annotations" / "train" / f"{name}.json").write_text(document)
    return root


def document(*arguments: str | Path) -> dict[str, Any]:
    result = vipnas(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["schema"] == 1
    return found


def test_all_pipelines_are_scored_on_both_and_a_second_run_repeats(
    tiny_bundle: Path, stills: Path, clips: Path
) -> None:
    arguments = ("--weights", tiny_bundle, "--stills", stills, "--people", 2, "--frames", 4)
    arguments = (*arguments, "--clips", clips, "--held-back", 0.4)
    found = document(*arguments)
    held_back = sum(is_held_back(f"sequence{number}", 0.4) for number in range(10))
    assert 0 < held_back < 10
    assert found["counted"] == {
        "walks": {"clips": 2, "frames": 8},
        "clips": {"clips": held_back, "frames": 4 * held_back},
    }
    assert [row["name"] for row in found["pipelines"]] == ["tiny-key", "tiny-3"]
    for row in found["pipelines"]:
        for part in ("walks", "clips"):
            assert 0 <= row[part]["PCK@0.05"] <= row[part]["PCK@0.1"] <= row[part]["PCK@0.2"] <= 100
    assert len(found["pipelines"][1]["walks"]["PCK@0.1_by_position"]) == 3
    (against,) = found["compared"]
    rows = {row["name"]: row["selection"] for row in found["pipelines"]}
    assert against["gain"] == pytest.approx(rows[against["name"]] - rows[against["against"]], abs=0.02)
    assert sum(against[f"clips_{word}"] for word in ("better", "equal", "worse")) == 2 + held_back
    assert document(*arguments) == found


def test_ranks_are_recorded_in_the_bundle_and_choose(
    tiny_bundle: Path, stills: Path, clips: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    arguments = ("--stills", stills, "--people", 2, "--frames", 3, "--clips", clips, "--held-back", 0.4)
    found = document("--weights", bundle, *arguments, "--clip-frames", 2, "--record")
    assert found["counted"]["clips"]["frames"] == 2 * found["counted"]["clips"]["clips"]
    recorded = open_bundle(bundle)
    for row, pipeline in zip(found["pipelines"], recorded.pipelines, strict=True):
        assert pipeline.selection == pytest.approx((row["walks"]["PCK@0.1"] + row["clips"]["PCK@0.1"]) / 2, abs=0.01)
        assert pipeline.selection_error == row["selection_error"] >= 0
        assert row["selection_key"] == found["pipelines"][0]["selection"]
    assert recorded.within(1e12).name == found["chosen"][-1]
    assert isinstance(vipnas(*arguments, "--record").exception, UsageError)


def test_one_still_tells_no_error_and_what_was_recorded_of_it_goes(
    tiny_bundle: Path, stills: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    for row in manifest["pipelines"]:
        row["scores"]["selection_error"] = 1.5
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    arguments = ("--weights", bundle, "--stills", stills, "--people", 1, "--frames", 2)
    found = document(*arguments, "--record")
    assert [row["selection_error"] for row in found["pipelines"]] == [None, None]
    recorded = open_bundle(bundle)
    for row, pipeline in zip(found["pipelines"], recorded.pipelines, strict=True):
        assert pipeline.scores.keys() == {"selection", "selection_key"}
        assert pipeline.selection == row["selection"]
    assert recorded.within(1e12).name == found["chosen"][-1]
    table = vipnas(*arguments)
    assert table.exit_code == 0, table.exception
    assert all("–" in line for line in table.stdout.splitlines() if line.startswith("tiny-") and "against" not in line)


def test_a_budget_that_is_printed_buys_what_it_names(tiny_bundle: Path, stills: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    for row in manifest["networks"].values():
        # As a text in GFLOPs, read back, that is a hair less.
        row["macs"] = 1_001_000_000
    (bundle / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    arguments = ("--weights", bundle, "--stills", stills, "--people", 1, "--frames", 2, "--record")
    told = re.findall(r"a budget from (\S+ GFLOPs) on takes (\S+)", vipnas(*arguments).stdout)
    assert told
    for budget, name in told:
        assert open_bundle(bundle).within(Budget.parse(budget).value).name == name


def test_the_table_shows_the_pipelines_asked_for(tiny_bundle: Path, stills: Path) -> None:
    result = vipnas(
        *("--weights", tiny_bundle, "--pipeline", "tiny-3", "--stills", stills, "--people", 1, "--frames", 2)
    )
    assert result.exit_code == 0, result.exception
    assert "PCK@0.1 walks" in result.stdout
    assert "tiny-3" in result.stdout
    assert "tiny-key" not in result.stdout


def test_mistakes_are_named(tiny_bundle: Path, stills: Path, clips: Path) -> None:
    def error(*arguments: str | Path | int | float) -> BaseException | None:
        return vipnas("--weights", tiny_bundle, *arguments).exception

    assert isinstance(error(), UsageError)
    assert isinstance(error("--stills", stills, "--people", 1, "--people", 2), UsageError)
    assert isinstance(error("--stills", stills, "--pipeline", "unknown"), UsageError)
    assert isinstance(error("--clips", clips, "--held-back", 0.0), DataError)
    assert isinstance(error("--stills", stills.with_name("missing.json")), DataError)
