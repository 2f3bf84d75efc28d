"""Boxes by image id: persons only, best first, and never for other images without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vipnas_cli.data.files.detections import read_detections
from vipnas_cli.errors import DataError


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_persons_by_image_best_first(tmp_path: Path) -> None:
    rows = [
        {"image_id": 4, "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.3},
        {"image_id": 4, "category_id": 1, "bbox": [5, 5, 1, 2], "score": 0.9},
        {"image_id": 4, "category_id": 3, "bbox": [0, 0, 9, 9], "score": 1.0},
        {"image_id": 8, "bbox": [0, 0, 3, 4]},
        {"image_id": 8, "bbox": [0, 0, 0, 4]},
    ]
    found = read_detections(saved(tmp_path / "d.json", rows), {4, 5})
    assert sorted(found) == [4, 8]
    np.testing.assert_allclose(found[4], [[5, 5, 6, 7, 0.9], [1, 2, 11, 22, 0.3]])
    np.testing.assert_allclose(found[8], [[0, 0, 3, 4, 1]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": 1}, "no list of detections"),
        ([{"bbox": [0, 0, 1, 1]}], "entry 0: no image id"),
        ([{"image_id": 1, "bbox": [0, 0, 1]}], "entry 0: box"),
        ([{"image_id": 77, "bbox": [0, 0, 1, 1]}], "other images only, such as 77"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_detections(saved(tmp_path / "d.json", content), {1})
