"""Cuts and movement at the border are what their definitions say, and a thumbnail is the picture's cell means."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.inference.changes import CELLS, ChangeOptions, is_cut, is_still, moves_at_border, thumbnail

OPTIONS = ChangeOptions()


def pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of thumbnails that differ by nothing up to everything, some of them in brightness."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(count):
        before = generator.random(CELLS, np.float32)
        change = generator.uniform(0, 1) * generator.normal(size=CELLS) * (generator.random(CELLS) < generator.random())
        found.append((before, (before + change + generator.normal(0, 0.2)).astype(np.float32)))
    return found


@pytest.mark.parametrize(("gap_s", "least", "unlike"), [(0.04, 0.1, 0.5), (0.1, 0.1, 0.5), (0.2, 0.12, 0.7)])
def test_a_cut_is_a_large_mean_distance_from_the_median_change_of_pictures_that_are_unlike(
    gap_s: float, least: float, unlike: float
) -> None:
    answers = [is_cut(before, now, gap_s, OPTIONS) for before, now in pairs(200)]
    changes = [now - before for before, now in pairs(200)]
    large = [np.abs(c - np.median(c)).mean() > least for c in changes]
    far = [np.corrcoef(before.ravel(), now.ravel())[0, 1] < 1 - unlike for before, now in pairs(200)]
    assert answers == [bool(a and b) for a, b in zip(large, far, strict=True)]
    assert 0 < sum(answers) < 200


def test_brightness_and_contrast_are_no_cut_and_black_is_one() -> None:
    scene, other = np.random.default_rng(1).random((2, *CELLS), np.float32)
    for now in (scene, scene + 0.4, 0.3 * scene, 1 - (1 - scene) * 0.2):
        assert not is_cut(scene, now, 0.04, OPTIONS)
    black = np.zeros(CELLS, np.float32)
    for pair in ((scene, other), (scene, black), (black, scene), (scene, 1 - scene)):
        assert is_cut(*pair, 0.04, OPTIONS)
    assert not is_cut(black, black, 0.04, OPTIONS)


def test_a_picture_is_still_where_only_brightness_or_known_people_change() -> None:
    before = np.full(CELLS, 0.5, np.float32)
    walked = before.copy()
    walked[4:9, 5:8] = 0.9
    size, person = (180, 320), np.array([[50, 40, 80, 90]], np.float32)
    assert is_still(before, before + np.float32(0.2), person, size, OPTIONS)
    assert is_still(before, walked, person, size, OPTIONS)
    assert not is_still(before, walked, person + 100, size, OPTIONS)


def test_movement_at_the_border_is_more_than_the_usual_change_where_nobody_is_known() -> None:
    boxes = np.array([[0, 0, 300, 900]], np.float32)
    border = np.ones(CELLS, bool)
    border[2:-2, 2:-2] = False
    # The cells that the box touches and one more on each side.
    border[:18, :11] = False
    answers, expected = [], []
    for before, now in pairs(200):
        change = np.abs(now - before)
        excess = change - np.median(change)
        answers.append(moves_at_border(before, now, boxes, (1000, 1000), OPTIONS))
        expected.append(int((border & (excess > OPTIONS.border)).sum()) >= OPTIONS.border_cells)
    assert answers == expected
    assert 0 < sum(answers) < 200


@pytest.mark.parametrize("size", [(20, 40), (144, 256), (541, 963), (962, 542)])
def test_a_thumbnail_holds_the_mean_of_each_cell(size: tuple[int, int]) -> None:
    rows, columns = np.indices(size)
    ramp = 40 + 100 * rows / size[0] + 80 * columns / size[1]
    found = thumbnail(np.repeat(ramp[..., None], 3, -1).astype(np.uint8))
    centres = np.indices(CELLS) + 0.5
    expected = 40 + 100 * centres[0] / CELLS[0] + 80 * centres[1] / CELLS[1]
    assert found.shape == CELLS
    # Half a grey level is lost by rounding down, and every fourth pixel stands for four.
    assert np.abs(255 * found - expected).max() < 2 + 400 / min(size)


@pytest.mark.parametrize("outside", [(-200, 100, -80, 300), (100, -300, 200, -90), (-300, -300, -100, -100)])
def test_who_is_outside_of_the_picture_hides_nothing(outside: tuple[int, ...]) -> None:
    before = np.full(CELLS, 0.5, np.float32)
    arriving = before.copy()
    arriving[8:14, :2] = 0.9
    nobody, beyond = np.zeros((0, 4), np.float32), np.array([outside], np.float32)
    for boxes in (nobody, beyond):
        assert moves_at_border(before, arriving, boxes, (360, 640), OPTIONS)
        assert not is_still(before, arriving, boxes, (360, 640), OPTIONS)
