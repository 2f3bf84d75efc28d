"""Boxes of other programs, in the three formats that are read."""

import json
from pathlib import Path

import pytest

from vipnas_cli.data.files.boxes import read_boxes
from vipnas_cli.errors import DataError

EXPECTED = {0: [[10, 20, 40, 80, 0.5]], 2: [[1, 2, 4, 6, 1.0]]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.csv", "frame,x,y,width,height,score\n0,10,20,30,60,0.5\n2,1,2,3,4,1\n"),
        (
            "b.json",
            json.dumps([{"frame": 0, "bbox": [10, 20, 30, 60], "score": 0.5}, {"image_id": 2, "bbox": [1, 2, 3, 4]}]),
        ),
        ("b.txt", "1,7,10,20,30,60,0.5,-1,-1,-1\n3,7,1,2,3,4,1,-1,-1,-1\n"),
    ],
)
def test_all_formats_give_the_same_boxes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = read_boxes(tmp_path / name)
    assert {frame: rows.tolist() for frame, rows in found.items()} == EXPECTED


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
    ],
)
def test_what_is_no_boxes_file_is_refused_by_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        read_boxes(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        read_boxes(tmp_path / "gone.csv")
