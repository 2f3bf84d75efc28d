"""Everything wrong with COCO data is told, each in one line that names file and id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli.data.checks.coco import result_problems, truth_problems
from vipnas_cli.data.files.coco import picture_file
from vipnas_cli.errors import DataError

FILE = Path("labels.json")


def document() -> dict[str, Any]:
    person = {
        "id": 5,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "area": 300.0,
        "bbox": [1.0, 2.0, 30.0, 20.0],
        "num_keypoints": 17,
        "keypoints": [10.0, 12.0, 2] * 17,
    }
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
    return {"images": [image], "annotations": [person, {**person, "id": 6}], "categories": [{"id": 1}]}


def result() -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [10.0, 12.0, 1.0] * 17}


def test_good_data_has_no_problem() -> None:
    assert truth_problems(FILE, document()) == []
    assert result_problems(FILE, [result()], document()) == []


@pytest.mark.parametrize(
    ("change", "words", "fatal"),
    [
        ({"image_id": 9}, "image 9 is not in the list", True),
        ({"keypoints": [0.0] * 15}, "15 keypoint values, expected 51", True),
        ({"bbox": [1.0]}, "is no box", True),
        ({"num_keypoints": 3}, "num_keypoints is 3, but 17", False),
        ({"keypoints": [900.0, 12.0, 2] * 17}, "far outside the picture of 64×48", False),
        ({"id": 6}, "this id occurs 2 times", False),
    ],
)
def test_a_problem_of_a_person_is_one_line(change: dict[str, Any], words: str, fatal: bool) -> None:
    content = document()
    content["annotations"][0].update(change)
    (problem,) = truth_problems(FILE, content)
    assert words in str(problem)
    assert str(problem).startswith("labels.json: annotation ")
    assert problem.fatal == fatal


def test_parts_that_are_missing() -> None:
    assert [problem.entry for problem in truth_problems(FILE, {"images": []})] == ["annotations", "categories"]
    assert "no COCO annotation document" in str(truth_problems(FILE, [])[0])
    content = document()
    del content["annotations"][1]["area"]
    content["images"].append(content["images"][0])
    lines = [str(problem) for problem in truth_problems(FILE, content)]
    assert lines == ["labels.json: image 1: this id occurs 2 times", "labels.json: annotation 6: no 'area'"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": 2}, "image 2 is not in the list"),
        ({"score": float("nan")}, "the score nan is not finite"),
        ({"keypoints": None}, "0 keypoint values"),
    ],
)
def test_a_problem_of_a_result_is_one_line(change: dict[str, Any], words: str) -> None:
    (problem,) = result_problems(FILE, [result(), {**result(), **change}], document())
    assert f"labels.json: result 1: {words}" in str(problem)


def test_results_must_be_a_list() -> None:
    assert "no list of results" in str(result_problems(FILE, {"a": 1}, document())[0])
    (problem,) = result_problems(FILE, [{key: value for key, value in result().items() if key != "score"}], document())
    assert "no 'score'" in str(problem)


def test_pictures_are_found_where_archives_unpack_them(tmp_path: Path) -> None:
    labels = tmp_path / "annotations" / "person_keypoints_val2017.json"
    labels.parent.mkdir()
    (problem,) = truth_problems(labels, document(), images=True)
    assert f"{tmp_path / 'images' / 'a.png'} does not exist" in str(problem)
    for folder in ("val2017", "images/val2017", "images"):
        picture = tmp_path / folder / "a.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), np.zeros((4, 4, 3), np.uint8))
        assert picture_file(labels, "a.png") == picture
    assert truth_problems(labels, document(), images=True) == []
    with pytest.raises(DataError, match="leads out"):
        picture_file(labels, "../a.png")
