"""Heatmaps follow the crop: what stays is untouched, what moves lands where the crop says."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.pose import CropTransform, HeatmapCodec
from vipnas_cli.pose.realign import interpolation_weights, realign, realignment_weights


def random_crop(generator: np.random.Generator, size: tuple[int, int] = (256, 192)) -> CropTransform:
    """A crop somewhere in a large frame."""
    low = generator.uniform(0, 1500, 2)
    return CropTransform.from_box(np.concatenate([low, low + generator.uniform(10, 900, 2)]), *size)


def test_the_identity_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    # One cell at a time is the hardest case: any leak into a neighbour shows.
    heatmaps = np.eye(64 * 48, dtype=np.float32)[::97].reshape(1, -1, 64, 48)
    for _ in range(100):
        crop = random_crop(generator)
        assert np.array_equal(realign(heatmaps, [crop], [crop]), heatmaps)


@pytest.mark.parametrize("target_size", [(256, 192), (192, 128), (128, 96)])
def test_a_peak_moves_with_its_crop(target_size: tuple[int, int]) -> None:
    generator = np.random.default_rng(1)
    source_codec, target_codec = HeatmapCodec(256, 192), HeatmapCodec(*target_size)
    for _ in range(50):
        low = generator.uniform(100, 500, 2)
        box = np.concatenate([low, low + generator.uniform(80, 300, 2)])
        size = box[2:] - box[:2]
        factor = generator.uniform(0.8, 1.25)
        middle = (box[:2] + box[2:]) / 2 + generator.uniform(-0.15, 0.15, 2) * size
        source = CropTransform.from_box(box, 256, 192)
        target = CropTransform.from_box(
            np.concatenate([middle - factor * size / 2, middle + factor * size / 2]), *target_size
        )
        points = middle + generator.uniform(-0.25, 0.25, (17, 2)) * size
        carried = realign(source_codec.encode(source.to_crop(points))[None], [source], [target])
        assert carried.shape == (1, 17, target_codec.rows, target_codec.columns)
        found, scores = target_codec.decode(carried)
        assert np.abs(found[0] - target.to_crop(points)).max() < 2
        assert scores.min() > 0.65


def test_a_shift_by_whole_cells_moves_cells() -> None:
    # One crop pixel is one frame pixel here, so 8 frame pixels are 2 cells.
    source = CropTransform(np.array([[1.0, 0, 0], [0, 1, 0]]), 64, 64)
    target = CropTransform(np.array([[1.0, 0, -8], [0, 1, 4]]), 64, 64)
    heatmaps = np.random.default_rng(2).random((1, 2, 16, 16), np.float32)
    carried = realign(heatmaps, [source], [target])
    assert np.array_equal(carried[:, :, 1:, :14], heatmaps[:, :, :15, 2:])
    assert not carried[:, :, 0].any()
    assert not carried[..., 14:].any()


def test_people_are_carried_one_by_one() -> None:
    generator = np.random.default_rng(3)
    heatmaps = generator.random((3, 2, 64, 48), np.float32)
    sources, targets = ([random_crop(generator) for _ in range(3)] for _ in range(2))
    together = realign(heatmaps, sources, targets)
    for i in range(3):
        alone = realign(heatmaps[i : i + 1], sources[i : i + 1], targets[i : i + 1])
        assert together[i] == pytest.approx(alone[0], abs=1e-6)


def test_a_crop_elsewhere_sees_nothing() -> None:
    source = CropTransform.from_box(np.array([0.0, 0, 100, 100]), 64, 64)
    target = CropTransform.from_box(np.array([900.0, 0, 1000, 100]), 64, 64)
    assert not realign(np.ones((1, 1, 16, 16), np.float32), [source], [target]).any()


def test_weights_never_exceed_one() -> None:
    generator = np.random.default_rng(4)
    rows, columns = realignment_weights(
        [random_crop(generator) for _ in range(20)], [random_crop(generator, (128, 96)) for _ in range(20)]
    )
    assert rows.shape == (20, 32, 64)
    assert columns.shape == (20, 24, 48)
    for weights in (rows, columns):
        assert weights.min() >= 0
        assert weights.sum(-1).max() <= 1 + 1e-6
    assert interpolation_weights(np.array([1.0]), np.array([0.25]), 3, 1) == pytest.approx(
        np.array([[[0.75, 0.25, 0]]])
    )


@pytest.mark.parametrize(("rotation", "flip"), [(0.2, False), (np.pi / 2, False)])
def test_rotated_crops_are_refused(rotation: float, flip: bool) -> None:
    box = np.array([0.0, 0, 100, 100])
    target = CropTransform.from_box(box, 64, 64, rotation=rotation, flip=flip)
    with pytest.raises(SpecError, match="rotated"):
        realign(np.ones((1, 1, 16, 16), np.float32), [CropTransform.from_box(box, 64, 64)], [target])


def test_each_keypoint_is_carried_as_far_as_it_moved() -> None:
    source, target = (CropTransform.from_box(np.array(box), 256, 192) for box in ([0, 0, 90, 120], [10, 4, 100, 124]))
    points = np.array([[[20.0, 30.0], [60.0, 80.0], [40.0, 50.0]]], np.float32)
    moves = np.array([[[0.0, 0.0], [-7.0, 5.0], [12.0, -9.0]]])
    codec = HeatmapCodec(256, 192)
    carried = realign(codec.encode(source.to_crop(points)), [source], [target], moves)
    found, _ = codec.decode(carried)
    np.testing.assert_allclose(target.to_frame(found[0]), (points + moves)[0], atol=0.4)
    still = realign(codec.encode(source.to_crop(points)), [source], [target], np.zeros((1, 3, 2)))
    np.testing.assert_array_equal(still, realign(codec.encode(source.to_crop(points)), [source], [target]))
