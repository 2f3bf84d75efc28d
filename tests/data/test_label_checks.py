"""What spoils training is found and named."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli.data.checks.labels import label_problems, picture_problems
from vipnas_cli.pose import COCO17

FILE = Path("labels.json")


def person(**changes: Any) -> dict[str, Any]:
    """Someone upright who looks into the camera: left is to the right in the picture."""
    values = []
    heights = {"nose": 20, "eye": 18, "ear": 20, "shoulder": 40, "elbow": 60, "wrist": 80}
    heights |= {"hip": 90, "knee": 120, "ankle": 150}
    for name in COCO17.keypoints:
        side, _, part = name.rpartition("_")
        reach = 4 if part in ("eye", "ear") else 15
        values += [60 + (reach if side == "left" else -reach if side else 0), heights[part], 2]
    return {"id": 5, "image_id": 1, "category_id": 1, "bbox": [35, 10, 50, 150], "keypoints": values, **changes}


def problems(row: dict[str, Any]) -> list[tuple[str, bool]]:
    image = {"id": 1, "file_name": "a.png", "width": 120, "height": 170}
    category = {"id": 1, "keypoints": list(COCO17.keypoints)}
    found = label_problems(FILE, {"images": [image], "annotations": [row], "categories": [category]})
    assert all(problem.entry == "annotation 5 (image 1)" for problem in found)
    return [(problem.what, problem.fatal) for problem in found]


def with_keypoint(name: str, triple: list[float]) -> list[float]:
    values = list(person()["keypoints"])
    place = 3 * COCO17.index(name)
    values[place : place + 3] = triple
    return values


def test_a_sound_person_has_no_problem() -> None:
    assert problems(person()) == []


@pytest.mark.parametrize(
    ("row", "what", "fatal"),
    [
        (person(bbox=[35, 10, 0, 150]), "has no size", True),
        (person(bbox=[200, 10, 50, 150]), "outside the picture", True),
        (person(bbox=[35, 10, 150, 150]), "far out of the picture", False),
        (person(keypoints=with_keypoint("left_knee", [0, 0, 2])), "left_knee at (0, 0)", True),
        (person(keypoints=with_keypoint("nose", [60, 20, 3])), "visibility of nose", True),
        (person(keypoints=with_keypoint("right_wrist", [60, 300, 2])), "right_wrist far outside the box", False),
    ],
)
def test_each_fault_is_named(row: dict[str, Any], what: str, fatal: bool) -> None:
    found, impossible = problems(row)[0]
    assert what in found
    assert impossible == fatal


def test_exchanged_sides_of_the_body_are_suspected() -> None:
    values = np.array(person()["keypoints"]).reshape(17, 3)
    order = list(COCO17.flip_order)
    whole = values[order]
    body = np.where(np.arange(17)[:, None] > 4, whole, values)
    assert problems(person(keypoints=body.ravel().tolist())) == [("left and right look swapped", False)]
    # Seen from behind, face and body agree.
    assert problems(person(keypoints=whole.ravel().tolist())) == []


def test_pictures_missing_broken_or_of_another_size_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "right.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows = [
        {"id": 1, "file_name": "right.png", "width": 30, "height": 20},
        {"id": 2, "file_name": "right.png", "width": 20, "height": 30},
        {"id": 3, "file_name": "broken.png"},
        {"id": 4, "file_name": "none.png"},
        {"id": 5, "file_name": "../right.png"},
    ]
    found = list(picture_problems(FILE, rows, tmp_path))
    assert [len(one) for one in found] == [0, 1, 1, 1, 1]
    texts = [problem.what for one in found for problem in one]
    assert "30×20 pixels, the labels say 20×30" in texts[0]
    assert [text.split(" ", 1)[1] for text in texts[1:3]] == ["is not a readable image", "does not exist"]
    assert "leads out of" in texts[3]
