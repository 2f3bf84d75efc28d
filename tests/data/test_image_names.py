"""Which images of results are which of the labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from vipnas_cli.data.files.image_names import by_labels
from vipnas_cli.errors import DataError

PATH = Path("results.json")


def images(*names: str | None, first: int = 1) -> list[dict[str, object]]:
    return [{"id": first + place} | ({"file_name": name} if name else {}) for place, name in enumerate(names)]


@pytest.mark.parametrize(
    ("listed", "labelled", "found"),
    [
        (images("b.jpg", "a.jpg"), images("a.jpg", "b.jpg"), [2, 1]),
        (images("x/b.jpg", "x\\a.jpg"), images("a.jpg", "b.jpg"), [2, 1]),
        (images("y/a.jpg", "x/a.jpg"), images("x/a.jpg", "y/a.jpg"), [2, 1]),
        (images("a.jpg", "b.jpg"), images("a.jpg", "b.jpg", "c.jpg", first=40), [40, 41]),
        (images("a.jpg", "b.jpg", "c.jpg"), images("a.jpg", "b.jpg"), [1, 2]),
        (images("a/1.jpg", "b/1.jpg"), images("c/1.jpg", "d/1.jpg"), [1, 2]),
        (images("frame_0.jpg", "frame_1.jpg"), images("b.jpg", "a.jpg"), [1, 2]),
        (images("b.jpg", None), images("a.jpg", "b.jpg"), [1, 2]),
        (images("b.jpg", "a.jpg"), images("a.jpg", None), [1, 2]),
        ([{"id": [], "file_name": 3}, 4], images("a.jpg"), [1, 2]),
        (None, images("a.jpg"), [1, 2]),
    ],
)
def test_names_tell_where_all_are_known_and_ids_where_none_is(
    listed: object, labelled: object, found: list[int]
) -> None:
    rows = by_labels(PATH, listed, [{"image_id": 1, "score": 1}, {"image_id": 2, "score": 1}], labelled)
    assert rows == [{"image_id": image, "score": 1} for image in found]


@pytest.mark.parametrize(
    ("listed", "labelled", "words"),
    [
        (images("b.jpg", "c.jpg"), images("a.jpg", "b.jpg"), "calls image 1 b.jpg, the labels call it a.jpg"),
        (images("b.jpg", "b.jpg"), images("a.jpg", "b.jpg"), "calls image 1 b.jpg, the labels call it a.jpg"),
        (images("b.jpg"), images("a.jpg", "b.jpg"), "has people in image 2, which it does not list"),
    ],
)
def test_names_and_ids_that_contradict_each_other_are_refused(listed: object, labelled: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        by_labels(PATH, listed, [{"image_id": 2}], labelled)
