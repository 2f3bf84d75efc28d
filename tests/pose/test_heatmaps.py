"""Keypoints survive the way through heatmaps; mirrored crops have mirrored heatmaps."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.pose import COCO17, HeatmapCodec
from vipnas_cli.pose.heatmaps import Decoding

SIZES = [(256, 192), (192, 128), (128, 96)]


def points_of(height: int, width: int) -> np.ndarray:
    """Points (1, K, 2) all over a crop: a fine grid near every border and corner, and random ones inside."""
    x = np.r_[np.arange(0, 8, 0.7), np.arange(width - 8, width - 1, 0.7), width - 1]
    y = np.r_[np.arange(0, 8, 0.7), np.arange(height - 8, height - 1, 0.7), height - 1]
    border = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    inside = np.random.default_rng(0).uniform((0, 0), (width - 1, height - 1), (500, 2))
    return np.concatenate([border, inside])[None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("decoding", "tolerance"), [("gaussian", 0.5), ("quarter", 2.0)])
def test_round_trip(size: tuple[int, int], decoding: Decoding, tolerance: float) -> None:
    codec = HeatmapCodec(*size, decoding=decoding)
    points = points_of(*size)
    found, scores = codec.decode(codec.encode(points))
    assert np.abs(found - points).max() <= tolerance
    assert scores.min() > 0.7
    assert scores.max() <= 1


def test_a_dimmed_gaussian_is_found_at_the_same_place() -> None:
    codec = HeatmapCodec(256, 192)
    points = points_of(256, 192)
    found, scores = codec.decode(0.3 * codec.encode(points))
    assert np.abs(found - points).max() <= 0.5
    assert scores.max() <= 0.3 + 1e-6


def test_little_noise_moves_points_little() -> None:
    codec = HeatmapCodec(256, 192)
    points = np.random.default_rng(1).uniform((12, 12), (179, 243), (1, 400, 2))
    noise = np.random.default_rng(2).normal(0, 0.01, (1, 400, 64, 48))
    found, _ = codec.decode(codec.encode(points) + noise)
    assert np.abs(found - points).max() < 1


@pytest.mark.parametrize("decoding", ["gaussian", "quarter"])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_flat_maps_decode_to_finite_points_inside(decoding: Decoding, value: float) -> None:
    codec = HeatmapCodec(64, 32, decoding=decoding)
    points, scores = codec.decode(np.full((2, 3, 16, 8), value, np.float32))
    assert np.isfinite(points).all()
    assert (scores == max(value, 0)).all()
    assert ((points > -3) & (points < np.array([34, 66]))).all()


def test_cells_and_pixels_invert_each_other() -> None:
    codec = HeatmapCodec(256, 192)
    points = points_of(256, 192)
    np.testing.assert_allclose(codec.to_crop(codec.to_heatmap(points)), points)
    # The first cell covers pixels 0 … 3.
    assert codec.to_crop(np.zeros(2)) == pytest.approx([1.5, 1.5])


def test_a_mirrored_crop_has_the_mirrored_heatmap() -> None:
    codec = HeatmapCodec(256, 192)
    points = points_of(256, 192)
    mirrored = np.stack([191 - points[..., 0], points[..., 1]], -1)
    np.testing.assert_allclose(codec.encode(mirrored), codec.encode(points)[..., ::-1], atol=1e-6)


def test_flip_order_puts_every_joint_back() -> None:
    codec = HeatmapCodec(256, 192)
    points = np.random.default_rng(3).uniform(10, 180, (1, 17, 2))
    heatmaps = codec.encode(points)
    # What a network sees in the mirrored picture: the person's left arm looks like a right arm.
    order = list(COCO17.flip_order)
    seen = np.stack([191 - points[..., 0], points[..., 1]], -1)[:, order]
    restored = codec.encode(seen)[:, order][..., ::-1]
    np.testing.assert_allclose(restored, heatmaps, atol=1e-6)


def test_nobody_decodes_to_nothing() -> None:
    points, scores = HeatmapCodec(64, 64).decode(np.zeros((0, 17, 16, 16), np.float32))
    assert points.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


def test_far_points_give_empty_maps_and_peaks_reach_one() -> None:
    codec = HeatmapCodec(64, 64)
    maps = codec.encode(np.array([[500.0, 500.0], [1.5, 1.5]]))
    assert maps[0].max() < 1e-6
    assert maps[1].max() == 1
    assert maps[1, 0, 0] == 1


def test_sigma_is_two_cells_for_64_rows() -> None:
    assert HeatmapCodec(256, 192).sigma == 2
    assert HeatmapCodec(128, 96).sigma == 1


def test_sizes_must_fit_the_stride() -> None:
    with pytest.raises(SpecError, match="stride 4"):
        HeatmapCodec(255, 192)
