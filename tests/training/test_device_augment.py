"""Crops made by torch where the network lies are those made by OpenCV, but for rounding."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.data.augment import Augmentation, Degradation, degraded, draw_degradation  # noqa: E402
from vipnas_cli.data.people_labels import LabelledPerson  # noqa: E402
from vipnas_cli.pose import CropTransform  # noqa: E402
from vipnas_cli.training.batches import StillBatches  # noqa: E402
from vipnas_cli.training.data import StillSource  # noqa: E402
from vipnas_cli.training.device_augment import (  # noqa: E402
    DeviceStillBatches,
    ResidentImages,
    degraded_crops,
    fastest_batches,
)

BOXES = [[60, 40, 180, 220], [-30, 100, 60, 300], [100, 100, 130, 160]]


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth picture with edges."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 9, width // 9, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def source() -> StillSource:
    """Two images of different size with three people each."""
    images = {Path("a"): picture(0, 260, 240), Path("b"): picture(1, 200, 300)}
    points = np.random.default_rng(2).uniform([60, 40], [180, 190], (17, 2)).astype(np.float32)
    people = [
        LabelledPerson(path, np.array(box, np.float32), points, np.ones(17, np.float32))
        for path in images
        for box in BOXES
    ]
    return StillSource(images, ((people, 1.0),))


@pytest.mark.parametrize(("rotation", "flip"), [(0.0, False), (0.5, False), (-0.8, True)])
@pytest.mark.parametrize("size", [(128, 96), (64, 48)])
def test_crops_equal_those_of_opencv(rotation: float, flip: bool, size: tuple[int, int]) -> None:
    people = source()
    resident = ResidentImages.of(people, torch.device("cpu"))
    rows = people.sets[0][0]
    transforms = [CropTransform.from_box(row.box_frame, *size, 1.25, rotation, flip) for row in rows]
    found = resident.crops([row.image for row in rows], transforms).numpy().astype(int)
    for crop, row, transform in zip(found, rows, transforms, strict=True):
        expected = transform.warp(people.images[row.image]).astype(int)
        # OpenCV rounds positions to 1/32 pixel, and averages over areas where crops shrink.
        assert np.abs(crop - expected).mean() < (1.0 if transform.scale >= 0.5 else 4.0)


@pytest.mark.parametrize("part", ["shrink", "smear", "colour", "patch", "nothing"])
def test_each_look_equals_that_of_opencv(part: str) -> None:
    crop, generator = picture(3, 128, 96), np.random.default_rng(4)
    options = {"colour": Augmentation(colour=1, blur=0, occlusion=0), "patch": Augmentation(0, colour=0, occlusion=1)}
    if part in options:
        degradations = [draw_degradation((128, 96), options[part], generator) for _ in range(12)]
    else:
        line = np.eye(5, dtype=np.float32) / 5
        degradations = [
            {"shrink": Degradation(shrink=0.5), "smear": Degradation(smear=line), "nothing": Degradation()}[part]
        ]
    found = degraded_crops(torch.from_numpy(np.stack([crop] * len(degradations))), degradations).numpy().astype(int)
    for own, degradation in zip(found, degradations, strict=True):
        assert np.abs(own - degraded(crop, degradation).astype(int)).max() <= 2


def test_whole_batches_have_the_same_people_labels_and_pixels() -> None:
    plain = StillBatches(source(), (64, 48), 12, Augmentation(scale=(0.9, 1.3)), 7)
    found = DeviceStillBatches(plain, ResidentImages.of(plain.source, torch.device("cpu"))).batch(3)
    expected = plain.batch(3)
    assert found.ids == expected.ids
    assert torch.equal(found.points_crop, expected.points_crop)
    assert torch.equal(found.weights, expected.weights)
    assert (found.crops.float() - expected.crops.float()).abs().mean() < 4


def test_on_the_cpu_nothing_is_copied() -> None:
    plain = StillBatches(source(), (64, 48), 12, Augmentation(), 7)
    assert fastest_batches(plain, torch.device("cpu")) is plain
