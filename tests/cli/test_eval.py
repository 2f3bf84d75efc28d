"""`vipnas eval` with a pipeline: the fallback set, the document, the pictures, the results."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from vipnas_cli.cli.app import app
from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.eval import coco, posetrack
from vipnas_cli.cli.eval import data as eval_data
from vipnas_cli.data.files.posetrack import read_truth
from vipnas_cli.data.sets import SetSize, write_synthetic_coco, write_synthetic_posetrack
from vipnas_cli.errors import DataError, OutputError, UsageError, VipnasError, WeightsError

pytest.importorskip("faster_coco_eval")
SMALL = SetSize(stills=4, frames=5, height=120, width=160)
JOINTS = ("Head", "Shou", "Elb", "Wri", "Hip", "Knee", "Ankl", "Total")
PCKS = ("PCK@0.2", "PCK@0.1", "PCK@0.05")


@pytest.fixture(autouse=True)
def fresh_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data configured, an own configuration folder, and quick synthetic sets."""
    monkeypatch.delenv("VIPNAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(eval_data, "SetSize", lambda: SMALL)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posetrack")
    write_synthetic_posetrack(folder, np.random.default_rng(1), SMALL)
    return folder


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_synthetic_coco(folder, np.random.default_rng(1), SMALL)
    return folder


