"""Teachers: what they say of crops of any size, and a loss that is least where the network says the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from vipnas_cli.errors import DataError, WeightsError  # noqa: E402
from vipnas_cli.nets.checkpoints import load_checkpoint, load_pose_net, save_checkpoint  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet, heatmaps_from_raw, network_input  # noqa: E402
from vipnas_cli.pose import COCO17  # noqa: E402
from vipnas_cli.spec import FAST_BASE, Plan, preset  # noqa: E402
from vipnas_cli.spec.families import Output  # noqa: E402
from vipnas_cli.training.data import Folders  # noqa: E402
from vipnas_cli.training.distillation import Teachers, distillation_loss, resized, teachers_of  # noqa: E402
from vipnas_cli.training.recipe import DataShare, read_recipe  # noqa: E402
from vipnas_cli.training.runs import train  # noqa: E402
from vipnas_cli.training.start import RunPlan  # noqa: E402

ARCH = replace(preset("fast-base"), height=64, width=64)


@dataclass(frozen=True)
class Bright:
    """A teacher that finds all joints where the crop is bright, and the left ones only in its left half."""

    height: int
    width: int
    keypoints: int = 17
    name: str = "bright"
    sha256: str = ""

    @property
    def plan(self) -> Plan:
        return Plan(replace(FAST_BASE, height=self.height, width=self.width))

    def __call__(self, crops: Tensor) -> Tensor:
        assert crops.shape[1:3] == (self.height, self.width)
        cells = torch.nn.functional.avg_pool2d(crops.float().mean(3)[:, None], 4)[:, 0]
        found = cells[:, None].repeat(1, 17, 1, 1) / 255
        left = [index for index, name in enumerate(COCO17.keypoints) if name.startswith("left")]
        found[:, left, :, self.width // 8 :] = 0
        return found


def spot(height: int, width: int, y: int, x: int) -> Tensor:
    """A crop (1, H, W, 3) with a bright square of 8 pixels whose middle is at (x, y)."""
    crop = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    crop[:, y - 4 : y + 4, x - 4 : x + 4] = 255
    return crop


def test_a_mirrored_crop_has_mirrored_heatmaps() -> None:
    teachers, crop = Teachers((Bright(64, 64),)), spot(64, 64, 40, 44)
    straight, mirrored = teachers.heatmaps(crop, 16, 16), teachers.heatmaps(crop.flip(2), 16, 16)
    torch.testing.assert_close(mirrored, straight[:, list(COCO17.flip_order)].flip(3))
    # One view of two finds a left joint there; both find the nose.
    assert straight[0, 0].max() == 1
    assert straight[0, COCO17.keypoints.index("left_wrist")].max() == 0.5


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (32, 32), (128, 96)])
def test_a_teacher_of_any_size_sees_the_same_place(size: tuple[int, int]) -> None:
    taught = Teachers((Bright(*size),)).heatmaps(spot(64, 64, 40, 20), 16, 16)[0, 0]
    weights = taught / taught.sum()
    y, x = ((weights.sum(axis) * torch.arange(16)).sum() for axis in (1, 0))
    # The middle of a square from cell 9 to 10 down and 4 to 5 across.
    assert float(y) == pytest.approx(9.5, abs=0.02)
    assert float(x) == pytest.approx(4.5, abs=0.02)


def test_several_teachers_are_averaged() -> None:
    crop = spot(64, 64, 40, 20)
    one, other = (Teachers((Bright(size, size),)).heatmaps(crop, 16, 16) for size in (64, 128))
    torch.testing.assert_close(Teachers((Bright(64, 64), Bright(128, 128))).heatmaps(crop, 16, 16), (one + other) / 2)


def test_crops_of_the_size_are_left_as_they_are() -> None:
    crop = spot(64, 64, 40, 20)
    assert resized(crop, (64, 64)) is crop


@pytest.mark.parametrize("output", ["softmax", "linear"])
def test_the_loss_is_least_where_the_network_says_what_teachers_say(output: Output) -> None:
    raw = torch.randn(2, 17, 16, 12, requires_grad=True)
    taught = heatmaps_from_raw(raw.detach(), output)
    least = distillation_loss(raw, taught, output)
    (gradient,) = torch.autograd.grad(least, raw)
    assert gradient.abs().max() < 1e-6
    assert distillation_loss(raw.detach().roll(2, -1), taught, output) > least


def _checkpoint(path: Path, keypoints: int = 17) -> Path:
    torch.manual_seed(5)
    net = PoseNet(ARCH, keypoints)
    with torch.no_grad():
        # So that it is sure of something.
        net.final.weight /= net.eval().raw(torch.rand(4, 3, 64, 64)).std() / 3
    facts = {"kind": "pose", "plan": Plan(ARCH).to_json(), "keypoints": keypoints}
    save_checkpoint(path, net.state_dict(), facts)
    return path


def _plan(folder: Path, name: str, *teachers: Path, distilled: float = 0.5) -> RunPlan:
    recipe = replace(
        read_recipe("key-128"),
        height=64,
        width=64,
        batch=4,
        start="scratch",
        distilled=distilled,
        data=(DataShare("synthetic", 1.0, count=4),),
        validation=None,
    )
    recipe = replace(recipe, loop=replace(recipe.loop, steps=15, warmup=2, learning_rate=3e-3))
    return RunPlan(recipe, Folders(folder, folder), folder / name, compile=False, teachers=teachers)


def _weights(plan: RunPlan) -> dict[str, Tensor]:
    for _ in train(plan):
        pass
    return load_checkpoint(plan.out)[0]


def test_who_is_taught_comes_nearer_to_the_teacher_than_who_is_not(tmp_path: Path) -> None:
    teacher = _checkpoint(tmp_path / "teacher.safetensors")
    plain, taught = _plan(tmp_path, "p.safetensors"), _plan(tmp_path, "t.safetensors", teacher, distilled=1.0)
    crops = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    wanted = teachers_of(taught, 17).heatmaps(crops, 16, 16)
    distances = []
    for plan in (plain, taught):
        _weights(plan)
        with torch.no_grad():
            raw = load_pose_net(plan.out).eval().raw(network_input(crops))
        distances.append(distillation_loss(raw, wanted, "softmax"))
    assert distances[1] < distances[0]
    assert "--teacher teacher.safetensors" in load_checkpoint(taught.out)[1]["training"]["command"]


def test_labels_alone_are_learned_without_teachers_or_without_their_share(tmp_path: Path) -> None:
    teacher = _checkpoint(tmp_path / "teacher.safetensors")
    plain = _weights(_plan(tmp_path, "plain.safetensors"))
    without = _weights(_plan(tmp_path, "without.safetensors", teacher, distilled=0.0))
    taught = _weights(_plan(tmp_path, "taught.safetensors", teacher))
    assert all(torch.equal(tensor, without[name]) for name, tensor in plain.items())
    assert not all(torch.equal(tensor, taught[name]) for name, tensor in plain.items())


def test_a_teacher_of_other_keypoints_is_refused(tmp_path: Path) -> None:
    teacher = _checkpoint(tmp_path / "teacher.safetensors", keypoints=5)
    with pytest.raises(WeightsError, match=r"teacher\.safetensors has 5 keypoints.*17"):
        teachers_of(_plan(tmp_path, "o.safetensors", teacher), 17)


def test_only_key_networks_have_teachers(tmp_path: Path) -> None:
    text = 'kind = "followers"\npreset = "fast-base"\nheight = 64\nwidth = 64\nbatch = 2\ndistilled = 0.3\n'
    text += '[loop]\nsteps = 2\n[[data]]\nformat = "synthetic"\ncount = 2\nshare = 1.0\n'
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(DataError, match="distilled is for kind pose"):
        read_recipe(str(tmp_path / "r.toml"))
