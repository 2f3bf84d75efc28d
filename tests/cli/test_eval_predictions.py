"""`vipnas eval … --predictions`: any tool's results, without images, with the numbers of the reference tools."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import vipnas_cli
from vipnas_cli.cli.app import app
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.pose.skeletons import POSETRACK18_FILE

DATA = os.environ.get("VIPNAS_TEST_DATA")
CASES = sorted(Path(DATA).glob("clips/posetrack_oracle/*/expected.json")) if DATA else []


@pytest.fixture(autouse=True)
def fresh_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VIPNAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def vipnas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def scored(*arguments: str | Path) -> dict[str, Any]:
    result = vipnas(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def sequence(people: list[tuple[int, int, float]], frames: int = 3) -> dict[str, Any]:
    """People (frame, track, x) with all joints in a column at x; head boxes of 30 by 40, so a reach of 15 pixels."""
    annotations = [
        {
            "id": 10 * frame + track,
            "image_id": frame,
            "track_id": track,
            "bbox_head": [0.0, 0.0, 30.0, 40.0],
            "keypoints": [value for place in range(17) for value in (x, 10.0 + 10 * place, 1.0)],
            "scores": [1.0 - 0.001 * number] * 17,
        }
        for number, (frame, track, x) in enumerate(people)
    ]
    images = [{"id": frame, "file_name": f"images/val/walk/{frame}.jpg"} for frame in range(frames)]
    categories = [{"id": 1, "name": "person", "keypoints": list(POSETRACK18_FILE)}]
    return {"images": images, "annotations": annotations, "categories": categories}


def saved(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_labels_scored_as_predictions_give_100(tmp_path: Path) -> None:
    truth = saved(tmp_path / "walk.json", sequence([(0, 0, 50), (0, 1, 200), (1, 0, 60), (2, 0, 70)]))
    metrics = scored("posetrack", "--data", truth, "--predictions", truth)["metrics"]
    for name in ("Head", "Shou", "Elb", "Wri", "Hip", "Knee", "Ankl", "Total", "MOTA", "MOTP", "PCK@0.05"):
        assert metrics[name] == 100


def test_numbers_computed_by_hand(tmp_path: Path) -> None:
    truth = saved(tmp_path / "gt.json", sequence([(0, 0, 50), (1, 0, 50), (2, 0, 50), (3, 0, 50)], frames=4))
    # Found; found with another id; 20 pixels aside, which is beyond the reach; the last frame does not count for MOTA.
    people = [(0, 7, 50), (1, 8, 50), (2, 8, 70), (3, 9, 50)]
    predictions = saved(tmp_path / "p.json", sequence(people, frames=4))
    found = scored("posetrack", "--data", truth, "--predictions", predictions)
    # Ranked by score: right, right, wrong, right of four labels: 1/4 + 1/4 + 1/4 · 3/4.
    assert found["metrics"]["Total"] == pytest.approx(100 * (2 / 4 + 3 / 16))
    # Of three objects: one miss, one false positive, one switch.
    assert found["metrics"]["MOTA"] == pytest.approx(0)
    assert found["metrics"]["recall"] == pytest.approx(75)
    # The limbs, shoulders to ankles, are 110 pixels long: 20 pixels are within 0.2 of it, not within 0.1.
    assert [found["metrics"][name] for name in ("PCK@0.2", "PCK@0.1", "PCK@0.05")] == [100, 75, 75]
    plain = scored("posetrack", "--data", truth, "--predictions", predictions, "--mot", "clear-mot")
    # Of four objects: one miss, one false positive, two switches.
    assert plain["metrics"]["MOTA"] == pytest.approx(0)
    assert plain["metrics"]["MOT_recall"] == pytest.approx(75)
    assert plain["metrics"]["Total"] == found["metrics"]["Total"]
    few = scored("posetrack", "--data", truth, "--predictions", predictions, "--joint-score", "0.9995")
    assert few["metrics"]["recall"] == pytest.approx(25)


def test_folders_and_files_with_their_own_table(tmp_path: Path) -> None:
    for name in ("run", "walk"):
        saved(tmp_path / "gt" / f"{name}.json", sequence([(0, 0, 50), (1, 0, 60)]))
        saved(tmp_path / "pred" / f"{name}.json", sequence([(0, 0, 50), (1, 0, 60 if name == "run" else 160)]))
    result = vipnas("posetrack", "--data", tmp_path / "gt", "--predictions", tmp_path / "pred")
    assert result.exit_code == 0, result.exception
    rows = {
        line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.startswith(("run", "walk"))
    }
    assert rows["run"][:2] == ["3", "100.0"]
    assert float(rows["walk"][1]) == pytest.approx(50)


def test_problems_are_told_before_scoring(tmp_path: Path) -> None:
    truth = saved(tmp_path / "gt.json", sequence([(0, 0, 50), (1, 0, 60)]))
    broken = sequence([(0, 0, 50), (1, 0, 60)])
    broken["images"].pop()
    broken["annotations"][1]["keypoints"] = [1.0]
    result = vipnas("posetrack", "--data", truth, "--predictions", saved(tmp_path / "p.json", broken), "--quiet")
    assert isinstance(result.exception, DataError)
    assert "2 problems" in result.exception.what
    assert "annotation 10 (image 1): 1 keypoint values, expected 51" in result.stderr
    assert "image 2: missing frame" in result.stderr
    assert result.stdout == "" or "AP" not in result.stdout


def test_predictions_need_labels(tmp_path: Path) -> None:
    predictions = saved(tmp_path / "p.json", [])
    for command in ("coco", "posetrack"):
        result = vipnas(command, "--predictions", predictions)
        assert isinstance(result.exception, UsageError)
        assert "--data" in result.exception.hint


@pytest.mark.skipif(not CASES, reason="VIPNAS_TEST_DATA has no clips/posetrack_oracle")
@pytest.mark.parametrize("case", CASES, ids=[case.parent.name for case in CASES])
def test_equal_to_poseval(case: Path) -> None:
    expected = json.loads(case.read_text())
    found = scored("posetrack", "--data", case.parent / "gt", "--predictions", case.parent / "pred")["joints"]
    for name, joints in found.items():
        for joint, value in joints.items():
            wanted = expected[name][joint]
            assert (value is None) == (wanted is None)
            if wanted is not None:
                assert math.isclose(value, wanted, rel_tol=0, abs_tol=1e-9), (name, joint)


def crowded(generator: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Images with up to 30 people of all sizes, crowds and missing keypoints, and guesses of all qualities."""
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, 9):
        for _ in range(int(generator.integers(0, 31))):
            corner, size = generator.uniform(0, 300, 2), generator.uniform(10, 180, 2)
            points = corner + size * generator.random((17, 2))
            flags = generator.integers(0, 3, 17) * (generator.random() < 0.85)
            triples = np.concatenate([points, flags[:, None]], 1)
            area = float(size.prod() * generator.uniform(0.3, 0.9))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": int(generator.random() < 0.1),
                    "area": area,
                    "bbox": [*map(float, corner), *map(float, size)],
                    "keypoints": triples.reshape(-1).tolist(),
                    "num_keypoints": int((flags > 0).sum()),
                }
            )
            noise = generator.normal(0, 0.1 * math.sqrt(area) * generator.random(), (17, 2))
            guess = np.concatenate([points + noise, np.ones((17, 1))], 1)
            score = round(float(generator.random()), 2)
            keypoints = guess.reshape(-1).tolist()
            results.append({"image_id": image, "category_id": 1, "keypoints": keypoints, "score": score})
    truth = {
        "images": [{"id": image, "width": 480, "height": 480} for image in range(1, 9)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return truth, results


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_pycocotools(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("faster_coco_eval")
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth, results = crowded(np.random.default_rng(seed))
    with contextlib.redirect_stdout(io.StringIO()):
        api = coco.COCO()
        api.dataset = copy.deepcopy(truth)
        api.createIndex()
        evaluator = cocoeval.COCOeval(api, api.loadRes(copy.deepcopy(results)), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    arguments = ("--data", saved(tmp_path / "gt.json", truth), "--predictions", saved(tmp_path / "r.json", results))
    found = scored("coco", *arguments)["metrics"]
    ours = [-1.0 if value is None else value / 100 for value in found.values()]
    np.testing.assert_allclose(ours, evaluator.stats, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "extra",
    [
        [{"bbox": [1, 2, 3, 4]}, {}],
        [{"bbox": None}],
        [{"segmentation": [[1, 1, 5, 1, 5, 5]]}],
        [{"segmentation": {"size": [480, 480], "counts": [10, 20]}}, {"id": "x", "area": "large"}],
    ],
)
def test_further_fields_of_results_do_not_count(tmp_path: Path, extra: list[dict[str, Any]]) -> None:
    pytest.importorskip("faster_coco_eval")
    truth, results = crowded(np.random.default_rng(4))
    labels, plain = saved(tmp_path / "gt.json", truth), saved(tmp_path / "r.json", results)
    more = [{**row, **extra[number % len(extra)]} for number, row in enumerate(results)]
    wanted = scored("coco", "--data", labels, "--predictions", plain)["metrics"]
    found = scored("coco", "--data", labels, "--predictions", saved(tmp_path / "more.json", more))["metrics"]
    assert found == wanted


def test_results_of_all_categories_of_persons_count(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    truth, _ = crowded(np.random.default_rng(5))
    truth["annotations"] = [row for row in truth["annotations"] if row["num_keypoints"] and not row["iscrowd"]][:12]
    truth["categories"] = [{"id": 1, "name": "person"}, {"id": 2, "name": "pedestrian"}]
    for row in truth["annotations"][::2]:
        row["category_id"] = 2
    results = [
        {name: row[name] for name in ("image_id", "category_id", "keypoints")} | {"score": 0.5}
        for row in truth["annotations"]
    ]
    arguments = ("--data", saved(tmp_path / "gt.json", truth), "--predictions", saved(tmp_path / "r.json", results))
    document = scored("coco", *arguments)
    assert document["results"] == 12
    assert document["metrics"]["AP"] == pytest.approx(100)


def test_coco_labels_scored_as_results_give_100(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    truth, _ = crowded(np.random.default_rng(2))
    # At most 20 results per image count, so more labels could not all be found.
    truth["annotations"] = [row for number, row in enumerate(truth["annotations"]) if number % 2]
    path = saved(tmp_path / "gt.json", truth)
    metrics = scored("coco", "--data", path, "--predictions", path)["metrics"]
    assert metrics["AP"] == pytest.approx(100)
    assert metrics["AR"] == pytest.approx(100)


def test_images_of_results_are_those_with_their_names(tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    truth, results = crowded(np.random.default_rng(4))
    truth["images"] = [{**image, "file_name": f"{image['id']}.jpg"} for image in truth["images"]]
    labels, plain = saved(tmp_path / "gt.json", truth), saved(tmp_path / "r.json", results)
    wanted = scored("coco", "--data", labels, "--predictions", plain)["metrics"]
    renamed = [{**image, "id": 100 - image["id"]} for image in truth["images"]]
    rows = [{**row, "image_id": 100 - row["image_id"], "num_keypoints": 17} for row in results]
    whole = saved(tmp_path / "whole.json", {"images": renamed, "annotations": rows})
    assert scored("coco", "--data", labels, "--predictions", whole)["metrics"] == wanted


def test_problems_of_results_are_told(tmp_path: Path) -> None:
    truth, results = crowded(np.random.default_rng(3))
    results[4]["image_id"] = 99
    results[7]["keypoints"] = results[7]["keypoints"][:-3]
    arguments = ("--data", saved(tmp_path / "gt.json", truth), "--predictions", saved(tmp_path / "r.json", results))
    result = vipnas("coco", *arguments)
    assert isinstance(result.exception, DataError)
    assert "result 4: image 99 is not in the list" in result.stderr
    assert "result 7: 48 keypoint values, expected 51" in result.stderr


def in_a_fresh_interpreter(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(vipnas_cli.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_failure_is_a_sentence_and_an_exit_code(tmp_path: Path) -> None:
    saved(tmp_path / "p.json", [])
    arguments = ["vipnas", "eval", "coco", "--data", "nothing", "--predictions", "p.json"]
    program = f"import sys; sys.argv = {arguments}; from vipnas_cli.cli.app import main; main()"
    result = in_a_fresh_interpreter(program, tmp_path)
    assert result.returncode == DataError.exit_code
    assert result.stderr.startswith("vipnas: nothing does not exist.")
    assert "DIR/annotations" in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_optional_is_loaded_before_it_is_needed(tmp_path: Path) -> None:
    program = (
        "import sys; import vipnas_cli.cli.eval.coco, vipnas_cli.cli.eval.posetrack; "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = set(in_a_fresh_interpreter(program, tmp_path).stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "safetensors", "matplotlib", "faster_coco_eval"}
