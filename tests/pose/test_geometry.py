"""A painted pixel and its keypoint meet in every crop."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vipnas_cli.pose import CropTransform, between

BOX = np.array([40.0, 30.0, 100.0, 150.0], np.float32)


def crops(count: int, seed: int = 0) -> list[CropTransform]:
    """Random crops: any place, size, rotation and mirroring."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        low = generator.uniform(-50, 600, 2)
        box = np.concatenate([low, low + generator.uniform(5, 600, 2)])
        rotation, flip = float(generator.uniform(-np.pi, np.pi)), bool(generator.random() < 0.5)
        found.append(CropTransform.from_box(box, 256, 192, rotation=rotation, flip=flip))
    return found


def blob_centre(crop: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The centre of gravity x, y of what is bright in a crop (H, W, 3)."""
    weights = crop.astype(np.float64).sum(-1)
    rows, columns = np.indices(weights.shape)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def test_round_trip() -> None:
    points = np.random.default_rng(0).uniform(-100, 800, (50, 2))
    for crop in crops(100):
        assert crop.to_frame(crop.to_crop(points)) == pytest.approx(points, abs=1e-3)


def test_the_inverse_and_the_scale_are_those_of_the_matrix() -> None:
    for crop in crops(50):
        np.testing.assert_allclose(crop.inverse[:, :2], np.linalg.inv(crop.matrix[:, :2]), rtol=1e-9)
        np.testing.assert_allclose(crop.matrix[:, :2] @ crop.inverse[:, 2] + crop.matrix[:, 2], 0, atol=1e-9)
        assert crop.scale == pytest.approx(np.sqrt(abs(np.linalg.det(crop.matrix[:, :2]))))


@pytest.mark.parametrize("flip", [False, True])
def test_the_box_fills_the_crop_but_for_the_padding(flip: bool) -> None:
    crop = CropTransform.from_box(BOX, 256, 192, padding=1.0, flip=flip)
    # 60 × 120 grows to 90 × 120; its edges lie half a pixel outside the outermost pixels' centres.
    corners = crop.to_crop(np.array([[25.0 - 0.5, 30 - 0.5], [115.0 - 0.5, 150 - 0.5]]))
    expected = np.array([[-0.5, -0.5], [191.5, 255.5]])
    if flip:
        expected[:, 0] = expected[::-1, 0]
    assert corners == pytest.approx(expected, abs=1e-3)
    assert crop.scale == pytest.approx(256 / 120)


@pytest.mark.parametrize("flip", [False, True])
def test_a_stretched_box_fills_its_share_of_the_crop_in_both_directions(flip: bool) -> None:
    box = np.array([30.0, 40, 130, 70])
    transform = CropTransform.stretched(box, 128, 96, 1.5, flip)
    # Edges lie half a pixel outside the outermost pixels' centres.
    corners = transform.to_crop(np.array([[29.5, 39.5], [129.5, 69.5]])) + 0.5
    left, right = (80, 16) if flip else (16, 80)
    np.testing.assert_allclose(corners, [[left, 128 / 6], [right, 128 * 5 / 6]], atol=1e-4)
    same = CropTransform.from_box(np.array([0.0, 0, 30, 40]), 128, 96, 1.5)
    np.testing.assert_allclose(CropTransform.stretched(np.array([0.0, 0, 30, 40]), 128, 96).matrix, same.matrix)


def test_padding_shows_more() -> None:
    tight, wide = (CropTransform.from_box(BOX, 256, 192, padding=padding) for padding in (1.0, 1.25))
    assert wide.scale == pytest.approx(tight.scale / 1.25)
    centre = np.array([(BOX[0] + BOX[2] - 1) / 2, (BOX[1] + BOX[3] - 1) / 2])
    assert wide.to_crop(centre) == pytest.approx(tight.to_crop(centre), abs=1e-4)


def test_rotation_turns_about_the_centre() -> None:
    straight = CropTransform.from_box(BOX, 256, 192)
    turned = CropTransform.from_box(BOX, 256, 192, rotation=np.pi / 2)
    middle = np.array([95.5, 127.5])
    away = straight.to_crop(np.array([80.0, 60.0])) - middle
    assert turned.to_crop(np.array([80.0, 60.0])) - middle == pytest.approx([-away[1], away[0]], abs=1e-3)


def test_a_flipped_crop_is_the_mirrored_crop() -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 160, 3), np.uint8)
    plain = CropTransform.from_box(BOX, 128, 96).warp(image).astype(int)
    flipped = CropTransform.from_box(BOX, 128, 96, flip=True).warp(image).astype(int)
    # OpenCV rounds sampling positions to 1/32 pixel, on either side of the mirror.
    assert np.abs(plain[:, ::-1] - flipped).max() <= 10


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation", [0.0, 0.4, -1.2])
@pytest.mark.parametrize("scale", [3.0, 1.0, 0.7, 0.51, 0.49, 0.4, 0.34, 0.3, 0.21, 0.12, 0.07])
def test_a_painted_blob_meets_its_keypoint(scale: float, rotation: float, flip: bool) -> None:
    generator = np.random.default_rng(int(scale * 100))
    side = round(96 / 1.25 / scale)
    margin = side
    for _ in range(5):
        middle = margin + generator.uniform(0, 40, 2)
        box = np.concatenate([middle - side / 2, middle + side / 2])
        crop = CropTransform.from_box(box, 96, 96, rotation=rotation, flip=flip)
        assert crop.scale == pytest.approx(scale, rel=0.1)
        keypoint = np.round(middle + generator.uniform(-side / 4, side / 4, 2)).astype(int)
        radius = max(1, round(2 / scale))
        image = np.zeros((2 * margin + 40, 2 * margin + 40, 3), np.uint8)
        x, y = keypoint
        image[y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
        assert blob_centre(crop.warp(image)) == pytest.approx(crop.to_crop(keypoint.astype(float)), abs=0.6)


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_shrinking_is_right_where_the_image_ends(corner: tuple[int, int]) -> None:
    # The crop hangs over the image's corner, so only a part of the image is averaged down.
    image = np.zeros((701, 903, 3), np.uint8)
    x, y = 20 + corner[0] * (903 - 40), 20 + corner[1] * (701 - 40)
    image[y - 6 : y + 7, x - 6 : x + 7] = 255
    crop = CropTransform.from_box(np.array([x - 300.0, y - 280, x + 290, y + 310]), 128, 96)
    assert crop.scale < 0.5
    assert blob_centre(crop.warp(image)) == pytest.approx(crop.to_crop(np.array([x, y], float)), abs=0.6)


@pytest.mark.parametrize("size", [(301, 203), (300, 200), (299, 602), (97, 602)])
def test_shrinking_loses_no_pixel_of_any_image(size: tuple[int, int]) -> None:
    # A ramp shows every shift, and its ends whether the outermost pixels still count.
    across, down = np.meshgrid(np.linspace(0, 200, size[1]), np.linspace(0, 250, size[0]))
    image = np.stack([across, down, across], -1).astype(np.uint8)
    crop = CropTransform.from_box(np.array([0.0, 0, size[1], size[0]]), 64, 48, padding=1.0)
    assert crop.scale < 0.5
    cells = np.stack(np.meshgrid(np.arange(48), np.arange(64)), -1)
    places = crop.to_frame(cells.astype(np.float64))
    inside = ((places > 6) & (places < np.array(size[::-1]) - 7)).all(-1)
    shown = crop.warp(image)
    for channel, (end, pixels) in enumerate([(200, size[1]), (250, size[0])]):
        expected = places[..., channel] * end / (pixels - 1)
        assert np.abs(shown[..., channel] - expected)[inside].max() < 0.6 * end / pixels + 1.5


def test_shrinking_keeps_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 255, (800, 800, 3), np.uint8)
    crop = CropTransform.from_box(np.array([100.0, 100, 700, 700]), 64, 64).warp(image).astype(float)
    assert crop.mean() == pytest.approx(image.mean(), abs=2)
    # Averaging takes the noise away; plain sampling would keep most of it.
    assert crop.std() < 0.3 * image.std()


@pytest.mark.parametrize("box", [(-500.0, -500, -400, -300), (2000.0, 2000, 2400, 2900), (-9000.0, 0, -5000, 4000)])
def test_outside_the_image_is_black(box: tuple[float, ...]) -> None:
    image = np.full((100, 120, 3), 200, np.uint8)
    crop = CropTransform.from_box(np.array(box), 64, 32).warp(image)
    assert crop.shape == (64, 32, 3)
    assert not crop.any()


def test_an_empty_box_gives_a_finite_crop() -> None:
    crop = CropTransform.from_box(np.array([10.0, 10, 10, 10]), 64, 32)
    assert np.isfinite(crop.matrix).all()
    assert crop.warp(np.zeros((20, 20, 3), np.uint8)).shape == (64, 32, 3)


@pytest.mark.parametrize("factor", [3, 5])
def test_averages_are_those_of_squares(factor: int) -> None:
    image = np.random.default_rng(factor).integers(0, 256, (40 * factor, 30 * factor, 3), np.uint8)
    side = 1 / factor
    crop = CropTransform(np.array([[side, 0, (side - 1) / 2], [0, side, (side - 1) / 2]]), 40, 30).warp(image)
    means = image.reshape(40, factor, 30, factor, 3).mean((1, 3))
    assert np.abs(crop - means).max() < 0.51


def test_between_goes_through_the_frame() -> None:
    points = np.random.default_rng(1).uniform(0, 200, (20, 2))
    for source, target in zip(crops(30, 1), crops(30, 2), strict=True):
        matrix = between(source, target)
        expected = target.to_crop(source.to_frame(points).astype(np.float64))
        assert points @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(expected, abs=2e-2)


@pytest.mark.parametrize("factor", [3, 4, 5, 6, 8, 12])
def test_large_people_are_seen_as_the_means_of_whole_squares_of_pixels(factor: int) -> None:
    image = np.random.default_rng(factor).integers(0, 256, (64 * factor, 48 * factor, 3), np.uint8)
    box = np.array([0.0, 0, 48 * factor, 64 * factor])
    shown = CropTransform.from_box(box, 64, 48, padding=1.0).warp(image)
    means = image.reshape(64, factor, 48, factor, 3).mean((1, 3))
    # One rounding for each halving on the way.
    assert np.abs(shown - means).max() <= 1.5
