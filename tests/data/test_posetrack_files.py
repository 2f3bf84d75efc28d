"""PoseTrack18 files are read strictly, and what is written reads back the same."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipnas_cli.data.files.posetrack import NO_SCORE, read_predictions, read_truth, write_predictions
from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.metrics.posetrack import PredictedSequence, pose_scores
from vipnas_cli.pose import POSETRACK15
from vipnas_cli.pose.skeletons import POSETRACK18_FILE


def person(image: int, track: int, x: float) -> dict[str, Any]:
    keypoints = [[x + place, 10.0 * place, 1.0] for place in range(17)]
    keypoints[3] = keypoints[4] = [0.0, 0.0, 0.0]
    return {
        "id": 100 * image + track,
        "image_id": image,
        "track_id": track,
        "category_id": 1,
        "bbox": [x, 0.0, 20.0, 160.0],
        "bbox_head": [x, 0.0, 30.0, 40.0],
        "keypoints": [value for point in keypoints for value in point],
        "scores": [],
    }


def document() -> dict[str, Any]:
    images = [{"id": 7 + frame, "file_name": f"images/val/walk/{frame:06d}.jpg"} for frame in range(3)]
    return {
        "images": images,
        "annotations": [person(9, 1, 50.0), person(7, 0, 5.0), person(7, 1, 40.0)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(POSETRACK18_FILE)}],
    }


def saved(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_labels_by_hand(tmp_path: Path) -> None:
    content = document()
    content["images"][1]["ignore_regions_x"] = [[0, 10, 10]]
    content["images"][1]["ignore_regions_y"] = [[0, 0, 10]]
    del content["annotations"][0]["bbox"]
    (sequence,) = read_truth(saved(tmp_path / "walk.json", content))
    truth = sequence.truth
    assert truth.name == "walk"
    assert truth.frame_count == 3
    assert sequence.image_ids == (7, 8, 9)
    assert sequence.image_names[2] == "images/val/walk/000002.jpg"
    assert truth.frames.tolist() == [0, 0, 2]
    assert truth.track_ids.tolist() == [0, 1, 1]
    neck = POSETRACK15.index("neck")
    assert truth.points_frame[:, neck].tolist() == [[6, 10], [41, 10], [51, 10]]
    assert truth.labelled.all()
    assert truth.head_boxes_frame[1].tolist() == [40, 0, 70, 40]
    np.testing.assert_array_equal(sequence.boxes_frame, [[5, 0, 25, 160], [40, 0, 60, 160], [np.nan] * 4])
    assert [[polygon.tolist() for polygon in frame] for frame in truth.ignore_regions] == [
        [],
        [[[0, 0], [10, 0], [10, 10]]],
        [],
    ]


def test_joint_is_absent_only_if_all_three_values_are_zero(tmp_path: Path) -> None:
    content = document()
    for place, values in ((0, [0, 0, 0]), (5, [0, 0, 1]), (6, [3, 0, 0])):
        content["annotations"][1]["keypoints"][3 * place : 3 * place + 3] = values
    truth = read_truth(saved(tmp_path / "walk.json", content))[0].truth
    absent = [POSETRACK15.keypoints[joint] for joint in np.flatnonzero(~truth.labelled[0])]
    assert absent == ["nose"]


def test_folder_is_read_by_name_packed_or_not(tmp_path: Path) -> None:
    saved(tmp_path / "b.json", document())
    saved(tmp_path / "a.json.gz", document())
    labelled = read_truth(tmp_path)
    assert [sequence.truth.name for sequence in labelled] == ["a", "b"]
    assert [sequence.name for sequence in read_predictions(tmp_path, labelled[1:])] == ["b"]
    saved(tmp_path / "a.json", document())
    with pytest.raises(DataError, match="packed and unpacked"):
        read_truth(tmp_path)


def test_predictions_need_no_head_boxes_and_may_lack_scores(tmp_path: Path) -> None:
    content = document()
    labelled = read_truth(saved(tmp_path / "walk.json", content))
    for row in content["annotations"]:
        del row["bbox_head"], row["bbox"], row["scores"]
    content["annotations"][1]["scores"] = [place / 100 for place in range(17)]
    (predicted,) = read_predictions(saved(tmp_path / "result.json", content), labelled)
    assert predicted.name == "walk"
    assert predicted.scores[0, POSETRACK15.index("head_top")] == 0.02
    assert (predicted.scores[1:] == NO_SCORE).all()


def test_written_predictions_read_back_equal(tmp_path: Path) -> None:
    labelled = read_truth(saved(tmp_path / "walk.json", document()))
    generator = np.random.default_rng(0)
    present = generator.random((4, 15)) < 0.8
    predicted = PredictedSequence(
        "walk",
        3,
        np.array([0, 0, 1, 2]),
        np.array([3, 1, 3, 3]),
        generator.normal(100, 50, (4, 15, 2)) * present[..., None],
        present,
        generator.random((4, 15)),
    )
    folder = tmp_path / "new" / "results"
    assert write_predictions(folder, [predicted], labelled) == (folder / "walk.json",)
    assert [file.name for file in folder.iterdir()] == ["walk.json"]
    (again,) = read_predictions(folder, labelled)
    assert again.name == predicted.name
    assert again.frame_count == predicted.frame_count
    for field in ("frames", "track_ids", "points_frame", "present", "scores"):
        np.testing.assert_array_equal(getattr(again, field), getattr(predicted, field))
    with pytest.raises(OutputError, match=r"walk\.json exists"):
        write_predictions(folder, [predicted], labelled)


def test_truth_as_prediction_scores_100(tmp_path: Path) -> None:
    path = saved(tmp_path / "walk.json", document())
    labelled = read_truth(path)
    assert pose_scores([labelled[0].truth], read_predictions(path, labelled)).average_precision.total == 100


def _twice(content: dict[str, Any]) -> None:
    content["annotations"].append(person(9, 1, 80.0))


def _change(**values: Any) -> Any:
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_twice, "track id 1 twice in image 9"),
        (_change(keypoints=[1.0] * 48), "annotation 901 .* 48 numbers under 'keypoints', expected 51"),
        (_change(keypoints=[None] * 51), "annotation 901"),
        (_change(scores=[0.5] * 3), "annotation 901 .* 3 numbers under 'scores'"),
        (_change(track_id=None), "annotation 901 .*'track_id'"),
        (_change(image_id=99), "image 99"),
        (_change(bbox_head=[1, 2, 0, 0]), "annotation 901 .* head box without size"),
        (lambda content: content["annotations"][0].pop("bbox_head"), "annotation 901 .* no head box"),
        (lambda content: content["images"][1].pop("file_name"), "image 8 .*'file_name'"),
        (lambda content: content["images"][1].update(file_name="../secret.jpg"), "secret"),
        (lambda content: content["images"][1].update(file_name="/etc/passwd"), "passwd"),
        (lambda content: content["images"][1].update(id=7), "lists an image twice|does not list"),
        (lambda content: content["images"][1].update(ignore_regions_x=[[1, 2, 3]]), "image 8 .* ignore regions"),
        (lambda content: content["categories"][0]["keypoints"].__setitem__(1, "left_eye"), "head_bottom"),
        (lambda content: content.pop("categories"), "categories"),
        (lambda content: content.update(images={}), "images"),
    ],
)
def test_damaged_labels_are_named(tmp_path: Path, damage: Any, words: str) -> None:
    content = document()
    damage(content)
    path = saved(tmp_path / "walk.json", content)
    with pytest.raises(DataError, match=words) as caught:
        read_truth(path)
    assert caught.value.hint


def test_predictions_must_have_every_frame_in_order(tmp_path: Path) -> None:
    content = document()
    labelled = read_truth(saved(tmp_path / "walk.json", content))
    short = {**content, "images": [content["images"][0], content["images"][2]]}
    with pytest.raises(DataError, match=r"result\.json lacks the frame 8"):
        read_predictions(saved(tmp_path / "result.json", short), labelled)
    long = {**content, "images": [*content["images"], {"id": 10, "file_name": "x.jpg"}]}
    with pytest.raises(DataError, match="frame 10"):
        read_predictions(saved(tmp_path / "result.json", long), labelled)
    with pytest.raises(DataError, match="'walk'"):
        read_predictions(saved(tmp_path / "other" / "run.json", content).parent, labelled)
    with pytest.raises(DataError, match=r"has no \.json"):
        read_truth(saved(tmp_path / "empty" / "notes.txt", content).parent)
