"""Composed pictures: boxes follow their people, hidden people are neither asked for nor errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.crowds import (
    Scene,
    SceneOptions,
    body_mask,
    can_be_cut_out,
    empty_scene,
    uncovered,
    windows,
    with_group,
    with_person,
    with_photo,
)
from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.pose import COCO17

SIDE = 96
NOBODY = np.zeros((0, 4), np.float32)


def photo(box: tuple[int, int, int, int]) -> tuple[np.ndarray, LabelledImage]:
    """A black photo of 80 × 60 pixels with a white person."""
    image = np.zeros((60, 80, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image, LabelledImage(Path("a.png"), 60, 80, np.asarray([box], np.float32), NOBODY)


def black() -> Scene:
    return Scene(np.zeros((SIDE, SIDE, 3), np.uint8), NOBODY, NOBODY)


def standing() -> LabelledPerson:
    """A person who stands upright in 40 × 100 pixels."""
    heights = {"hip": 52, "knee": 74, "ankle": 94, "shoulder": 24, "elbow": 38, "wrist": 50}
    points = np.full((17, 2), (20.0, 12.0))
    for row, name in enumerate(COCO17.keypoints):
        side, _, part = name.partition("_")
        if part in heights:
            points[row] = (20 + (8 if side == "left" else -8), heights[part])
    box = np.array([5, 2, 35, 98], np.float32)
    return LabelledPerson(Path("b.png"), box, points.astype(np.float32), np.ones(17, np.float32))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_their_people(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scene = with_photo(black(), (0, 0, SIDE, SIDE), photo((20, 10, 50, 40)), (0.5, 1.8), generator)
    rows, columns = np.nonzero(scene.image[:, :, 0] > 127)
    for box in np.concatenate([scene.boxes, scene.ignored]):
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, found, atol=1.5)
    assert len(scene.boxes) + len(scene.ignored) <= 1


def test_photos_stay_inside_their_windows() -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        scene = with_photo(black(), (30, 20, 70, 60), photo((0, 0, 80, 60)), (0.8, 2.5), generator)
        outside = np.ones((SIDE, SIDE), bool)
        outside[20:60, 30:70] = False
        assert not scene.image[outside].any()
        for box in scene.boxes:
            assert (box[:2] >= (30, 20)).all()
            assert (box[2:] <= (70, 60)).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_windows_cover_the_picture_once(count: int) -> None:
    grids = tuple(1.0 if number == count else 0.0 for number in (1, 2, 3))
    cover = np.zeros((SIDE, SIDE), int)
    for x0, y0, x1, y1 in windows(SIDE, SceneOptions(grids), np.random.default_rng(3)):
        cover[y0:y1, x0:x1] += 1
    assert (cover == 1).all()


def test_a_cover_shrinks_boxes_and_hides_people() -> None:
    cover = np.zeros((SIDE, SIDE), bool)
    cover[:, :30] = True
    boxes = np.array([[20, 0, 60, 90], [0, 0, 40, 90], [50, 0, 90, 90]], np.float32)
    scene = uncovered(Scene(np.zeros((SIDE, SIDE, 3), np.uint8), boxes, NOBODY), cover)
    assert scene.boxes.tolist() == [[30, 0, 60, 90], [50, 0, 90, 90]]
    assert scene.ignored.tolist() == [[0, 0, 40, 90]]


def test_a_mask_covers_the_body_but_not_its_surroundings() -> None:
    person = standing()
    mask = body_mask(person.points_frame, person.weights > 0, (100, 40))
    joints = np.round(person.points_frame).astype(int)
    assert (mask[joints[:, 1], joints[:, 0]] > 0.5).all()
    assert mask[80:, 19:21].max() < 0.5
    assert mask[:, 0].max() < 0.1


def test_a_person_put_in_gets_the_box_of_what_shows() -> None:
    white = np.full((100, 40, 3), 255, np.uint8)
    changed = 0
    for seed in range(8):
        scene = with_person(black(), white, standing(), np.random.default_rng(seed))
        rows, columns = np.nonzero(scene.image[:, :, 0] > 127)
        for box in np.concatenate([scene.boxes, scene.ignored]):
            np.testing.assert_allclose(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=1.01)
            changed += 1
    assert changed > 4


@pytest.mark.parametrize("seed", range(12))
def test_people_of_a_group_are_asked_for_or_ignored_where_they_show(seed: int) -> None:
    scene = with_group(black(), group(60, 80, 100, 120, 140), np.random.default_rng(seed))
    assert len(scene.boxes) + len(scene.ignored) <= 5
    # What may lie before them is a piece of the first photo.
    others = (scene.image[:, :, 0] >= 79) & ~told_of(scene)
    assert not others.any()


def test_the_nearest_of_a_group_hides_the_others() -> None:
    seen = 0
    for seed in range(20):
        scene = with_group(black(), group(60, 90, 90, 255), np.random.default_rng(seed))
        rows, columns = np.nonzero(scene.image[:, :, 0] > 250)
        something_before = ((scene.image[:, :, 0] == 60) & ~told_of(scene)).any()
        if len(rows) < 40 or something_before:
            continue
        extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        told = np.concatenate([scene.boxes, scene.ignored])
        assert np.abs(told - extent).max(1).min() < 3
        seen += 1
    assert seen > 5


def group(*greys: int) -> list[tuple[np.ndarray, LabelledPerson]]:
    """People who stand upright, each in a photo of one grey."""
    return [(np.full((100, 40, 3), grey, np.uint8), standing()) for grey in greys]


def told_of(scene: Scene) -> np.ndarray:
    """Where (H, W) the scene says people are, asked for or ignored."""
    told = np.zeros((SIDE, SIDE), bool)
    for x0, y0, x1, y1 in np.round(np.concatenate([scene.boxes, scene.ignored])).astype(int):
        told[max(y0 - 1, 0) : y1 + 1, max(x0 - 1, 0) : x1 + 1] = True
    return told


def test_only_well_labelled_people_are_cut_out() -> None:
    person = standing()
    assert can_be_cut_out(person)
    weights = person.weights.copy()
    weights[COCO17.index("left_hip")] = 0
    assert not can_be_cut_out(LabelledPerson(person.image, person.box_frame, person.points_frame, weights))


def test_the_same_generator_gives_the_same_scene() -> None:
    one, two = (empty_scene(SIDE, np.random.default_rng(5)) for _ in range(2))
    assert (one.image == two.image).all()
    assert one.image.shape == (SIDE, SIDE, 3)
