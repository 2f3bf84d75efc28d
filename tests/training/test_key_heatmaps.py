"""Heatmaps of key frames: errors that can be undone, mixtures in which every clip has one key network."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vipnas_cli.data.augment import Augmentation
from vipnas_cli.inference.frozen import TorchKey
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.pose import CropTransform
from vipnas_cli.spec import FAST_BASE
from vipnas_cli.training.clip_batches import ClipBatches, ClipOptions, KeyView
from vipnas_cli.training.data import Folders, clip_source, still_source
from vipnas_cli.training.key_heatmaps import distorted, exchanged, key_heatmaps, shifted
from vipnas_cli.training.options import KeyErrors, LoopOptions
from vipnas_cli.training.recipe import DataShare, Recipe

NONE = KeyErrors(jitter=0, width=0, missed=0, exchanged=0, ghosts=0)
SIZES = ((64, 32), (96, 64))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def maps() -> torch.Tensor:
    return torch.rand(2, 17, 16, 8, generator=generator())


def test_without_errors_heatmaps_stay_as_they_are() -> None:
    assert torch.equal(distorted(maps(), NONE, generator()), maps())
    assert torch.equal(distorted(maps(), replace(NONE, missed=1), generator()), torch.zeros_like(maps()))


def test_sides_exchanged_twice_are_as_before() -> None:
    chosen = torch.rand(2, 17, generator=generator()) < 0.5
    once = exchanged(maps(), chosen)
    assert not torch.equal(once, maps())
    assert torch.equal(exchanged(once, chosen), maps())


def test_a_shift_moves_whole_cells_and_brings_in_nothing() -> None:
    moved = shifted(maps(), torch.tensor([2.0, -3.0]).expand(2, 17, 2))
    assert torch.equal(moved[:, :, :-3, 2:], maps()[:, :, 3:, :-2])
    assert moved[:, :, -3:].sum() == 0
    assert moved[:, :, :, :2].sum() == 0


def test_labels_are_drawn_where_they_are_known() -> None:
    points = torch.rand(1, 17, 2, generator=generator()) * 20 + 6
    weights = (torch.arange(17) % 2).float()[None]
    eye = torch.eye(16)[None], torch.eye(8)[None]
    view = KeyView(None, torch.zeros(1, 64, 32, 3, dtype=torch.uint8), points, weights, *eye)
    found = key_heatmaps((view,), (), NONE, generator())[0]
    assert found[::2].sum() == 0
    peaks = found[1::2].flatten(1).argmax(1)
    cells = torch.stack([peaks % 8, peaks // 8], 1) * 4 + 1.5
    assert (cells - points[0, 1::2]).abs().max() <= 2


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> ClipBatches:
    folder = tmp_path_factory.mktemp("clips")
    recipe = Recipe("r", "cycle", 12, LoopOptions(1), (DataShare("synthetic", 1.0, count=4),), stills=0.5, followers=2)
    people = clip_source(recipe, Folders(folder, folder)), still_source(recipe, Folders(folder, folder))
    return ClipBatches(*people, ClipOptions(SIZES, (SIZES[0], SIZES[0]), 12, drawn=0.3), Augmentation(), 0)


def test_every_clip_of_a_mixture_has_one_key_network(batches: ClipBatches) -> None:
    batch, again = batches.batch(3), batches.batch(3)
    assert [view.key for view in batch.views] == [0, 1, None]
    assert sum(len(view.crops) for view in batch.views) == 12 == len(batch.crops[0])
    assert [view.crops.shape[1:3] for view in batch.views] == [(64, 32), (96, 64), (64, 32)]
    assert all(torch.equal(view.crops, other.crops) for view, other in zip(batch.views, again.views, strict=True))
    keys = tuple(TorchKey(PoseNet(replace(FAST_BASE, height=h, width=w))) for h, w in SIZES)
    found = key_heatmaps(batch.views, keys, KeyErrors(spoiled=0.5), generator())
    assert found.shape == (12, 17, 16, 8)
    # What a clip gets is its own key network's: the same view alone gives the same rows.
    alone = key_heatmaps(batch.views[:1], keys, KeyErrors(), generator())
    plain = key_heatmaps(batch.views, keys, KeyErrors(), generator())
    torch.testing.assert_close(plain[: len(alone)], alone)


def test_crops_of_a_key_network_are_as_large_as_it_is_used_to(batches: ClipBatches) -> None:
    def scales(paddings: tuple[float, ...]) -> list[float]:
        """The scale of each clip's crops on its key frame and of its first follower."""
        found: list[float] = []

        def watched(box: np.ndarray, *rest: float) -> CropTransform:
            found.append(rest[2])
            return CropTransform.from_box(box, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vipnas_cli.training.clip_batches.CropTransform", SimpleNamespace(from_box=watched))
            options = replace(batches.options, key_paddings=paddings, drawn=0.0)
            own = replace(batches, options=options)
            samples = [own._sample(np.random.default_rng((0, 3, row))) for row in range(12)]
        of_keys = [found[3 * row] / found[3 * row + 1] for row in range(12)]
        assert found[1::3] == found[2::3]
        return [ratio if sample.key else 0 for ratio, sample in zip(of_keys, samples, strict=True)]

    second = [sample != 0 for sample in scales((1.25, 1.1))]
    assert 0 < sum(second) < 12
    np.testing.assert_allclose(scales((1.25, 1.1)), np.where(second, 1.1 / 1.25, 0))
    np.testing.assert_allclose(scales(()), second)


def test_one_key_network_leaves_clips_in_their_places(batches: ClipBatches) -> None:
    single = replace(batches, options=replace(batches.options, key_sizes=SIZES[:1], drawn=0.0))
    (view,) = single.batch(0).views
    rows = [single._sample(np.random.default_rng((0, 0, row))) for row in range(12)]
    assert all(
        torch.equal(crop, torch.from_numpy(row.frames[0][0])) for crop, row in zip(view.crops, rows, strict=True)
    )
