"""The people of a frame keep their rows together."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.errors import DataError
from vipnas_cli.pose import People
from vipnas_cli.pose.people import pose_scores


def crowd(count: int) -> People:
    """People whose numbers tell them apart."""
    scores = np.linspace(0, 1, count * 3, dtype=np.float32).reshape(count, 3)
    boxes = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
    points = np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2)
    return People(np.arange(count, dtype=np.int64), boxes, points, scores)


@pytest.mark.parametrize(
    "keep", [np.array([2, 0]), np.array([True, False, True, False]), slice(1, 3), np.zeros(0, int)]
)
def test_a_selection_takes_the_same_rows_of_everything(keep: np.ndarray | slice) -> None:
    people = crowd(4)
    chosen = people[keep]
    assert len(chosen) == len(people.ids[keep])
    for name in ("ids", "boxes_frame", "points_frame", "scores", "person_scores"):
        assert np.array_equal(getattr(chosen, name), getattr(people, name)[keep])


def test_nobody_is_normal() -> None:
    nobody = People.nobody(17)
    assert len(nobody) == 0
    assert nobody.points_frame.shape == (0, 17, 2)
    assert nobody.person_scores.shape == (0,)


def test_hidden_keypoints_say_little_about_a_pose() -> None:
    seen = np.full((1, 17), 0.8, np.float32)
    half = np.where(np.arange(17) < 9, seen, np.float32(0.02))
    np.testing.assert_allclose(pose_scores(seen), 0.8, rtol=1e-5)
    assert 0.75 < pose_scores(half)[0] < 0.8
    assert pose_scores(np.zeros((2, 17), np.float32)).tolist() == [0, 0]
    assert pose_scores(np.zeros((0, 17), np.float32)).shape == (0,)


@pytest.mark.parametrize("name", ["ids", "boxes_frame", "points_frame"])
def test_wrong_shapes_are_named(name: str) -> None:
    people = crowd(3)
    parts = {field: getattr(people, field) for field in ("ids", "boxes_frame", "points_frame", "scores")}
    parts[name] = parts[name][:2]
    with pytest.raises(DataError, match=name):
        People(**parts)
