"""The people of a frame keep their rows together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


@pytest.mark.parametrize("make", [list, tuple, np.array])
@pytest.mark.parametrize("mask", [[True, False], [False, True], [False, False], [True, True]])
def test_a_mask_is_one_however_it_is_written(make: Callable[[list[bool]], Any], mask: list[bool]) -> None:
    assert crowd(2)[make(mask)].ids.tolist() == [row for row in range(2) if mask[row]]


@pytest.mark.parametrize("nothing", [[], (), np.array([]), np.zeros(0, np.uint8), slice(0, 0)])
def test_an_empty_selection_is_nobody(nothing: Any) -> None:
    assert crowd(3)[nothing] == People.nobody(3)


@pytest.mark.parametrize("make", [int, np.int64, np.uint8])
def test_an_index_and_a_loop_give_people_of_one(make: Callable[[int], Any]) -> None:
    people = crowd(3)
    for row, one in enumerate(people):
        assert one == people[make(row)] == people[[row]]
        assert one.ids.tolist() == [row]
    assert people[-1].ids.tolist() == [2]
    for missing in (3, [0, 3], np.array([True])):
        with pytest.raises(IndexError):
            people[missing]


@pytest.mark.parametrize("wrong", [[0.5], "0", None, np.ones(3), [[0, 1]], {0}])
def test_nothing_else_chooses_people(wrong: Any) -> None:
    with pytest.raises(TypeError, match="people are chosen by"):
        crowd(3)[wrong]


def test_people_are_equal_if_all_of_them_is() -> None:
    people, same = crowd(3), crowd(3)
    for one in (people, same):
        one.points_frame[0] = np.nan
    assert people == same
    assert people in [crowd(2), same]
    for name in ("ids", "boxes_frame", "points_frame", "scores"):
        other = people.copy()
        assert other == people
        getattr(other, name)[1] += 1
        assert other != people
    assert people != people[:2]
    assert people != "people"
    with pytest.raises(TypeError, match="unhashable type: 'People'"):
        hash(people)


def test_nobody_is_normal() -> None:
    nobody = People.nobody(17)
    assert len(nobody) == 0
    assert nobody.points_frame.shape == (0, 17, 2)
    assert nobody.person_scores.shape == (0,)


def test_hidden_keypoints_say_little_about_a_pose() -> None:
    seen = np.full((1, 17), 0.8, np.float32)
    half = np.where(np.arange(17) < 9, seen, np.float32(0.02))
    np.testing.assert_allclose(pose_scores(seen), 0.8, rtol=1e-5)
    assert 0.79 < pose_scores(half)[0] < 0.8
    np.testing.assert_allclose(pose_scores(np.array([[0.8, 0.4]], np.float32)), (0.8**3 + 0.4**3) / (0.8**2 + 0.4**2))
    assert pose_scores(np.zeros((2, 17), np.float32)).tolist() == [0, 0]
    assert pose_scores(np.zeros((0, 17), np.float32)).shape == (0,)


@pytest.mark.parametrize("name", ["ids", "boxes_frame", "points_frame"])
def test_wrong_shapes_are_named(name: str) -> None:
    people = crowd(3)
    parts = {field: getattr(people, field) for field in ("ids", "boxes_frame", "points_frame", "scores")}
    parts[name] = parts[name][:2]
    with pytest.raises(DataError, match=name):
        People(**parts)