def vipnas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def document(*arguments: str | Path) -> dict[str, Any]:
    result = vipnas(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert list(found)[:7] == ["schema", "dataset", "pipeline", "boxes", "metrics", "cost", "ablation"]
    assert found["schema"] == 1
    return found


def failure(kind: type[VipnasError], *arguments: str | Path) -> VipnasError:
    result = vipnas(*arguments)
    assert isinstance(result.exception, kind), result.output
    return result.exception


def test_posetrack_as_typed_on_a_fresh_machine(tiny_bundle: Path) -> None:
    result = vipnas("posetrack", "--weights", tiny_bundle)
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert "synthetic" in lines[0]
    assert "posetrack.net" in lines[1]
    assert "DIR/annotations/val" in lines[2]
    for words in ("key network on every frame", "propagation without fusion", "position 2", "900002_synthetic"):
        assert words in result.stdout
    found = document("posetrack", "--weights", tiny_bundle)
    assert "synthetic" in found["dataset"]
    assert found["synthetic"] is True


def test_what_comes_next_has_the_networks_that_were_scored(
    stills: Path, sequences: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle, key = tmp_path / "my nets", tiny_bundle / "key.safetensors"
    shutil.copytree(tiny_bundle, bundle)

    def following(*arguments: str | Path) -> list[str]:
        return shlex.split(vipnas(*arguments).stdout.partition("Next: ")[2])

    found = following("posetrack", "--data", sequences, "--weights", bundle)
    assert found == ["vipnas", "run", "CLIP.mp4", "--weights", str(bundle), "--budget", "0.2GFLOPs"]
    assert following("coco", "--data", stills, "--weights", bundle)[-2:] == ["--weights", str(bundle)]
    # Checkpoints do not run.
    assert following("posetrack", "--data", sequences, "--weights", key)[:3] == ["vipnas", "export", str(key)]


def test_the_document_of_sequences(sequences: Path, tiny_bundle: Path) -> None:
    found = document("posetrack", "--data", sequences, "--weights", tiny_bundle)
    assert found["dataset"] == str(sequences)
    assert found["pipeline"] == "tiny-3"
    assert found["boxes"] == "gt"
    for name in (*JOINTS, "MOTA", "MOTP", *PCKS):
        assert isinstance(found["metrics"][name], float)
    key_only, propagation, no_fusion = found["ablation"]
    assert found["cost"] == propagation["cost"]
    assert found["metrics"] == propagation["metrics"]
    assert key_only["cost"]["macs_per_person_frame"] > propagation["cost"]["macs_per_person_frame"]
    assert no_fusion["variant"] == "propagation without fusion"
    for variant in found["ablation"]:
        assert variant["cost"]["ms_per_person_frame"] > 0
        assert [row["position"] for row in variant["by_position"]] == [0, 1, 2]
        assert sum(row["frames"] for row in variant["by_position"]) == 15
    assert [row["frames"] for row in found["sequences"]] == [5, 5, 5]
    assert found["speed"]["frames"] == 45


def test_the_same_call_gives_the_same_numbers(sequences: Path, tiny_bundle: Path) -> None:
    first, second = (
        document("posetrack", "--data", sequences, "--weights", tiny_bundle, "--workers", workers)
        for workers in ("1", "3")
    )
    assert first["metrics"] == second["metrics"]
    assert first["joints"] == second["joints"]


def test_written_results_score_the_same(sequences: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    ran = document("posetrack", "--data", sequences, "--weights", tiny_bundle, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.json"))) == 3
    scored = document("posetrack", "--data", sequences, "--predictions", tmp_path / "out")
    assert scored["metrics"] == ran["metrics"]
    assert scored["pipeline"] is None
    assert scored["ablation"] == []
    assert scored["cost"] == {"macs_per_person_frame": None, "ms_per_person_frame": None}
    error = failure(OutputError, "posetrack", "--data", sequences, "--weights", tiny_bundle, "--out", tmp_path / "out")
    assert "exists" in error.what


def test_boxes_of_a_file_and_of_the_detector(sequences: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    rows = []
    for sequence in read_truth(sequences / "annotations" / "val"):
        for frame, box in zip(sequence.truth.frames, sequence.boxes_frame.tolist(), strict=True):
            size = [box[2] - box[0], box[3] - box[1]]
            rows.append({"image_id": sequence.image_ids[frame], "category_id": 1, "bbox": [*box[:2], *size]})
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(rows))
    arguments = ("posetrack", "--data", sequences, "--weights", tiny_bundle)
    given, labelled = document(*arguments, "--boxes", path), document(*arguments)
    assert given["boxes"] == str(path)
    assert given["metrics"]["PCK@0.2"] == pytest.approx(labelled["metrics"]["PCK@0.2"], abs=1)
    assert document(*arguments, "--boxes", "detector")["boxes"] == "detector"
    assert "does not exist" in failure(DataError, *arguments, "--boxes", "nothing.json").what


def test_without_early_key_frames_only_the_cycle_costs(sequences: Path, tiny_bundle: Path) -> None:
    free, fixed = (
        document("posetrack", "--data", sequences, "--weights", tiny_bundle, *more)
        for more in ((), ("--no-early-keys",))
    )
    assert (free["early_keys"], fixed["early_keys"]) == (True, False)
    frames = [[row["frames"] for row in found["ablation"][1]["by_position"]] for found in (free, fixed)]
    # Five frames of a cycle of three have two key frames each; looking anew can only add some.
    assert frames[1] == [6, 6, 3]
    assert frames[0][0] >= frames[1][0]
    assert sum(frames[0]) == sum(frames[1])


def test_flip_costs_twice_as_much(stills: Path, tiny_bundle: Path) -> None:
    plain, flipped = (document("coco", "--data", stills, "--weights", tiny_bundle, *more) for more in ((), ("--flip",)))
    costs = [found["cost"]["macs_per_person_frame"] for found in (plain, flipped)]
    assert costs[1] == 2 * costs[0]
    assert flipped["flip"] is True


def test_coco_as_typed_on_a_fresh_machine(tiny_bundle: Path) -> None:
    result = vipnas("coco", "--weights", tiny_bundle)
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert "synthetic" in lines[0]
    assert "cocodataset.org" in lines[1]
    assert "AP50" in result.stdout
    assert "synthetic" in document("coco", "--weights", tiny_bundle)["dataset"]


def test_coco_results_score_the_same(stills: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ("coco", "--data", stills, "--weights", tiny_bundle)
    ran = document(*arguments, "--boxes", "detector", "--out", tmp_path / "results.json")
    assert ran["boxes"] == "detector"
    labels = stills / "annotations" / "synthetic.json"
    scored = document("coco", "--data", labels, "--predictions", tmp_path / "results.json")
    assert scored["metrics"] == ran["metrics"]
    assert set(scored["metrics"]) == {"AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"}
    assert "exists" in failure(OutputError, *arguments, "--out", tmp_path / "results.json").what


def test_results_without_a_place_are_refused_before_anything_runs(
    sequences: Path, stills: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in (coco, posetrack):
        monkeypatch.setattr(job, "_predicted", lambda *_: pytest.fail("a network ran"))
    (tmp_path / "file").write_text("precious")
    weights = ("--weights", tiny_bundle, "--out")
    error = failure(OutputError, "coco", "--data", stills, *weights, tmp_path / "nowhere" / "r.json")
    assert "nowhere does not exist" in error.what
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        error = failure(OutputError, "posetrack", "--data", sequences, *weights, place)
        assert "cannot be written" in error.what
    assert (tmp_path / "file").read_text() == "precious"


def test_pictures_are_drawn(sequences: Path, stills: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for command, data in (("posetrack", sequences), ("coco", stills)):
        arguments = (command, "--data", data, "--weights", tiny_bundle, "--plots", tmp_path / "plots")
        assert vipnas(*arguments).exit_code == 0
        assert (tmp_path / "plots" / f"{command}.png").read_bytes().startswith(b"\x89PNG")
        assert "exists" in failure(OutputError, *arguments).what


def test_checkpoints_run_too(stills: Path, sequences: Path, tiny_bundle: Path) -> None:
    checkpoint = tiny_bundle / "key.safetensors"
    bundled = document("coco", "--data", stills, "--weights", tiny_bundle)
    trained = document("coco", "--data", stills, "--weights", checkpoint)
    assert trained["pipeline"] == "key"
    assert trained["cost"]["macs_per_person_frame"] == bundled["cost"]["macs_per_person_frame"]
    for name, value in bundled["metrics"].items():
        if value is not None:
            assert math.isclose(trained["metrics"][name], value, abs_tol=0.5)
    assert len(document("posetrack", "--data", sequences, "--weights", checkpoint)["ablation"]) == 3
    error = failure(WeightsError, "coco", "--data", stills, "--weights", tiny_bundle / "follower-1.safetensors")
    assert "follower" in error.what


def test_data_from_the_environment_and_the_configuration(
    sequences: Path, stills: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tmp_path / "both"
    both.mkdir()
    (both / "coco").symlink_to(stills)
    (both / "posetrack").symlink_to(sequences)
    configuration = tmp_path / "config" / "vipnas" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f'data = "{both}"\n')
    arguments = ("--weights", tiny_bundle)
    assert document("coco", *arguments)["dataset"] == str(both)
    assert document("posetrack", *arguments)["synthetic"] is False
    monkeypatch.setenv("VIPNAS_DATA", str(stills))
    assert document("coco", *arguments)["dataset"] == str(stills)
    configuration.write_text("data = 5\n")
    monkeypatch.delenv("VIPNAS_DATA")
    assert "data is 5" in failure(UsageError, "coco", *arguments).what


@pytest.mark.parametrize("content", [b"data =", b"\xff\xfe", b"data = '/x'\ndata = '/y'"])
def test_a_damaged_configuration_is_an_error_that_is_told_once(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vipnas" / "config.toml"
    monkeypatch.setattr("vipnas_cli.cli.configuration.configuration_file", lambda: path)
    assert configured_data() is None
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not "):
        configured_data()
    result = vipnas("coco")
    assert isinstance(result.exception, UsageError)
    assert str(path) in result.exception.what
    assert str(path) not in result.output


def test_wrong_data_is_an_error_and_never_a_fallback(stills: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    for command in ("coco", "posetrack"):
        for wrong in (tmp_path / "nothing", tmp_path):
            error = failure(DataError, command, "--data", wrong, "--weights", tiny_bundle)
            assert str(wrong) in error.what
            assert "DIR" in error.hint
    assert "does not exist" in failure(DataError, "posetrack", "--data", stills, "--weights", tiny_bundle).what
    (stills / "annotations" / "other.json").write_text("{}")
    error = failure(DataError, "coco", "--data", stills, "--weights", tiny_bundle)
    (stills / "annotations" / "other.json").unlink()
    assert "other.json, synthetic.json" in error.what


def test_missing_pictures_are_told_one_by_one(sequences: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "annotations"
    lonely.symlink_to(sequences / "annotations")
    result = vipnas("posetrack", "--data", tmp_path, "--weights", tiny_bundle)
    assert isinstance(result.exception, DataError)
    assert "15 problems" in result.exception.what
    assert sum("does not exist" in line for line in result.stderr.splitlines()) == 15
