"""Checkpoints come back as they were written, or are refused with their path."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.checkpoints import load_checkpoint, load_detector, load_pose_net, save_checkpoint
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.spec import ArchSpec, FusionSpec, HeadSpec, Plan, StageSpec, StemSpec

STAGES = tuple(StageSpec(8, 1, 3, 1, 2, False) for _ in range(6))
ARCH = ArchSpec("fast", 64, 32, StemSpec(8, 3), STAGES, HeadSpec(8, 2, 1))


def write_pose(path: Path) -> PoseNet:
    """A small follower and its checkpoint."""
    plan = Plan(ARCH, FusionSpec("add", 2))
    net = PoseNet(plan.arch, 5, plan.fusion).eval()
    save_checkpoint(path, net.state_dict(), {"kind": "pose", "plan": plan.to_json(), "keypoints": 5})
    return net


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "net.safetensors"
    tensors = {
        "a": torch.randn(3, 4).T,
        "b": torch.tensor(7),
        "c": torch.zeros(2, dtype=torch.float16),
        "slice": torch.arange(10.0)[2:5],
    }
    header = {"kind": "test", "step": 3, "plan": {"x": [1, 2.5, None, "ü"]}}
    save_checkpoint(path, tensors, header)
    found, found_header = load_checkpoint(path)
    assert found_header == header
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_writing_replaces_whole_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    for step in range(3):
        save_checkpoint(path, {"a": torch.full((4,), float(step))}, {"step": step})
    assert load_checkpoint(path)[1] == {"step": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, {"a": torch.zeros(1)}, {"step": 1})
    with pytest.raises(TypeError):
        save_checkpoint(path, {"a": torch.ones(1)}, {"step": object()})
    assert load_checkpoint(path)[0]["a"].item() == 0


@pytest.mark.parametrize("keep", [0, 4, 40, 0.5, -1])
def test_truncated_files_are_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, {"a": torch.randn(100)}, {"step": 1})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    assert str(path) in caught.value.what
    assert caught.value.hint


def test_text_files_folders_and_nothing_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.safetensors"
    text.write_text("these are not weights, but some words that are longer than a header\n" * 20)
    for path in (text, tmp_path, tmp_path / "absent.safetensors"):
        with pytest.raises(WeightsError) as caught:
            load_checkpoint(path)
        assert str(path) in caught.value.what


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"vipnas": "{broken"}):
        save_file({"a": torch.zeros(2)}, path, metadata)
        with pytest.raises(WeightsError) as caught:
            load_checkpoint(path)
        assert str(path) in caught.value.what


def test_a_pose_network_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net = write_pose(path)
    loaded = load_pose_net(path).eval()
    images, previous = torch.randn(2, 3, 64, 32), torch.rand(2, 5, 16, 8)
    with torch.no_grad():
        assert torch.equal(loaded(images, previous), net(images, previous))


def test_a_detector_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    net = PersonDetector(ARCH).eval()
    save_checkpoint(path, net.state_dict(), {"kind": "detector", "arch": ARCH.to_json()})
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        pairs = zip(load_detector(path).eval()(images), net(images), strict=True)
        assert all(torch.equal(found, expected) for found, expected in pairs)


def test_one_kind_is_not_taken_for_the_other(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_pose(path)
    with pytest.raises(WeightsError, match="detector"):
        load_detector(path)
    save_checkpoint(path, {}, {"kind": "detector", "arch": ARCH.to_json()})
    with pytest.raises(WeightsError, match="pose"):
        load_pose_net(path)


def test_tensors_that_do_not_fit_the_spec_are_named(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net = write_pose(path)
    tensors, header = load_checkpoint(path)
    del tensors["stem.0.weight"]
    save_checkpoint(path, tensors, header)
    with pytest.raises(WeightsError, match=r"stem\.0\.weight"):
        load_pose_net(path)
    save_checkpoint(path, {**net.state_dict(), "final.bias": torch.zeros(9)}, header)
    with pytest.raises(WeightsError, match=r"final\.bias"):
        load_pose_net(path)
