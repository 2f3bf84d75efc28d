"""Looks are colours of body parts, whatever the place, the size and who else is there."""

from __future__ import annotations

import cv2
import numpy as np

from vipnas_cli.pose import COCO17, People, Skeleton
from vipnas_cli.tracking.appearance import PARTS, blended_look, lab_of, look_agreement, look_of

ACROSS = np.array([0, 2, -2, 4, -4, 20, -20, 30, -30, 35, -35, 14, -14, 15, -15, 16, -16], np.float32)
DOWN = np.array([5, 3, 3, 5, 5, 30, 30, 65, 65, 100, 100, 100, 100, 150, 150, 195, 195], np.float32)
STANDING = np.stack([ACROSS, DOWN], -1)
RED, BLUE, GREEN = (200, 30, 30), (30, 40, 190), (40, 160, 60)


def dressed(people: list[tuple[float, float, tuple[int, int, int], tuple[int, int, int]]]) -> tuple[np.ndarray, People]:
    """A grey picture of people (x, scale, shirt, trousers), and their poses."""
    image = np.full((260, 640, 3), 120, np.uint8)
    poses = []
    for x, scale, shirt, trousers in people:
        pose = STANDING * np.float32(scale) + np.float32([x, 20])
        hip, left, right = int(pose[11, 1]), int(pose[:, 0].min()) - 4, int(pose[:, 0].max()) + 5
        image[int(pose[5, 1]) - 6 : hip, left:right] = shirt
        image[hip : int(pose[15, 1]) + 8, left:right] = trousers
        poses.append(pose)
    points = np.stack(poses)
    boxes = np.concatenate([points.min(1) - 5, points.max(1) + 5], 1)
    return image, People(np.arange(len(points)), boxes, points, np.full(points.shape[:2], 0.9, np.float32))


def test_a_person_looks_alike_elsewhere_and_at_another_size_and_two_differ() -> None:
    image, people = dressed([(100, 1.0, RED, BLUE), (300, 0.7, RED, BLUE), (500, 1.0, GREEN, RED)])
    looks = look_of(image, people, COCO17)
    agreement, shared = look_agreement(looks, looks)
    assert agreement[0, 1] > 0.95
    assert agreement[0, 2] < 0.4
    assert shared.min() == 1


def test_each_person_is_described_alone() -> None:
    image, people = dressed([(100, 1.0, RED, BLUE), (300, 0.7, BLUE, GREEN), (500, 1.0, GREEN, RED)])
    together = look_of(image, people, COCO17)
    for row in range(3):
        np.testing.assert_array_equal(look_of(image, people[row : row + 1], COCO17)[0], together[row])


def test_shade_counts_for_less_than_hue() -> None:
    image, people = dressed([(100, 1.0, RED, BLUE)])
    look = look_of(image, people, COCO17)
    darker = look_of((image * 0.85).astype(np.uint8), people, COCO17)
    other_hue = look_of(image[..., ::-1].copy(), people, COCO17)
    assert look_agreement(look, darker)[0] > 0.5 > look_agreement(look, other_hue)[0]


def test_what_is_not_seen_is_unknown_and_not_compared() -> None:
    image, people = dressed([(100, 1.0, RED, BLUE)])
    scores = people.scores.copy()
    scores[:, [9, 10, 13, 14, 15, 16]] = 0.0
    legless = look_of(image, People(people.ids, people.boxes_frame, people.points_frame, scores), COCO17)
    unknown = [PARTS.index(part) for part in ("forearms", "thighs", "shins")]
    assert np.isnan(legless[0, unknown]).all()
    agreement, shared = look_agreement(legless, look_of(image, people, COCO17))
    assert agreement[0, 0] == 1
    assert shared[0, 0] == 4 / 7
    outside = People(people.ids, people.boxes_frame, people.points_frame + 1000, people.scores)
    lost = People(people.ids, people.boxes_frame, people.points_frame * np.float32(np.nan), people.scores)
    assert np.isnan(look_of(image, outside, COCO17)).all()
    assert np.isnan(look_of(image, lost, COCO17)).all()


def test_a_skeleton_without_a_body_has_no_look() -> None:
    dots = Skeleton("dots", ("a", "b"), ((0, 1),), (0.05, 0.05))
    people = People(np.zeros(1, np.int64), np.zeros((1, 4), "f4"), np.zeros((1, 2, 2), "f4"), np.ones((1, 2), "f4"))
    assert np.isnan(look_of(np.zeros((9, 9, 3), np.uint8), people, dots)).all()
    assert look_of(np.zeros((9, 9, 3), np.uint8), People.nobody(17), COCO17).shape == (0, len(PARTS), 3)


def test_a_blend_moves_by_its_share_and_fills_gaps() -> None:
    old, new = np.zeros((1, len(PARTS), 3)), np.full((1, len(PARTS), 3), 10.0)
    old[0, 0], new[0, 1] = np.nan, np.nan
    mixed = blended_look(old, new, np.array([0.2]))
    assert mixed[0, 0].tolist() == [10.0] * 3
    assert mixed[0, 1].tolist() == [0.0] * 3
    assert mixed[0, 2].tolist() == [2.0] * 3


def test_lab_of_white_grey_black_and_red() -> None:
    pixels = np.array([[255, 255, 255], [119, 119, 119], [0, 0, 0], [255, 0, 0]], np.uint8)
    expected = [(100, 0, 0), (50.03, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20)]
    assert np.allclose(lab_of(pixels), expected, atol=0.05)


def test_lab_is_what_opencv_says_within_its_tables_precision() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 500, 3), np.uint8)
    other = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.abs(lab_of(pixels) - other).max() < 1
