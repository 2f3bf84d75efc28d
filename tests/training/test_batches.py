"""Laws of what networks are trained on: mixes, simulated clips, trust in labels, and that ten samples can be learnt."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from vipnas_cli.data.augment import Augmentation  # noqa: E402
from vipnas_cli.data.people_labels import KEYPOINTS, LabelledPerson, person_from_coco, reliability_of  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet, network_input  # noqa: E402
from vipnas_cli.spec import FAST_BASE, ArchSpec, HeadSpec, StageSpec, StemSpec  # noqa: E402
from vipnas_cli.training.batches import Batch, StillBatches  # noqa: E402
from vipnas_cli.training.clip_batches import ClipBatches, ClipOptions  # noqa: E402
from vipnas_cli.training.data import ClipSource, StillSource  # noqa: E402
from vipnas_cli.training.loop import Trainer  # noqa: E402
from vipnas_cli.training.losses import gaussian_targets, heatmap_loss  # noqa: E402
from vipnas_cli.training.options import LoopOptions  # noqa: E402
from vipnas_cli.training.validation import PoseScore  # noqa: E402

SIZE = (64, 32)


def people(count: int, prefix: str = "p") -> tuple[list[LabelledPerson], dict[Path, np.ndarray]]:
    """People whose joints are white dots on noise."""
    generator = np.random.default_rng(count)
    rows, images = [], {}
    for number in range(count):
        path = Path(f"{prefix}{number}")
        image = generator.integers(0, 120, (96, 64, 3), np.uint8)
        points = generator.uniform([14, 16], [50, 80], (KEYPOINTS, 2)).astype(np.float32)
        for x, y in points.round().astype(int):
            image[y - 1 : y + 2, x - 1 : x + 2] = 255
        images[path] = image
        rows.append(LabelledPerson(path, np.array([8, 8, 56, 88], np.float32), points, np.ones(KEYPOINTS, np.float32)))
    return rows, images


def small_net() -> PoseNet:
    stages = tuple(StageSpec(16, 1, 3, 1, 1, False) for _ in FAST_BASE.stages)
    torch.manual_seed(0)
    return PoseNet(ArchSpec("fast", *SIZE, StemSpec(16, 3), stages, HeadSpec(32, 2, 1, refine=3)))


def test_data_sets_are_mixed_by_their_shares() -> None:
    (many, images), (few, others) = people(9, "many"), people(2, "few")
    source = StillSource({**images, **others}, ((many, 1.0), (few, 3.0)))
    generator = np.random.default_rng(0)
    drawn = [source.draw(generator).image.name for _ in range(2000)]
    assert sum(name.startswith("few") for name in drawn) / 2000 == pytest.approx(0.75, abs=0.03)
    assert len(set(drawn)) == 11


def test_a_batch_names_its_images_and_a_step_repeats() -> None:
    rows, images = people(5)
    source = StillBatches(StillSource(images, ((rows, 1.0),)), SIZE, 6, Augmentation(), 4)
    once, again, other = source.batch(3), source.batch(3), source.batch(4)
    assert torch.equal(once.crops, again.crops)
    assert not torch.equal(once.crops, other.crops)
    assert len(once.ids) == 6
    assert set(once.ids) <= {str(path) for path in images}


def test_flipping_twice_is_the_identity(no_augmentation: Augmentation) -> None:
    rows, images = people(3)
    mirrored = {path: np.ascontiguousarray(image[:, ::-1]) for path, image in images.items()}
    flip = Augmentation(1, (1, 1), 0, 0, 0, 0, 0, 0, 0)
    swapped = [_mirrored(row, 64) for row in rows]
    plain = StillBatches(StillSource(images, ((rows, 1.0),)), SIZE, 4, no_augmentation, 1).batch(0)
    twice = StillBatches(StillSource(mirrored, ((swapped, 1.0),)), SIZE, 4, flip, 1).batch(0)
    assert plain.ids == twice.ids
    torch.testing.assert_close(plain.points_crop, twice.points_crop, atol=1e-4, rtol=0)
    assert (plain.crops.float() - twice.crops.float()).abs().mean() < 1


def _mirrored(person: LabelledPerson, width: int) -> LabelledPerson:
    """The person in the mirrored picture; box edges lie half a pixel outside the outermost pixels."""
    from vipnas_cli.pose import COCO17

    order = list(COCO17.flip_order)
    points = person.points_frame[order] * [-1, 1] + [width - 1, 0]
    x0, y0, x1, y1 = person.box_frame
    box = np.array([width - x1, y0, width - x0, y1], np.float32)
    return LabelledPerson(person.image, box, points.astype(np.float32), person.weights[order])


def test_clips_of_stills_move_their_crops_and_limbs_and_points_stay_on_pixels(no_augmentation: Augmentation) -> None:
    rows, images = people(4)
    dark = {path: np.zeros_like(image) for path, image in images.items()}
    for row in rows:
        x, y = row.points_frame[9].round().astype(int)
        row.points_frame[9] = x, y
        dark[row.image][y - 1 : y + 2, x - 1 : x + 2] = 255
    still = ClipOptions(((64, 32),), ((64, 32),) * 3, 6, stills=1.0)
    source = ClipBatches(ClipSource({}, ()), StillSource(dark, ((rows, 1.0),)), still, no_augmentation, 2)
    batch = source.batch(0)
    paths = torch.stack(batch.points_crop)[:, :, 9]
    assert (paths[2] - paths[0]).norm(dim=-1).mean() > 1
    # Limbs move against the body: distances between joints change from frame to frame.
    spread = torch.stack([points[:, 9] - points[:, 5] for points in batch.points_crop])
    scale = torch.stack([points[:, 11] - points[:, 5] for points in batch.points_crop]).norm(dim=-1)
    assert ((spread.norm(dim=-1) / scale).std(0) > 0.01).any()
    met = 0
    for crops, points, weights in zip(batch.crops, batch.points_crop, batch.weights, strict=True):
        for crop, point, weight in zip(crops.numpy(), points[:, 9].numpy(), weights[:, 9], strict=True):
            bright, lines = np.nonzero(crop[:, :, 0] > 60)[::-1], crop.max()
            if weight > 0 and lines > 120 and 3 < point[0] < 28 and 3 < point[1] < 60:
                np.testing.assert_allclose([bright[0].mean(), bright[1].mean()], point, atol=1.2)
                met += 1
    assert met >= 6


def test_labels_count_by_how_far_they_are_trusted() -> None:
    keypoints = [5.0, 6.0, 2.0] * KEYPOINTS
    scores = [0.3] + [0.9] * (KEYPOINTS - 1)
    by_teacher = reliability_of({"teacher_scores": scores, "source": "teacher"})
    assert by_teacher == pytest.approx([0.5] + [1.0] * (KEYPOINTS - 1))
    mixed = reliability_of({"teacher_scores": scores, "source": "mixed", "joint_source": "h" + "t" * 16})
    assert mixed == [1.0] * KEYPOINTS
    assert reliability_of({}) == reliability_of({"teacher_scores": None}) == [1.0] * KEYPOINTS
    stated = reliability_of({"reliability": [0.25] * KEYPOINTS})
    person = person_from_coco(Path("x"), [0, 0, 9, 9], keypoints, stated)
    assert person.weights == pytest.approx([0.25] * KEYPOINTS)


def test_ten_samples_can_be_learnt_by_heart(tmp_path: Path, no_augmentation: Augmentation) -> None:
    rows, images = people(10)
    source = StillBatches(StillSource(images, ((rows, 1.0),)), SIZE, 10, no_augmentation, 0)
    net = small_net()
    trainer = Trainer(net, LoopOptions(150, 0.02, 1.0, 0.0, warmup=10, average_decay=0.5), {})
    floors = []

    def loss_of(batch: Batch) -> Tensor:
        targets = gaussian_targets(batch.points_crop, SIZE[0] // 4, SIZE[1] // 4).flatten(2)
        wanted = targets / targets.sum(-1, keepdim=True)
        floors.append(float(-(wanted * wanted.clamp(min=1e-12).log()).sum(-1).mean()))
        raw = net.raw(network_input(batch.crops))
        return heatmap_loss(raw, batch.points_crop, batch.weights, "softmax")

    losses = [event.loss for event in trainer.run(source, loss_of, tmp_path / "a.safetensors")]
    # Cross entropy has its least value at the targets' own entropy.
    above = np.array(losses) - np.array(floors)
    assert above[-10:].mean() < 0.05 * above[0]
    assert PoseScore.of(rows, images, SIZE)(net.eval()) > 90
