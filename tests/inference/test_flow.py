"""Optical flow between views of a person: keypoints go with what they lie on."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vipnas_cli.inference.flow import VIEW_ROWS, View, keypoint_moves
from vipnas_cli.pose import CropTransform

BOX = np.array([60, 30, 160, 170], np.float32)
POINTS = np.stack(np.meshgrid(np.linspace(85, 135, 4), np.linspace(55, 145, 4)), -1).reshape(-1, 2).astype(np.float32)
SURE = np.ones(len(POINTS), np.float32)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Something with detail everywhere, (200, 220, 3)."""
    coarse = np.random.default_rng(0).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (220, 200), interpolation=cv2.INTER_CUBIC), np.uint8)


def view(picture: np.ndarray, box: np.ndarray, rows: int = 128) -> View:
    transform = CropTransform.from_box(box, rows, rows * 3 // 4)
    return View(transform, transform.warp(picture))


def shifted(picture: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float64)
    return np.asarray(cv2.warpAffine(picture, matrix, (220, 200), borderMode=cv2.BORDER_REFLECT), np.uint8)


def test_where_nothing_moves_keypoints_stay(picture: np.ndarray) -> None:
    moves = keypoint_moves(view(picture, BOX), view(picture, BOX), POINTS, SURE)
    np.testing.assert_allclose(moves.frame, 0, atol=0.02)
    np.testing.assert_allclose(moves.ways, 0, atol=1e-3)
    assert moves.seen.all()


@pytest.mark.parametrize("rows", [128, 224, 256])
@pytest.mark.parametrize("followed", [(0, 0), (4, -2), (9, 5)])
def test_keypoints_move_with_the_person_wherever_the_crop_goes(
    picture: np.ndarray, rows: int, followed: tuple[float, float]
) -> None:
    by = (5.0, -3.0)
    now = view(shifted(picture, by), BOX + np.tile(np.float32(followed), 2), rows)
    moves = keypoint_moves(view(picture, BOX), now, POINTS, SURE)
    np.testing.assert_allclose(moves.frame, np.tile(by, (len(POINTS), 1)), atol=0.25)
    height = now.transform.height / now.transform.scale
    np.testing.assert_allclose(moves.ways, np.hypot(*by) / height, atol=0.25 / height)


def test_a_crop_of_another_size_shows_the_same_moves(picture: np.ndarray) -> None:
    larger = BOX + np.float32([-10, -14, 10, 14])
    moves = keypoint_moves(view(picture, BOX, 256), view(shifted(picture, (3, 2)), larger), POINTS, SURE)
    np.testing.assert_allclose(np.median(moves.frame, 0), (3, 2), atol=0.25)


def test_a_limb_that_moves_alone_takes_its_keypoint_along(picture: np.ndarray) -> None:
    moved = picture.copy()
    x, y = POINTS[0].astype(int)
    patch = picture[y - 12 : y + 13, x - 12 : x + 13]
    moved[y - 12 : y + 13, x - 8 : x + 17] = patch
    moves = keypoint_moves(view(picture, BOX), view(moved, BOX), POINTS, SURE)
    np.testing.assert_allclose(moves.frame[0], (4, 0), atol=0.4)
    np.testing.assert_allclose(moves.frame[5:], 0, atol=0.1)


def test_a_keypoint_without_a_score_moves_as_the_others(picture: np.ndarray) -> None:
    points, scores = POINTS.copy(), SURE.copy()
    points[3], scores[3] = (500, 900), 0.05
    moves = keypoint_moves(view(picture, BOX), view(shifted(picture, (2, 4)), BOX), points, scores)
    np.testing.assert_allclose(moves.frame[3], (2, 4), atol=0.2)
    assert np.flatnonzero(~moves.seen).tolist() == [3]


def test_where_nothing_can_be_seen_nothing_is_said(picture: np.ndarray) -> None:
    noise = np.random.default_rng(1).integers(0, 256, picture.shape, dtype=np.uint8)
    unsure = keypoint_moves(view(picture, BOX), view(picture, BOX), POINTS, 0 * SURE)
    assert not unsure.frame.any()
    assert not unsure.seen.any()
    lost = keypoint_moves(view(picture, BOX), view(noise, BOX), POINTS, SURE)
    assert np.isfinite(lost.frame).all()
    assert np.abs(lost.frame).max() < 60


@pytest.mark.parametrize("rows", [96, 128, 160, 224, 256, 384])
def test_a_view_is_small_and_shows_what_the_crop_shows(picture: np.ndarray, rows: int) -> None:
    found = view(picture, BOX, rows)
    assert found.grey.shape == (found.transform.height, found.transform.width)
    assert found.transform.height <= 1.5 * VIEW_ROWS
    assert found.seen_by(found.transform).tolist() == found.grey.tolist()
    whole = CropTransform.from_box(BOX, rows, rows * 3 // 4)
    factor = rows // found.transform.height
    middle = np.array([(rows * 3 // 4 - 1) / 2, (rows - 1) / 2])
    np.testing.assert_allclose(
        found.transform.to_crop(whole.to_frame(middle)), (middle + 0.5) / factor - 0.5, atol=1e-3
    )
