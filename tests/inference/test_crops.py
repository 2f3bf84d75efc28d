"""Poses in crops: a batch equals its parts, nobody is normal, and boxes follow the people in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.crops import (
    FEWEST_JOINTS,
    FramePoses,
    any_touch,
    bounded_boxes,
    carried_boxes,
    crop_transforms,
    decode_poses,
    key_poses,
    next_boxes,
)
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.pose import CropTransform, HeatmapCodec, People
from vipnas_cli.spec import FAST_BASE, FusionSpec, ImportedSpec, Plan

KEY, FOLLOWER = Plan(FAST_BASE), Plan(FAST_BASE, FusionSpec("cat", 2))
BOXES = np.array([[20, 10, 100, 150], [130, 30, 200, 170]], np.float32)


@pytest.fixture
def estimator() -> PaintedEstimator:
    return PaintedEstimator((KEY, FOLLOWER))


@pytest.fixture
def picture() -> np.ndarray:
    """Keypoint 5 of one person and 9 of the other."""
    image = np.zeros((200, 240, 3), np.uint8)
    image[58:63, 48:53] = (60, 255, 0)
    image[98:103, 158:163] = (100, 255, 0)
    return image


def test_a_batch_equals_its_parts_and_points_are_where_they_are_painted(
    estimator: PaintedEstimator, picture: np.ndarray
) -> None:
    both = key_poses(estimator, picture, BOXES)
    for row in range(2):
        alone = key_poses(estimator, picture, BOXES[row : row + 1])
        np.testing.assert_array_equal(alone.points_frame[0], both.points_frame[row])
        np.testing.assert_array_equal(alone.heatmaps[0], both.heatmaps[row])
    np.testing.assert_allclose(both.points_frame[0, 5], (50, 60), atol=0.6)
    np.testing.assert_allclose(both.points_frame[1, 9], (160, 100), atol=0.6)
    again = decode_poses(both.transforms, both.heatmaps, HeatmapCodec(FAST_BASE.height, FAST_BASE.width))
    np.testing.assert_array_equal(again.points_frame, both.points_frame)


class Ghosts(PaintedEstimator):
    """A network that sees everyone everywhere."""

    def estimate(self, position: int, crops: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
        heatmaps = super().estimate(position, crops, previous)
        heatmaps[:, :, 10, 10] = 1
        return heatmaps


def test_where_a_crop_is_of_one_colour_nobody_is_seen() -> None:
    estimator, generator = Ghosts((KEY, FOLLOWER)), np.random.default_rng(0)
    scene = generator.integers(0, 256, (200, 240, 3), np.uint8)
    outside = np.array([[20, 300, 100, 440], [-200, 10, -120, 150]], np.float32)
    scores = key_poses(estimator, scene, np.concatenate([BOXES, outside])).scores
    assert (scores[:2] > 0).all()
    assert (scores[2:] == 0).all()
    for shade in (0, 16, 128, 250):
        # What compression leaves of a picture of one colour.
        flat = np.full((200, 240, 3), shade, np.uint8) + generator.integers(0, 4, (200, 240, 3), np.uint8)
        assert (key_poses(estimator, flat, BOXES[1:]).scores == 0).all()
    half = np.where(np.arange(200)[:, None, None] < 100, scene, np.uint8(0))
    assert (key_poses(estimator, half, BOXES).scores > 0).all()


def test_a_box_of_a_frame_is_computed_once(estimator: PaintedEstimator, picture: np.ndarray) -> None:
    seen = FramePoses(estimator, picture)
    seen.at(BOXES[1:])
    both, again = seen.at(BOXES), seen.at(BOXES)
    assert estimator.calls == [(0, 1), (0, 1)]
    assert seen.computed == 2
    expected = key_poses(estimator, picture, BOXES)
    for found in (both, again):
        np.testing.assert_array_equal(found.points_frame, expected.points_frame)
        np.testing.assert_array_equal(found.heatmaps, expected.heatmaps)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal([t.matrix for t in found.transforms], [t.matrix for t in expected.transforms])
    assert len(seen.at(BOXES[:0]).points_frame) == 0


def test_nobody_is_no_call(estimator: PaintedEstimator, picture: np.ndarray) -> None:
    poses = key_poses(estimator, picture, BOXES[:0])
    assert poses.points_frame.shape == (0, 17, 2)
    assert poses.heatmaps.shape[:2] == (0, 17)
    assert not estimator.calls
    nobody = People.nobody(17)
    assert carried_boxes(nobody, nobody, 0.3).shape == (0, 4)


def test_boxes_go_with_the_poses_and_stay_where_too_little_is_trusted() -> None:
    generator = np.random.default_rng(0)
    points = BOXES[:, None, :2] + generator.uniform(0.2, 0.8, (2, 17, 2)) * (BOXES[:, None, 2:] - BOXES[:, None, :2])
    key = People(np.array([3, 8]), BOXES, points.astype(np.float32), np.ones((2, 17), np.float32))
    scores = np.ones((2, 17), np.float32)
    scores[1, FEWEST_JOINTS - 1 :] = 0.2
    now = People(key.ids, BOXES + 1, key.points_frame + np.float32(7), scores)
    found = carried_boxes(key, now, 0.3)
    np.testing.assert_allclose(found[0], BOXES[0] + 7, atol=1e-3)
    np.testing.assert_array_equal(found[1], now.boxes_frame[1])


def test_a_box_stays_where_fewer_joints_are_trusted_than_asked() -> None:
    points = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    key = People(np.zeros(1, np.int64), np.array([[0, 0, 40, 40]], np.float32), points, np.ones((1, 17), np.float32))
    scores = np.where(np.arange(17) < 6, 0.9, 0.1).astype(np.float32)[None]
    now = People(key.ids, key.boxes_frame, points + 10, scores)
    np.testing.assert_array_equal(carried_boxes(key, now, 0.3, fewest=7), now.boxes_frame)
    np.testing.assert_allclose(carried_boxes(key, now, 0.3, fewest=6)[:, 2:], key.boxes_frame[:, 2:] + 10, atol=1e-3)


def test_a_box_grows_no_faster_than_it_may() -> None:
    before = np.array([[10, 10, 30, 50]], np.float32)
    wide = np.array([[0, 12, 40, 48]], np.float32)
    np.testing.assert_allclose(bounded_boxes(wide, before, 1.1), [[9, 11.818, 31, 48.182]], atol=1e-3)
    np.testing.assert_array_equal(bounded_boxes(wide, before, 2.0), wide)


def test_crops_touch_where_they_share_a_part_of_the_frame() -> None:
    assert not any_touch([CropTransform(np.array([[1.0, 0, 0], [0, 1, 0]]), 64, 48)])
    for offset, touches in (((47, 0), True), ((48, 0), False), ((0, 63), True), ((0, 64), False), ((-47, -63), True)):
        there = np.array([[2.0, 0, -2 * offset[0]], [0, 2, -2 * offset[1]]])
        crops = [CropTransform(np.array([[1.0, 0, 0], [0, 1, 0]]), 64, 48), CropTransform(there, 128, 96)]
        assert any_touch(crops) == touches
        assert any_touch(crops[::-1]) == touches


@pytest.mark.parametrize("padding", [1.0, 1.1, None])
def test_an_imported_network_sees_as_much_around_a_person_as_it_needs(padding: float | None) -> None:
    imported = ImportedSpec("net", FAST_BASE.height, FAST_BASE.width, 1, 1, "0" * 64, padding)
    (own, *_), (its, *_) = (crop_transforms(BOXES, Plan(arch)) for arch in (FAST_BASE, imported))
    assert its.scale / own.scale == pytest.approx(1.25 / (padding or 1.25))
    middle = its.to_frame(np.array([(its.width - 1) / 2, (its.height - 1) / 2]))
    np.testing.assert_allclose(own.to_crop(middle), [(own.width - 1) / 2, (own.height - 1) / 2], atol=1e-3)


def test_next_boxes_are_bounded_and_need_half_the_joints_only_where_joints_are_kept_steady() -> None:
    points = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    key = People(np.zeros(1, np.int64), np.array([[0, 0, 40, 40]], np.float32), points, np.ones((1, 17), np.float32))
    few = replace(key, scores=np.where(np.arange(17) < 6, 0.9, 0.1).astype(np.float32)[None])
    large = replace(key, points_frame=points * 2)
    plain, steady = PropagationOptions(steady_joints=False), PropagationOptions()
    np.testing.assert_array_equal(next_boxes(key, few, steady, 0.0), key.boxes_frame)
    assert not np.array_equal(next_boxes(key, replace(few, points_frame=points + 5), plain, 0.0), key.boxes_frame)
    np.testing.assert_array_equal(next_boxes(key, large, plain, 0.1), carried_boxes(key, large, steady.point_score))
    sides = np.diff(next_boxes(key, large, steady, 0.1).reshape(2, 2), axis=0)
    np.testing.assert_allclose(sides, 40 * np.exp(0.1 * steady.box_growth_per_s), rtol=1e-5)


def test_heatmaps_that_are_no_numbers_are_an_error() -> None:
    transforms = crop_transforms(BOXES, KEY)
    heatmaps = np.zeros((2, 17, KEY.arch.height // 4, KEY.arch.width // 4), np.float32)
    heatmaps[1, 3, 5, 5] = np.nan
    with pytest.raises(WeightsError, match="no numbers"):
        decode_poses(transforms, heatmaps, HeatmapCodec(KEY.arch.height, KEY.arch.width))


@pytest.mark.parametrize("gap_s", [230.0, 3600.0, 1.7e9])
def test_any_time_may_pass_between_two_frames(gap_s: float) -> None:
    points = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    key = People(np.zeros(1, np.int64), np.array([[0, 0, 40, 40]], np.float32), points, np.ones((1, 17), np.float32))
    options = PropagationOptions()
    unbounded = carried_boxes(key, key, options.point_score)
    np.testing.assert_allclose(next_boxes(key, key, options, gap_s), unbounded, atol=1e-3)
