"""Losses, targets and the temporal unrolling."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.pose import CropTransform, HeatmapCodec  # noqa: E402
from vipnas_cli.pose.realign import realign, realignment_weights  # noqa: E402
from vipnas_cli.training.followers import HeatmapNoise, corrupt, realign_heatmaps  # noqa: E402
from vipnas_cli.training.losses import (  # noqa: E402
    gaussian_targets,
    mean_squared_error,
    position_cross_entropy,
)


def test_targets_on_the_device_equal_the_codec() -> None:
    points = np.random.default_rng(0).uniform(0, [95, 127], (3, 17, 2)).astype(np.float32)
    targets = gaussian_targets(torch.from_numpy(points), 32, 24)
    np.testing.assert_allclose(targets.numpy(), HeatmapCodec(128, 96).encode(points), atol=1e-6)


def test_cross_entropy_is_least_at_the_target_and_ignores_weight_zero() -> None:
    targets = gaussian_targets(torch.tensor([[[40.0, 60.0], [10.0, 20.0]]]), 32, 24)
    right = torch.log(targets + 1e-9)
    weights = torch.tensor([[1.0, 0.0]])
    best = position_cross_entropy(right, targets, weights)
    assert position_cross_entropy(right.roll(3, -1), targets, weights) > best + 0.5
    other = right.clone()
    other[:, 1] = 7.0
    assert torch.equal(position_cross_entropy(other, targets, weights), best)


def test_squared_error_of_the_target_is_zero() -> None:
    targets = gaussian_targets(torch.tensor([[[40.0, 60.0]]]), 32, 24)
    assert mean_squared_error(targets, targets, torch.ones(1, 1)) == 0


def test_heatmaps_are_carried_in_training_as_in_inference() -> None:
    generator = np.random.default_rng(3)
    heatmaps = generator.random((2, 5, 64, 48), np.float32)
    boxes = np.array([[10, 10, 90, 200], [50, 40, 120, 160]], np.float32)
    sources = [CropTransform.from_box(box, 256, 192) for box in boxes]
    targets = [CropTransform.from_box(box + 7, 128, 96) for box in boxes]
    rows, columns = realignment_weights(sources, targets)
    found = realign_heatmaps(torch.from_numpy(heatmaps), torch.from_numpy(rows), torch.from_numpy(columns))
    np.testing.assert_allclose(found.numpy(), realign(heatmaps, sources, targets), atol=1e-5)


def test_noise_only_lowers_and_none_changes_nothing() -> None:
    heatmaps = torch.rand(50, 4, 8, 6)
    noisy = corrupt(heatmaps, HeatmapNoise(), torch.Generator().manual_seed(0))
    assert (noisy <= heatmaps).all()
    assert (noisy.flatten(1).sum(1) == 0).any()
    assert torch.equal(corrupt(heatmaps, HeatmapNoise(0, 0, 0), torch.Generator().manual_seed(0)), heatmaps)
