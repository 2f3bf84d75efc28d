"""Deformed people: pixels and points move alike, nothing folds, and no move is the identity."""

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.deformation import STEEPEST, Deformation, moving_limbs
from vipnas_cli.data.people_labels import LabelledPerson


def someone(generator: np.random.Generator) -> LabelledPerson:
    points = generator.uniform([70, 50], [170, 210], (17, 2)).astype(np.float32)
    return LabelledPerson(Path("x"), np.array([60, 40, 180, 220], np.float32), points, np.ones(17, np.float32))


@pytest.mark.parametrize("seed", range(10))
def test_a_painted_pixel_and_its_keypoint_still_meet(seed: int) -> None:
    generator = np.random.default_rng(seed)
    person = someone(generator)
    found = moving_limbs(person, 1.0, generator)
    assert found is not None
    joint = int(generator.integers(17))
    x, y = person.points_frame[joint].round().astype(int)
    image = np.zeros((260, 240, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    rows, columns = np.nonzero(found.picture(image)[:, :, 0] > 100)
    moved = found.points(np.array([[x, y]], np.float32))[0]
    np.testing.assert_allclose([columns.mean(), rows.mean()], moved, atol=0.8)


def test_limbs_move_visibly_and_neighbours_keep_their_order() -> None:
    moves = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        person = someone(generator)
        found = moving_limbs(person, 1.0, generator)
        assert found is not None
        moves.append(np.linalg.norm(found.points(person.points_frame) - person.points_frame, axis=1).max())
        line = np.stack([np.linspace(0, 240, 500), np.full(500, float(person.points_frame[9, 1]))], -1)
        assert (np.diff(found.displacement(line)[:, 0]) < STEEPEST * 240 / 499 + 1e-9).all()
    assert np.mean(moves) > 3


def test_no_move_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    still = Deformation(np.array([[50.0, 60.0]]), np.zeros((1, 2)), np.array([20.0]))
    image = generator.integers(0, 256, (120, 100, 3), np.uint8)
    np.testing.assert_array_equal(still.picture(image), image)
    points = generator.uniform(0, 100, (5, 2)).astype(np.float32)
    np.testing.assert_array_equal(still.points(points), points)


def test_twice_a_field_moves_twice_as_far() -> None:
    generator = np.random.default_rng(1)
    found = moving_limbs(someone(generator), 1.0, generator)
    assert found is not None
    at = np.array([[100.0, 100.0]])
    np.testing.assert_allclose(found.scaled(2).displacement(at), 2 * found.displacement(at))
