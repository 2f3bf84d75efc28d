"""Everything wrong with PoseTrack18 files is told, each in one line that names file and id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli.data.checks.posetrack import label_release, prediction_problems, truth_problems
from vipnas_cli.data.checks.problems import any_fatal
from vipnas_cli.pose.skeletons import POSETRACK18_FILE


def person(image: int, track: int) -> dict[str, Any]:
    return {
        "id": 100 * image + track,
        "image_id": image,
        "track_id": track,
        "bbox": [5.0, 5.0, 20.0, 40.0],
        "bbox_head": [5.0, 5.0, 8.0, 8.0],
        "keypoints": [10.0, 20.0, 1.0] * 17,
        "scores": [0.5] * 17,
    }


def document() -> dict[str, Any]:
    return {
        "images": [{"id": 7 + i, "file_name": f"images/val/walk/{i}.png", "width": 64, "height": 48} for i in range(3)],
        "annotations": [person(7, 0), person(7, 1), person(9, 0)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(POSETRACK18_FILE)}],
    }


def saved(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def told(tmp_path: Path, content: Any) -> list[str]:
    """The lines about labels."""
    return [str(problem) for problem in truth_problems(saved(tmp_path / "walk.json", content))]


def test_good_labels_and_predictions_have_no_problem(tmp_path: Path) -> None:
    path = saved(tmp_path / "gt" / "walk.json", document())
    assert truth_problems(path) == truth_problems(path.parent) == []
    assert prediction_problems(path, path) == prediction_problems(path.parent, path.parent) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 99}, "does not list this image"),
        ({"track_id": None}, "no valid track id: None"),
        ({"track_id": 1}, "image 7: track id 1 occurs twice"),
        ({"keypoints": [1.0] * 45}, "45 keypoint values, expected 51"),
        ({"keypoints": [float("nan")] * 51}, "51 keypoint values, expected 51 finite"),
        ({"scores": [0.5]}, "1 scores, expected 17"),
        ({"bbox": [1, 2]}, "is no box"),
        ({"bbox_head": [5.0, 5.0, 0.0, 0.0]}, "has no size"),
        ({"bbox_head": None}, "no head box"),
    ],
)
def test_a_fatal_problem_of_a_person_is_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    content = document()
    content["annotations"][0].update(change)
    (line,) = told(tmp_path, content)
    assert words in line
    assert line.startswith(f"{tmp_path / 'walk.json'}: ")
    assert "700" in line or "image 7" in line
    assert "warning" not in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"track_id": 12345}, "not between 0 and 9999"),
        ({"bbox": [5.0, 5.0, 0.0, 40.0]}, "has no size"),
        ({"keypoints": [640.0, 20.0, 1.0] * 17}, "far outside the picture of 64×48"),
        ({"id": 701}, "this id occurs 2 times"),
    ],
)
def test_what_can_be_scored_is_a_warning(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    content = document()
    content["annotations"][0].update(change)
    (line,) = told(tmp_path, content)
    assert words in line
    assert line.endswith("(warning)")


def test_all_problems_are_told_not_only_the_first(tmp_path: Path) -> None:
    content = document()
    content["images"][1]["id"] = 7
    content["images"][2]["width"] = 0
    content["annotations"][0]["keypoints"] = []
    content["annotations"][2]["image_id"] = 55
    lines = "\n".join(told(tmp_path, content))
    for words in ("image 7: listed 2 times", "width is 0", "0 keypoint values", "(image 55): the file does not list"):
        assert words in lines


def test_files_that_are_something_else(tmp_path: Path) -> None:
    assert "not readable JSON" in told_raw(tmp_path, "{")
    assert "no PoseTrack18 document" in told_raw(tmp_path, "[]")
    assert "annotations: this list is missing" in told_raw(tmp_path, '{"images": []}')
    content = document()
    content["categories"][0]["keypoints"].remove("left_knee")
    assert "no keypoint 'left_knee'" in told(tmp_path, content)[0]
    content = document()
    content["images"] = []
    assert "no frames" in told(tmp_path, content)[0]


def told_raw(tmp_path: Path, text: str) -> str:
    path = tmp_path / "walk.json"
    path.write_text(text)
    (problem,) = truth_problems(path)
    return str(problem)


def test_pictures_must_exist_in_the_stated_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "annotations" / "val" / "walk.json", document())
    missing = truth_problems(path, tmp_path)
    assert len(missing) == 3
    assert "image 8: " in str(missing[1])
    for image in document()["images"]:
        picture = tmp_path / image["file_name"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    assert truth_problems(path, tmp_path) == []
    cv2.imwrite(str(tmp_path / "images/val/walk/0.png"), np.zeros((24, 32, 3), np.uint8))
    (problem,) = truth_problems(path, tmp_path)
    assert "32×24 pixels, the labels say 64×48" in str(problem)


def test_predictions_need_every_frame_in_order(tmp_path: Path) -> None:
    truth = saved(tmp_path / "gt.json", document())
    content = document()
    lost = content["images"].pop(1)
    (problem,) = prediction_problems(saved(tmp_path / "p.json", content), truth)
    assert "image 8: missing frame" in str(problem)
    content["images"].append(lost)
    (problem,) = prediction_problems(saved(tmp_path / "p.json", content), truth)
    assert "not in the order of the labels" in str(problem)
    content["images"].append({"id": 10})
    lines = [str(problem) for problem in prediction_problems(saved(tmp_path / "p.json", content), truth)]
    assert "image 10: the labels lack this frame" in lines[0]


def test_sequences_without_predictions_or_labels(tmp_path: Path) -> None:
    truth, guesses = tmp_path / "gt", tmp_path / "pred"
    for name in ("run", "walk"):
        saved(truth / f"{name}.json", document())
    for name in ("walk", "swim"):
        saved(guesses / f"{name}.json", document())
    missing, extra = prediction_problems(guesses, truth)
    assert "run: no predictions" in str(missing)
    assert "swim.json: no labels" in str(extra)
    assert any_fatal([missing])
    assert not any_fatal([extra])


def test_predictions_without_scores_are_a_warning(tmp_path: Path) -> None:
    truth = saved(tmp_path / "gt.json", document())
    content = document()
    content["annotations"][1]["scores"] = []
    (problem,) = prediction_problems(saved(tmp_path / "p.json", content), truth)
    assert "1 of 3 have no scores" in str(problem)
    assert not problem.fatal


def test_releases_are_told_apart() -> None:
    assert "v0.2" in label_release(74, "val")
    assert "v0.45" in label_release(170, "val")
    assert "no release" in label_release(64, "val")
    assert "no release" in label_release(74, "train")
