"""Augmentation moves pictures and keypoints together."""

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.augment import (
    COARSE_SHRINK,
    Augmentation,
    crop_person,
    draw_degradation,
    draw_transform,
    vary_look,
)
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.pose import COCO17

PLAIN = Augmentation(colour=0, blur=0, occlusion=0)


def person(points: np.ndarray, weights: np.ndarray) -> LabelledPerson:
    box = np.array([60, 40, 180, 220], np.float32)
    return LabelledPerson(Path("x"), box, points.astype(np.float32), weights.astype(np.float32))


@pytest.mark.parametrize("seed", range(25))
def test_a_painted_pixel_and_its_keypoint_still_meet(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.uniform([70, 50], [170, 210], (17, 2)).round()
    image = np.zeros((260, 240, 3), np.uint8)
    marked = int(generator.integers(17))
    x, y = points[marked].astype(int)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    who = person(points, np.ones(17))
    transform, flip = draw_transform(who, (256, 192), PLAIN, generator)
    crop, moved, weights = crop_person(image, who, transform, flip)
    place = COCO17.flip_order[marked] if flip else marked
    if weights[place] and crop.max() > 200:
        rows, columns = np.nonzero(crop[:, :, 0] > 100)
        np.testing.assert_allclose([columns.mean(), rows.mean()], moved[place], atol=1.5)


def test_a_keypoint_outside_the_crop_weighs_nothing(no_augmentation: Augmentation) -> None:
    points = np.full((17, 2), 120.0)
    points[0] = (1000, 1000)
    who = person(points, np.ones(17))
    transform, flip = draw_transform(who, (128, 96), no_augmentation, np.random.default_rng(0))
    _, _, weights = crop_person(np.zeros((260, 240, 3), np.uint8), who, transform, flip)
    assert weights[0] == 0
    assert weights[1:].all()


def test_without_augmentation_the_crop_is_the_plain_one_and_looks_stay(no_augmentation: Augmentation) -> None:
    who = person(np.full((17, 2), 120.0), np.ones(17))
    transform, flip = draw_transform(who, (128, 96), no_augmentation, np.random.default_rng(0))
    assert not flip
    np.testing.assert_allclose(transform.to_crop(np.array([119.5, 129.5])), [47.5, 63.5], atol=1e-3)
    crop = np.random.default_rng(1).integers(0, 256, (128, 96, 3), np.uint8)
    np.testing.assert_array_equal(vary_look(crop, no_augmentation, np.random.default_rng(0)), crop)


def test_the_same_generator_state_gives_the_same_look() -> None:
    crop = np.random.default_rng(1).integers(0, 256, (128, 96, 3), np.uint8)
    options = Augmentation(colour=1, blur=1, occlusion=1)
    once, again = (vary_look(crop, options, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert (once != crop).any()


def test_coarse_crops_are_what_a_small_person_shows() -> None:
    generator = np.random.default_rng(0)
    options = Augmentation(colour=0, blur=0, occlusion=0, coarse=1)
    shares = [draw_degradation((64, 48), options, generator).shrink for _ in range(50)]
    assert all(share is not None and COARSE_SHRINK[0] <= share <= COARSE_SHRINK[1] for share in shares)
    assert all(draw_degradation((64, 48), PLAIN, generator).shrink is None for _ in range(50))


def test_poor_light_makes_no_channel_brighter() -> None:
    crop = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    options = Augmentation(colour=0, blur=0, occlusion=0, dark=1)
    for seed in range(20):
        dark = vary_look(crop, options, np.random.default_rng(seed))
        assert (dark <= 1.1 * crop.astype(float) + 1).all()
        assert dark.mean() < 0.9 * crop.mean()


def test_as_many_lose_their_colours_as_asked() -> None:
    generator = np.random.default_rng(0)
    for share in (0.0, 0.5, 1.0):
        options = Augmentation(colour=1, blur=0, occlusion=0, grey=share)
        grey = [draw_degradation((64, 48), options, generator).grey for _ in range(400)]
        assert abs(np.mean(grey) - share) < 0.1
