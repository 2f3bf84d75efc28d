"""`vipnas data check` names what is wrong by id and says so by its exit code."""

import json
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.cli.data_check_job import check_job
from vipnas_cli.cli.options import CheckOptions
from vipnas_cli.data.checks.files import label_files
from vipnas_cli.data.sets import SetSize, write_synthetic_coco, write_synthetic_posetrack
from vipnas_cli.errors import DataError


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_coco(tmp_path_factory.mktemp("coco"), np.random.default_rng(0), SetSize(stills=2))


def test_sound_data_pass_and_are_counted(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_job(CheckOptions(coco.parents[1], quiet=True))
    told = capsys.readouterr().out
    assert "1 file (COCO): 2 images" in told
    assert "0 impossible" in told


def test_faults_are_named_by_id_and_fail(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(coco.read_text())
    document["annotations"][0]["bbox"] = [5, 5, 0, 10]
    document["annotations"].append(dict(document["annotations"][-1], image_id=99))
    broken = tmp_path / "annotations" / "broken.json"
    broken.parent.mkdir()
    broken.write_text(json.dumps(document))
    with pytest.raises(DataError, match="problems"):
        check_job(CheckOptions(broken, json=True, quiet=True))
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == 1
    told = {(problem["entry"].split(" (")[0], problem["what"]) for problem in result["problems"]}
    first, last = document["annotations"][0]["id"], document["annotations"][-1]["id"]
    assert (f"annotation {first}", "the box [5, 5, 0, 10] has no size") in told
    assert (f"annotation {last}", "image 99 is not in the list of images") in told
    assert (f"annotation {last}", "this id occurs 2 times") in told
    # The pictures did not move with the labels.
    assert sum(entry.startswith("image ") for entry, _ in told) == 2


def test_a_posetrack_folder_is_looked_through_sequence_by_sequence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_synthetic_posetrack(tmp_path, np.random.default_rng(0), SetSize(frames=2))
    files = label_files(tmp_path)
    assert files == sorted(labels.glob("*.json"))
    missing = tmp_path / json.loads(files[0].read_text())["images"][1]["file_name"]
    missing.unlink()
    with pytest.raises(DataError, match="1 problem"):
        check_job(CheckOptions(tmp_path, quiet=True))
    assert f"{missing.name} does not exist" in capsys.readouterr().out


def test_a_file_that_is_no_json_is_a_problem_not_a_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match="1 problem"):
        check_job(CheckOptions(tmp_path, quiet=True))
    assert "not readable JSON" in capsys.readouterr().out
    with pytest.raises(DataError, match="does not exist"):
        check_job(CheckOptions(tmp_path / "none", quiet=True))
