"""COCO's ten numbers equal those of pycocotools, and bad data is named."""

from __future__ import annotations

import builtins
import contextlib
import copy
import dataclasses
import gzip
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipnas_cli.errors import DataError, VipnasError
from vipnas_cli.metrics.coco import evaluate_coco, precision_at_recall
from vipnas_cli.pose import COCO17

pytest.importorskip("faster_coco_eval")


def persons(seed: int, images: int = 12, most: int = 6, keypoints: int = 17) -> dict[str, Any]:
    """A ground truth with people of all sizes, crowds, and people with few or no labelled keypoints."""
    generator = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(generator.integers(0, most + 1)):
            x, y = generator.uniform(0, 400, 2)
            w, h = generator.uniform(10, 200, 2)
            points = np.stack([generator.uniform(x, x + w, keypoints), generator.uniform(y, y + h, keypoints)], axis=1)
            visible = generator.integers(0, 3, keypoints) * (generator.random() < 0.9)
            crowd = int(generator.random() < 0.1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": crowd,
                    "area": float(w * h * generator.uniform(0.3, 0.9)),
                    "bbox": [float(x), float(y), float(w), float(h)],
                    "keypoints": np.column_stack([points, visible]).ravel().tolist(),
                    "num_keypoints": int((visible > 0).sum()),
                }
            )
    return {
        "images": [{"id": image} for image in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def guesses(truth: dict[str, Any], seed: int, wrong: int = 3) -> list[dict[str, Any]]:
    """Noisy copies of most people and `wrong` inventions per image, some sharing a score."""
    generator = np.random.default_rng(seed + 1000)
    results = []
    for person in truth["annotations"]:
        pose = np.array(person["keypoints"]).reshape(-1, 3)
        for _ in range(generator.integers(0, 3)):
            noise = generator.normal(0, 0.08 * math.sqrt(person["area"]) * generator.random(), (len(pose), 2))
            results.append((person["image_id"], pose[:, :2] + noise, len(pose)))
    keypoints = len(truth["annotations"][0]["keypoints"]) // 3
    for image in truth["images"]:
        results += [(image["id"], generator.uniform(0, 400, (keypoints, 2)), keypoints) for _ in range(wrong)]
    return [
        {
            "image_id": image,
            "category_id": 1,
            "keypoints": np.column_stack([points, np.ones(count)]).ravel().tolist(),
            "score": round(float(generator.random()), 2),
        }
        for image, points, count in results
    ]


def pycocotools_numbers(truth: dict[str, Any], results: list[dict[str, Any]], sigmas: tuple[float, ...]) -> list[float]:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        api = coco.COCO()
        api.dataset = copy.deepcopy(truth)
        api.createIndex()
        evaluator = cocoeval.COCOeval(api, api.loadRes(copy.deepcopy(results)), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def numbers(scores: Any) -> list[float]:
    return [-1.0 if math.isnan(value) else value / 100 for value in dataclasses.astuple(scores)]


@pytest.mark.parametrize(
    ("seed", "images", "most", "wrong"), [(0, 12, 6, 3), (1, 30, 3, 0), (2, 4, 12, 25), (3, 3, 30, 5), (4, 1, 2, 1)]
)
def test_equal_to_pycocotools(seed: int, images: int, most: int, wrong: int) -> None:
    truth = persons(seed, images, most)
    results = guesses(truth, seed, wrong)
    ours = numbers(evaluate_coco(truth, results))
    np.testing.assert_allclose(ours, pycocotools_numbers(truth, results, COCO17.sigmas), rtol=0, atol=1e-12)


def test_equal_to_pycocotools_with_other_keypoints() -> None:
    sigmas = (0.03, 0.05, 0.07, 0.09, 0.1)
    truth = persons(7, keypoints=5)
    results = guesses(truth, 7)
    ours = numbers(evaluate_coco(truth, results, sigmas))
    np.testing.assert_allclose(ours, pycocotools_numbers(truth, results, sigmas), rtol=0, atol=1e-12)


def test_truth_as_prediction_scores_100() -> None:
    truth = persons(5)
    truth["annotations"] = [p for p in truth["annotations"] if p["num_keypoints"] and not p["iscrowd"]]
    results = [{**person, "score": 1.0} for person in truth["annotations"]]
    scores = evaluate_coco(truth, results)
    assert pytest.approx(100) == scores.AP
    assert pytest.approx(100) == scores.AR


def test_no_results_score_zero_and_missing_sizes_are_undefined() -> None:
    truth = persons(6)
    assert evaluate_coco(truth, []).AP == 0
    for person in truth["annotations"]:
        person["area"] = 200.0**2
    scores = evaluate_coco(truth, guesses(truth, 6))
    assert math.isnan(scores.APM)
    assert scores.APL > 0


def test_an_annotation_with_id_zero_counts_like_any_other() -> None:
    truth = persons(8)
    results = guesses(truth, 8)
    expected = evaluate_coco(truth, results)
    for person in truth["annotations"]:
        person["id"] -= 1
    assert evaluate_coco(truth, results) == expected


def test_inputs_are_left_alone_and_files_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = persons(9)
    results = guesses(truth, 9)
    before = copy.deepcopy((truth, results))
    expected = evaluate_coco(truth, results)
    assert (truth, results) == before
    plain, packed = tmp_path / "truth.json", tmp_path / "truth.json.gz"
    plain.write_text(json.dumps(truth))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert evaluate_coco(plain, results) == evaluate_coco(packed, results) == expected
    assert capsys.readouterr() == ("", "")


def test_bad_data_is_named(tmp_path: Path) -> None:
    truth = persons(10)
    good = guesses(truth, 10)[0]
    for change, words in (
        ({"image_id": 99}, "image 99"),
        ({"keypoints": [1.0, 2.0]}, "2 keypoint values"),
        ({"keypoints": [math.nan] * 51}, "51 keypoint values, expected 51 finite"),
        ({"score": math.inf}, "result 1 has the score inf"),
    ):
        with pytest.raises(DataError, match=words):
            evaluate_coco(truth, [good, {**good, **change}])
    with pytest.raises(DataError, match="result 0 lacks 'score'"):
        evaluate_coco(truth, [{key: value for key, value in good.items() if key != "score"}])
    truth["annotations"][2]["keypoints"] = [0.0] * 5
    with pytest.raises(DataError, match="annotation 3"):
        evaluate_coco(truth, [good])
    broken = tmp_path / "broken.json.gz"
    broken.write_bytes(gzip.compress(b'{"images": []}')[:-9])
    for path in (broken, tmp_path / "nothing.json"):
        with pytest.raises(DataError, match=path.name):
            evaluate_coco(path, [])


def test_missing_extra_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("faster_coco_eval"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(VipnasError, match="not installed") as caught:
        evaluate_coco(persons(11), [])
    assert "pip install 'vipnas[eval]'" in caught.value.hint


def test_without_labels_there_is_no_curve() -> None:
    truth = {**persons(0), "annotations": []}
    curve = precision_at_recall(truth, [])
    assert curve.shape == (10, 101)
    assert np.isnan(curve).all()
