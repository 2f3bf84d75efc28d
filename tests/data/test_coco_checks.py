"""Everything wrong with COCO data is told, each in one line that names file and id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli.data.checks.coco import result_problems, truth_problems
from vipnas_cli.data.files.coco import (
    folder_above,
    people_only,
    person_ids,
    picture_file,
    read_images,
    read_people,
    results_of_people,
)
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


def with_bottles(person: int, bottle: int) -> dict[str, Any]:
    """The document, its persons in a category of another number, and bottles beside them."""
    content = document()
    content["categories"] = [{"id": bottle, "name": "bottle"}, {"id": person, "name": "person"}]
    for row in content["annotations"]:
        row["category_id"] = person
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": bottle, "bbox": [0, 0, 5, 5]})
    return content


@pytest.mark.parametrize("person", [0, 1, 18])
def test_the_categories_of_a_file_decide_who_is_a_person(tmp_path: Path, person: int) -> None:
    content = with_bottles(person, 44)
    assert truth_problems(FILE, content) == []
    people = people_only(content, FILE)
    assert [row["id"] for row in people["annotations"]] == [5, 6]
    assert [row["id"] for row in people["categories"]] == [person]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(content))
    assert len(read_people(labels)) == 2
    assert [len(image.boxes_frame) for image in read_images(labels)] == [2]


def test_results_are_of_the_category_that_the_labels_call_persons(tmp_path: Path) -> None:
    truth, path = people_only(with_bottles(18, 44), FILE), tmp_path / "results.json"
    path.write_text(json.dumps([{**result(), "category_id": 18}, {**result(), "category_id": 44}]))
    assert [row["category_id"] for row in results_of_people(path, truth)] == [18]
    path.write_text(json.dumps([result()]))
    with pytest.raises(DataError, match="category 1 only, but persons are category 18"):
        results_of_people(path, truth)
    # A file of labels says itself who is a person.
    path.write_text(json.dumps(with_bottles(0, 1)))
    assert [row["category_id"] for row in results_of_people(path, truth)] == [18, 18]


def test_files_without_persons_are_refused() -> None:
    content = {**document(), "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "car"}]}
    assert "no category of persons, only 1 cup, 2 car" in str(truth_problems(FILE, content)[0])
    with pytest.raises(DataError, match="category 1 only, but persons are category 3"):
        people_only({**document(), "categories": [{"id": 3, "name": "person"}]}, FILE)


NUMBERS = [True, 1e300, 10**400, float("nan"), float("inf"), -1, 2**63]
ODD: list[Any] = [*NUMBERS, None, [], [1], {}, "x", [[[[]]]], "\ud800"]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_values_are_told_and_never_fail(odd: Any) -> None:
    for part in ("images", "annotations", "categories"):
        for name in document()[part][0]:
            content = document()
            content[part][0][name] = odd
            for problem in truth_problems(FILE, content):
                assert len(str(problem)) < 300
        content = document()
        content[part] = odd
        truth_problems(FILE, content)
    for name in result():
        result_problems(FILE, [{**result(), name: odd}], document())


@pytest.mark.parametrize(("name", "value"), [("bbox", None), ("area", "big"), ("iscrowd", 7), ("num_keypoints", [1])])
def test_values_of_wrong_types_are_problems(name: str, value: Any) -> None:
    content = document()
    content["annotations"][0][name] = value
    (problem,) = [one for one in truth_problems(FILE, content) if one.fatal]
    assert name in str(problem)


def test_labels_may_have_several_categories_of_persons(tmp_path: Path) -> None:
    content, path = document(), tmp_path / "results.json"
    content["categories"] = [{"id": 0, "name": "people"}, {"id": 1, "name": "person"}]
    persons = person_ids(content["categories"], FILE)
    truth = people_only(content, FILE)
    assert {row["category_id"] for row in truth["annotations"]} == {0}
    path.write_text(json.dumps([result(), {**result(), "category_id": 0}, {**result(), "category_id": 2}]))
    assert [row["category_id"] for row in results_of_people(path, truth, persons)] == [0, 0]


def test_a_category_without_an_id_is_that_of_persons() -> None:
    content = document()
    content["categories"] = [{"name": "person", "keypoints": ["nose"]}]
    assert truth_problems(FILE, content) == []
    assert people_only(content, FILE)["categories"] == [{"id": 1}]


@pytest.mark.parametrize("stated", [{"num_keypoints": 17}, {"num_keypoints": None}, {}])
def test_labelled_keypoints_are_counted_where_their_number_is_missing(tmp_path: Path, stated: dict[str, Any]) -> None:
    content, path = document(), tmp_path / "annotations" / "labels.json"
    path.parent.mkdir()
    for row in content["annotations"]:
        del row["num_keypoints"]
        row.update(stated)
    content["annotations"][1]["keypoints"] = [10.0, 12.0, 2] * 2 + [0.0, 0.0, 0] * 15
    content["annotations"][1].update({"num_keypoints": 2} if stated.get("num_keypoints") else {})
    path.write_text(json.dumps(content))
    assert len(read_people(path, minimum_joints=3)) == 1
    assert len(read_people(path, minimum_joints=2)) == 2


@pytest.mark.parametrize(
    ("folder", "typed"),
    [("", "set/annotations/labels.json"), ("set", "annotations/labels.json"), ("set/annotations", "labels.json")],
)
def test_pictures_are_found_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, typed: str
) -> None:
    labels = tmp_path / "set" / "annotations" / "labels.json"
    picture = tmp_path / "set" / "images" / "a.png"
    for path in (labels, picture):
        path.parent.mkdir(parents=True)
    labels.write_text(json.dumps(document()))
    cv2.imwrite(str(picture), np.zeros((48, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path / folder)
    for path in (Path(typed), Path("..") / Path.cwd().name / typed):
        assert picture_file(path, "a.png").resolve() == picture
        assert truth_problems(path, document(), images=True) == []
        assert read_people(path)[0].image.resolve() == picture


def test_folders_above_a_path() -> None:
    assert folder_above(Path("a/b/c.json"), 2) == Path("a")
    assert folder_above(Path("b/c.json"), 2) == Path()
    assert folder_above(Path("c.json"), 2) == Path.cwd().parent
    assert folder_above(Path("/c.json"), 3) == Path("/")
