"""Boxes of other programs, in the three formats that are read."""

import json
from pathlib import Path

import pytest

from vipnas_cli.data.files.boxes import read_boxes
from vipnas_cli.errors import DataError

EXPECTED = {0: [[10, 20, 40, 80, 0.5]], 2: [[1, 2, 4, 6, 1.0]]}
FIRST, LAST = {"frame": 0, "bbox": [10, 20, 30, 60], "score": 0.5}, {"image_id": 2, "bbox": [1, 2, 3, 4]}
THINGS = [{"id": 1, "name": "cup"}, {"id": 2, "name": "car"}]
DOCUMENT = {
    "images": [{"id": 7, "file_name": "a"}, {"id": 9, "file_name": "b"}, {"id": 8, "file_name": "c"}],
    "categories": [{"id": 0, "name": "Person"}, {"id": 1, "name": "bottle"}],
    "annotations": [
        {"image_id": 7, "category_id": 0, "bbox": [10, 20, 30, 60], "score": 0.5},
        {"image_id": 7, "category_id": 1, "bbox": [1, 1, 1, 1]},
        {"image_id": 8, "category_id": 0, "bbox": [1, 2, 3, 4]},
        {"image_id": 8, "category_id": 0, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.csv", "frame,x,y,width,height,score\n0,10,20,30,60,0.5\n2,1,2,3,4,1\n"),
        (
            "b.json",
            json.dumps([{"frame": 0, "bbox": [10, 20, 30, 60], "score": 0.5}, {"image_id": 2, "bbox": [1, 2, 3, 4]}]),
        ),
        ("b.txt", "1,7,10,20,30,60,0.5,-1,-1,-1\n3,7,1,2,3,4,1,-1,-1,-1\n"),
        ("b.csv", "\ufeffframe,x,y,width,height,score\n0,10,20,30,60,0.5\n2,1,2,3,4,1\n"),
        ("b.csv", "frame;x;y;width;height;score\n0;10,0;20;30;60;0,5\n2;1;2;3;4;1\n"),
        ("b.csv", "frame, x, y, width, height, score\n0.0,10,20,30,60,0.5\n2.0,1,2,3,4,\n"),
        ("b.csv", "Frame,X,Y,Width,Height,Score\n0,10,20,30,60,0.5\n2,1,2,3,4,1\n"),
        ("b.txt", "1 7 10 20 30 60 0.5 -1 -1 -1\n3\t7\t1\t2\t3\t4\t1\n"),
        ("b.txt", "1;7;10,0;20;30;60;0,5\n3;7;1;2;3;4;1\n"),
        ("b.txt", "\ufeff1,7,10,20,30,60,0.5,-1,-1,-1\r\n3,7,1,2,3,4,1,-1,-1,-1\r\n"),
        ("b.json", "\ufeff" + json.dumps([{"frame": 0.0, "bbox": [10, 20, 30, 60], "score": 0.5}, LAST])),
        ("b.json", json.dumps([{**LAST, "category_id": 3}, {**FIRST, "category_id": 1}, LAST])),
        ("b.json", json.dumps(DOCUMENT)),
    ],
)
def test_all_formats_give_the_same_boxes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_boxes(tmp_path / name)
    assert {frame: rows.tolist() for frame, rows in found.items()} == EXPECTED


def test_of_mot_ground_truth_only_pedestrians_count_that_are_not_to_be_ignored(tmp_path: Path) -> None:
    rows = ("1,7,1,2,3,4,1,3,1", "1,8,1,2,3,4,0,1,1", "1,9,10,20,30,60,1,1,0.5", "3,9,1,2,3,4,1,1,1")
    (tmp_path / "gt.txt").write_text("\n".join(rows))
    found = read_boxes(tmp_path / "gt.txt")
    assert {frame: rows.tolist() for frame, rows in found.items()} == {0: [[10, 20, 40, 80, 1]], 2: [[1, 2, 4, 6, 1]]}


def test_a_table_without_rows_says_that_there_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("frame,x,y,width,height\n")
    assert read_boxes(tmp_path / "b.csv") == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.csv", "frame,x,y,width,height\n0,10,20,-3,60\n"),
        ("b.csv", "frame,x,y,width,height\n0,nan,20,3,60\n"),
        ("b.csv", "x,y\n1,2\n"),
        ("b.json", '{"no": "list"}'),
        ("b.json", "not json"),
        ("b.txt", "1,2\n"),
        ("b.xml", "<boxes/>"),
        ("b.txt", "inf,1,2,3,4,5,1"),
        ("b.txt", "1.5,1,2,3,4,5,1"),
        ("b.csv", "frame,x,y,width,height\n-1,1,2,3,4\n"),
        ("b.csv", f"frame,x,y,width,height\n0,{'1' * 200_000},2,3,4\n"),
        ("b.csv", ""),
        ("b.json", "[" * 200_000),
        ("b.json", '[{"frame": Infinity, "bbox": [0, 0, 10, 5]}]'),
        ("b.json", '[{"frame": 0, "bbox": [0, 0, 1e300, 1e300]}]'),
        ("b.json", '[{"frame": 0, "bbox": [0, 0, 10, NaN]}]'),
        ("b.json", '[{"frame": 0, "bbox": null}]'),
        ("b.json", '[{"frame": [0], "bbox": [0, 0, 1, 1]}]'),
        ("b.json", '[{"bbox": [0, 0, 1, 1]}]'),
        ("b.json", "[[0, 0, 1, 1]]"),
        ("b.json", json.dumps({**DOCUMENT, "images": []})),
        ("b.json.gz", "no gzip"),
    ],
)
def test_what_is_no_boxes_file_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        read_boxes(tmp_path / name)


@pytest.mark.parametrize(("name", "text"), [("b.csv", "frame,x,y,width,height\n0,1,2\n"), ("b.txt", "1,1,2,3\n")])
def test_rows_that_are_too_short_are_told_as_such(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"has fewer values than the first|has 4 of at least 6 numbers"):
        read_boxes(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        read_boxes(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "b.json",
            '[{"frame": 0, "category_id": 3, "bbox": [0, 0, 1, 1]}]',
            "category 3 only, but persons are category 1",
        ),
        ("b.txt", "1,7,1,2,3,4,1,3,1\n", "category 3 only, but persons are category 1"),
        ("b.json", json.dumps({**DOCUMENT, "annotations": DOCUMENT["annotations"][1:2]}), "category 1 only, but .* 0"),
        (
            "b.json",
            json.dumps({**DOCUMENT, "categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "car"}]}),
            "1 cup, 2 car",
        ),
    ],
)
def test_boxes_of_nobody_are_refused_with_both_sides(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_boxes(tmp_path / name)
