"""What a verifier learns on: boxes that are right, wrong and moved, and the people whom they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vipnas_cli.data.augment import Augmentation
from vipnas_cli.data.crowds import Scene
from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.pose.boxes import decode_deltas, iou
from vipnas_cli.pose.geometry import SURROUNDINGS
from vipnas_cli.spec import FAST_BASE, ArchSpec, HeadSpec, StageSpec, StemSpec
from vipnas_cli.training.data import PictureSource
from vipnas_cli.training.verifier import (
    BOXES_PER_PHOTO,
    Found,
    VerificationBatch,
    VerificationBatches,
    place_targets,
    sample_boxes,
    verification_loss,
)

STAGES = tuple(StageSpec(8, 1, 3, 1, 2, False) for _ in FAST_BASE.stages)
PERSON, THING = [10, 10, 50, 90], [60, 20, 90, 90]
FOUND = Found(np.array([PERSON, THING], np.float32), np.array([0.8, 0.4], np.float32))


def scene(people: list[list[int]], ignored: list[list[int]] | None = None) -> Scene:
    rows = [np.array(row or [], np.float32).reshape(-1, 4) for row in (people, ignored)]
    return Scene(np.zeros((96, 96, 3), np.uint8), *rows)


def many(found: Found, where: Scene, complete: bool = True) -> np.ndarray:
    return np.concatenate([sample_boxes(found, where, complete, np.random.default_rng(seed)) for seed in range(30)])


def overlap(boxes: np.ndarray, other: list[int]) -> np.ndarray:
    return iou(boxes, np.array([other], np.float32))[:, 0]


def test_places_lead_from_boxes_to_the_people_they_mean() -> None:
    people = np.array([PERSON, THING], np.float32)
    boxes = np.array([[0, 0, 40, 80], [20, 30, 60, 110], [70, 20, 90, 80]], np.float32)
    places = place_targets(boxes, people, np.zeros(3, bool))
    np.testing.assert_allclose(decode_deltas(boxes, places, 200, 200), people[[0, 0, 1]], atol=1e-4)
    mirrored = place_targets(boxes, people, np.ones(3, bool))
    np.testing.assert_allclose(mirrored[:, [0, 2]], 1 - places[:, [2, 0]], atol=1e-6)
    np.testing.assert_allclose(mirrored[:, [1, 3]], places[:, [1, 3]])
    assert place_targets(boxes, people[:0], np.ones(3, bool)).tolist() == [[0, 0, 1, 1]] * 3
    assert place_targets(boxes[:0], people, np.ones(0, bool)).shape == (0, 4)


def test_right_wrong_and_moved_boxes_are_drawn() -> None:
    boxes = many(FOUND, scene([PERSON]))
    assert boxes.shape == (30 * BOXES_PER_PHOTO, 4)
    things = overlap(boxes, THING) > 0.8
    assert 0.3 < things.mean() < 0.6
    assert overlap(boxes[~things], PERSON).min() > 0.05
    assert 0.25 < (overlap(boxes, PERSON) > 0.85).mean() < 0.6


def test_where_people_may_lack_a_label_nothing_found_is_wrong() -> None:
    assert overlap(many(FOUND, scene([PERSON]), complete=False), THING).max() < 0.2
    assert overlap(many(FOUND, scene([PERSON], [[55, 15, 95, 95]])), THING).max() < 0.2


def test_a_picture_without_people_or_finds_gives_boxes_as_well() -> None:
    nothing = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    boxes = many(nothing, scene([]))
    assert ((boxes[:, 2:] - boxes[:, :2]) > 4).all()
    # Nobody is there, so that whatever is found is wrong.
    assert overlap(many(FOUND, scene([])), THING).max() > 0.8


def test_a_batch_can_be_drawn_again_and_shows_the_person(no_augmentation: Augmentation) -> None:
    torch.manual_seed(0)
    image = np.zeros((96, 96, 3), np.uint8)
    image[10:90, 10:50] = 255
    label = LabelledImage(Path("a"), 96, 96, np.array([PERSON], np.float32), np.zeros((0, 4), np.float32))
    source = PictureSource({label.image: image}, (([label], 1.0),))
    arch = ArchSpec("fast", 96, 96, StemSpec(8, 3), STAGES, HeadSpec(16, 2, 1))
    detector = PersonDetector(arch).eval()
    batches = VerificationBatches(source, detector, (64, 32), 16, (1.0, 1.0), no_augmentation, 5)
    batch, again = batches.batch(3), batches.batch(3)
    assert batch.crops.shape == (16, 64, 32, 3)
    assert torch.equal(batch.crops, again.crops)
    assert torch.equal(batch.places, again.places)
    assert torch.equal(batch.right, again.right)
    assert batch.ids == ("a", "a")
    assert batch.right.any()
    # Where a place says that the person's middle is, the crop shows it.
    sides = torch.tensor([32, 64]) / SURROUNDINGS
    for crop, place in zip(batch.crops[batch.right], batch.places[batch.right], strict=True):
        x, y = (torch.tensor([16, 32]) + ((place[:2] + place[2:]) / 2 - 0.5) * sides).round().int().tolist()
        assert (crop[min(max(y, 0), 63), min(max(x, 0), 31)] > 250).all()


def test_right_answers_cost_less_than_wrong_ones() -> None:
    stays, grown = [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, float(np.log(2)), float(np.log(2))]
    places = torch.tensor([[-0.5, -0.5, 1.5, 1.5], [0.0, 0.0, 1.0, 1.0]])
    batch = VerificationBatch(torch.zeros(2, 2, 2, 3), places, torch.tensor([True, False]))

    def cost(first: list[float], second: list[float]) -> float:
        return float(verification_loss(torch.tensor([first, second]), batch))

    assert cost([6.0, *grown], [-6.0, *stays]) < 0.01
    # A thing has no place that could be wrong.
    assert cost([6.0, *grown], [-6.0, *grown]) == cost([6.0, *grown], [-6.0, *stays])
    assert cost([6.0, *grown], [6.0, *stays]) > 1
    assert cost([-6.0, *grown], [-6.0, *stays]) > 1
    # Who puts a box to the wrong place should not believe in it: a quarter of the person is not enough.
    assert cost([6.0, *stays], [-6.0, *stays]) > cost([-6.0, *stays], [-6.0, *stays]) > 0.5
