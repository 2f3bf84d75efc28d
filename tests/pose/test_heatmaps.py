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


def fitted(heatmap: np.ndarray) -> np.ndarray:
    """Cell x, y of a heatmap's peak, moved to the centre of the round Gaussian around it, by the book."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    cells = np.pad(heatmap.astype(np.float64), 2)[row : row + 5, column : column + 5]
    y, x = np.mgrid[-2.0:3, -2:3]
    terms = np.stack([np.ones_like(x), x, y, -(x**2 + y**2)], -1).reshape(-1, 4)
    weights = (np.maximum(cells, 0) / cells.max()).reshape(-1, 1)
    logarithm = np.log(np.maximum(cells / cells.max(), 1e-12)).reshape(-1, 1)
    _, bx, by, curve = np.linalg.lstsq(weights * terms, weights * logarithm)[0][:, 0]
    step = np.array([bx, by]) / (2 * curve) if curve > 1e-3 else np.zeros(2)
    return np.array([column, row]) + np.clip(step, -1, 1)


@pytest.mark.parametrize("size", SIZES)
def test_decoding_is_the_fit_and_the_mass_around_each_peak(size: tuple[int, int]) -> None:
    codec = HeatmapCodec(*size)
    noise = np.random.default_rng(4).uniform(0, 0.05, (1, len(points_of(*size)[0]), codec.rows, codec.columns))
    heatmaps = 0.9 * codec.encode(points_of(*size)) + noise
    found, scores = codec.decode(heatmaps)
    expected = codec.to_crop(np.stack([fitted(heatmap) for heatmap in heatmaps[0]]))
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    reach = round(2 * codec.sigma)
    full = codec.encode(codec.to_crop(np.array([[codec.columns // 2, codec.rows // 2]])))[0]
    whole = full[
        codec.rows // 2 - reach : codec.rows // 2 + reach + 1,
        codec.columns // 2 - reach : codec.columns // 2 + reach + 1,
    ].sum()
    for heatmap, score in zip(heatmaps[0], scores[0], strict=True):
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        near = heatmap[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1].sum()
        assert score == pytest.approx(min(max(heatmap.max(), near / whole), 1), abs=1e-4)


def test_a_batch_decodes_like_its_parts() -> None:
    codec = HeatmapCodec(128, 96)
    heatmaps = np.random.default_rng(5).random((4, 17, 32, 24), np.float32)
    found, scores = codec.decode(heatmaps)
    for person in range(4):
        alone, alone_scores = codec.decode(heatmaps[person : person + 1])
        np.testing.assert_allclose(found[person], alone[0], atol=1e-4)
        np.testing.assert_allclose(scores[person], alone_scores[0], atol=1e-6)


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


def test_the_best_cell_near_a_place_is_read_as_by_decode() -> None:
    codec = HeatmapCodec(64, 48)
    places = np.array([[10.0, 12.0], [36.0, 50.0]])
    alone = codec.encode(places)
    points, scores = codec.decode(alone[None])
    both = np.broadcast_to(np.maximum(alone[0], 0.5 * alone[1]), alone.shape)
    found, found_scores = codec.decode_near(both, places + 2, np.full(2, 12.0))
    np.testing.assert_allclose(found, points[0], atol=1e-3)
    np.testing.assert_allclose(found_scores, scores[0] * (1, 0.5), rtol=1e-3)
    assert codec.decode_near(both[:1] * 0, places[:1], np.ones(1))[1] == 0


def test_cells_near_a_place_are_found_wherever_it_lies() -> None:
    codec, rng = HeatmapCodec(64, 48), np.random.default_rng(1)
    maps, places, reach = rng.random((200, 16, 12)), rng.uniform(-30, 90, (200, 2)), rng.uniform(0.1, 80, 200)
    cells = codec.to_heatmap(places)
    x, y = np.arange(12) - cells[:, :1], np.arange(16) - cells[:, 1:]
    distances = (x[:, None] ** 2 + y[:, :, None] ** 2) / (reach[:, None, None] / codec.stride) ** 2
    near = (np.where(distances <= 1, np.exp(-2 * distances), 0) * maps).reshape(200, -1)
    alone = np.zeros((200, 1, 16, 12))
    alone.reshape(200, -1)[np.arange(200), near.argmax(-1)] = 1
    seen = near.max(-1) > 0
    found, scores = codec.decode_near(maps, places, reach)
    assert (scores[~seen] == 0).all()
    assert 20 < seen.sum() < 180
    np.testing.assert_allclose(found[seen], codec.decode(alone)[0][seen, 0], atol=4)


def test_points_alone_are_those_of_decode() -> None:
    codec, maps = HeatmapCodec(64, 48), np.random.default_rng(2).random((3, 5, 16, 12), np.float32)
    assert np.array_equal(codec.points(maps), codec.decode(maps)[0])


@pytest.mark.parametrize("size", SIZES)
def test_heatmaps_tell_their_codec(size: tuple[int, int]) -> None:
    codec = HeatmapCodec(*size)
    assert HeatmapCodec.of(codec.encode(points_of(*size))) == codec
