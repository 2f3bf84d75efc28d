"""Checkpoints with the authors' names give what their published layers give, and others are refused by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from vipnas_cli.bundle.reader import open_bundle  # noqa: E402
from vipnas_cli.errors import WeightsError  # noqa: E402
from vipnas_cli.foreign import importer  # noqa: E402
from vipnas_cli.foreign.authors import load_authors, module_names  # noqa: E402
from vipnas_cli.foreign.authors_importer import import_authors  # noqa: E402
from vipnas_cli.foreign.importer import Origin  # noqa: E402
from vipnas_cli.foreign.known import KNOWN, known_network  # noqa: E402
from vipnas_cli.foreign.signature import open_foreign  # noqa: E402
from vipnas_cli.nets.checkpoints import load_pose_net  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet, heatmaps_from_raw, network_input  # noqa: E402
from vipnas_cli.pose import HeatmapCodec  # noqa: E402
from vipnas_cli.spec import preset  # noqa: E402


def crops() -> Any:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (1, 128, 96, 3), generator=generator, dtype=torch.uint8)


def write(path: Path, state: dict[str, Any], **beside: Any) -> Path:
    torch.save({"meta": {"epoch": 210}, "state_dict": state, **beside}, path)
    return path


@torch.no_grad()
def outputs(own: Any, theirs: Any) -> tuple[Any, Any]:
    """What both make of crops, in double precision: untrained layers would blow single rounding errors up."""
    images = crops()
    return own.double().raw(network_input(images).double()), theirs.double()(images.double())


@pytest.mark.parametrize(("name", "head"), [("mbv3", "keypoint_head"), ("res50", "head")])
def test_the_preset_gives_what_the_published_layers_give(
    tmp_path: Path, published: Callable[..., Any], name: str, head: str
) -> None:
    theirs = published(name, head)
    found = load_authors(write(tmp_path / "net.pth", theirs.state_dict()))
    assert found.preset == {"mbv3": "s-vipnet-mobilenetv3", "res50": "s-vipnet-res50"}[name]
    torch.testing.assert_close(*outputs(found.net, theirs), rtol=1e-4, atol=1e-4)


class HistoryBuffer:
    """As mmengine keeps losses: numbers, and functions by name."""

    def __init__(self) -> None:
        self.history, self.methods = np.arange(3.0), {"min": HistoryBuffer.smallest}

    def smallest(self) -> float:
        return float(self.history.min())


def test_of_more_keypoints_the_first_are_kept_and_notes_are_not_run(
    tmp_path: Path, published: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = published("mbv3", "head", 133)
    place = "mmengine.logging.history_buffer"
    for name in ("mmengine", "mmengine.logging", place):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[place], "HistoryBuffer", HistoryBuffer, raising=False)
    monkeypatch.setattr(HistoryBuffer, "__module__", place)
    notes = {"losses": HistoryBuffer(), "count": np.float64(1)}
    state = {f"module.{key}": tensor for key, tensor in theirs.state_dict().items()}
    found = load_authors(write(tmp_path / "net.pth", state, message_hub=notes))
    own, expected = outputs(found.net, theirs)
    torch.testing.assert_close(own, expected[:, :17], rtol=1e-4, atol=1e-4)


def test_a_peak_on_their_grid_stays_at_its_pixel() -> None:
    codec, place = HeatmapCodec(256, 192), np.array([101.7, 140.2])
    columns, rows = (np.exp(-((4 * np.arange(n) - p) ** 2) / 128) for n, p in zip((48, 64), place, strict=True))
    theirs = torch.from_numpy((rows[:, None] * columns)[None, None].repeat(17, 1).astype(np.float32))
    points, _ = codec.decode(heatmaps_from_raw(theirs, "corner").numpy())
    np.testing.assert_allclose(points[0], np.tile(place, (17, 1)), atol=0.05)


def test_a_checkpoint_becomes_a_bundle_and_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "CLIPS", 1)
    monkeypatch.setattr(importer, "FRAMES", 2)
    net = PoseNet(preset("s-vipnet-mobilenetv3")).eval()
    names = {own: theirs.replace("HEAD", "head") for own, theirs in module_names(net.arch).items()}
    state = {f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": t for n, t in net.state_dict().items()}
    path = write(tmp_path / "net.pth", state)
    out, checkpoint = tmp_path / "net.vipnas", tmp_path / "net.safetensors"
    found = import_authors(path, out, checkpoint, Origin("net", "somewhere"))
    key = open_bundle(out).pipelines[0].networks[0]
    assert key.plan.arch == preset("s-vipnet-mobilenetv3") == load_pose_net(checkpoint).arch
    assert (key.macs, key.parameters) == (found.cost.macs, found.cost.parameters)
    crop = np.random.default_rng(1).integers(0, 256, (1, 256, 192, 3), np.uint8)
    (heatmaps,) = open_foreign(onnx.load_from_string(key.read())).run(["heatmaps"], {"images": crop})
    with torch.no_grad():
        np.testing.assert_allclose(heatmaps, net(network_input(torch.from_numpy(crop))).numpy(), atol=1e-3)


def test_files_of_known_networks_are_told_by_their_names_digits() -> None:
    for network in (network for network in KNOWN if network.imported == "as it is"):
        assert f"-{network.sha256}_" in network.address
        assert known_network(network.sha256.ljust(64, "0")) is network
    assert known_network("f" * 64) is None


class _Command:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def without(state: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "backbone.layer3.se.conv1.conv.bias"), "lacks backbone.layer3.se.conv1.conv.bias"),
        (lambda s: s | {"head.final_layer.bias": torch.zeros(16)}, "head.final_layer.bias is 16 instead of 17"),
        (lambda s: s | {"head.extra.weight": torch.zeros(1)}, "has head.extra.weight, which the published"),
        (lambda _: {"fc.weight": torch.zeros(1)}, "no ViPNAS network of its authors .fc.weight"),
        (lambda s: s | {"x": _Command()}, r"asks for code to be run .\w+.system"),
    ],
)
def test_what_does_not_fit_is_told_by_name(
    tmp_path: Path, published: Callable[..., Any], change: Callable[[Any], Any], said: str
) -> None:
    path = write(tmp_path / "net.pth", change(published("mbv3", "head").state_dict()))
    with pytest.raises(WeightsError, match=said):
        load_authors(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a checkpoint", bytes(500)])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.pth"):
        load_authors(tmp_path / "net.pth")
