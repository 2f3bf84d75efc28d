"""People beside others and people cut off: pictures and labels change together, and never into nonsense."""

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.augment import Augmentation, crop_person, draw_transform
from vipnas_cli.data.people_labels import WEIGHT_OF_VISIBILITY, LabelledPerson
from vipnas_cli.data.surroundings import FEWEST_LEFT, MOST_HIDDEN, cut_off, with_bystander
from vipnas_cli.synthetic import ClipOptions, render_clip


def person(points: np.ndarray) -> LabelledPerson:
    box = np.array([60, 40, 180, 220], np.float32)
    return LabelledPerson(Path("x"), box, points.astype(np.float32), np.ones(17, np.float32))


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_picture_still_shows_each_joint_that_counts(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.uniform([62, 42], [178, 218], (17, 2)).round()
    image = generator.integers(0, 256, (260, 240, 3), np.uint8)
    cut, left, corner = cut_off(image, person(points), generator)
    seen = left.weights > 0
    assert seen.sum() >= FEWEST_LEFT
    assert cut.shape[0] < 260 or cut.shape[1] < 240
    for old, new in zip(points[seen].astype(int), left.points_frame[seen].astype(int), strict=True):
        assert np.array_equal(new + corner, old)
        assert np.array_equal(cut[new[1], new[0]], image[old[1], old[0]])
    low, high = left.box_frame[:2], left.box_frame[2:]
    assert (low >= 0).all()
    assert (high <= cut.shape[1::-1]).all()
    assert (high > low).all()


def test_nobody_is_cut_to_nothing() -> None:
    points = np.full((17, 2), 215.0)
    points[:3] = 50
    image = np.zeros((260, 240, 3), np.uint8)
    for seed in range(20):
        _, left, _ = cut_off(image, person(points), np.random.default_rng(seed))
        assert (left.weights > 0).sum() >= FEWEST_LEFT


def test_a_bystander_hides_joints_and_leaves_the_rest_alone(no_augmentation: Augmentation) -> None:
    frame = next(iter(render_clip(np.random.default_rng(0), ClipOptions(160, 240, 1))))
    other = LabelledPerson(Path("y"), frame.boxes_frame[0], frame.points_frame[0], np.ones(17, np.float32))
    generator = np.random.default_rng(1)
    who = person(generator.uniform([62, 42], [178, 218], (17, 2)))
    transform, flip = draw_transform(who, (128, 96), no_augmentation, generator)
    crop, points, weights = crop_person(np.full((260, 240, 3), 7, np.uint8), who, transform, flip)
    hidden_ever = False
    for seed in range(40):
        mixed, left = with_bystander(crop, (points, weights), (frame.image, other), np.random.default_rng(seed))
        again = with_bystander(crop, (points, weights), (frame.image, other), np.random.default_rng(seed))
        assert np.array_equal(mixed, again[0])
        hidden = left < weights
        assert (left[hidden] == np.float32(WEIGHT_OF_VISIBILITY[1])).all()
        assert hidden.sum() <= MOST_HIDDEN * 17
        columns, rows = np.round(points).astype(int).T
        untouched = (mixed[rows, columns] == crop[rows, columns]).all(-1)
        assert not (hidden & untouched).any()
        hidden_ever |= bool(hidden.any())
    assert hidden_ever
