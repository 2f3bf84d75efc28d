"""What is exported gives torch's answers and says what it is; what does not is never written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from vipnas_cli.bundle.reader import bundled_weights  # noqa: E402
from vipnas_cli.errors import WeightsError  # noqa: E402
from vipnas_cli.export.decoder import GraphDecoder  # noqa: E402
from vipnas_cli.export.int8 import Crops, Int8Figures, quantised  # noqa: E402
from vipnas_cli.export.networks import ExportOptions, export_detector, export_pose, export_verifier  # noqa: E402
from vipnas_cli.inference.sessions import RuntimeOptions, open_session, read_metadata  # noqa: E402
from vipnas_cli.nets.checkpoints import load_detector, load_pose_net  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet  # noqa: E402
from vipnas_cli.nets.verifier import BoxVerifier  # noqa: E402
from vipnas_cli.onnx.parity import Parity, compare_heatmaps, fixed_people, stands_out  # noqa: E402
from vipnas_cli.onnx.weights import rounded, store_half  # noqa: E402
from vipnas_cli.pose import HeatmapCodec  # noqa: E402
from vipnas_cli.spec import FAST_BASE, ArchSpec, FusionSpec, HeadSpec, Plan, StageSpec, StemSpec  # noqa: E402
from vipnas_cli.spec.presets import VERIFIER  # noqa: E402

STAGES = tuple(StageSpec(8, 1, 3, 1, 2, False) for _ in FAST_BASE.stages)
TINY = ArchSpec("fast", 64, 32, StemSpec(8, 3), STAGES, HeadSpec(16, 2, 1))
CODEC = HeatmapCodec(64, 48)
RELEASED = bundled_weights().parent / "weights"


def tiny_net(fusion: FusionSpec | None = None) -> PoseNet:
    torch.manual_seed(0)
    net = PoseNet(TINY, 17, fusion).eval()
    with torch.no_grad():
        net.final.weight.mul_(300)
    return net


class Different(PoseNet):
    """A network whose graph is not what it computes."""

    def forward(self, images: torch.Tensor, previous_heatmaps: torch.Tensor | None = None) -> torch.Tensor:
        heatmaps = super().forward(images, previous_heatmaps)
        return heatmaps + 0.001 if torch.onnx.is_in_onnx_export() else heatmaps


def test_a_released_network_passes_and_keeps_its_bits_where_fp16_moves_points(tmp_path: Path) -> None:
    checkpoint = RELEASED / "key-pyramid-224.fp16.safetensors"
    if not checkpoint.exists():
        pytest.skip("checkpoints lie in a source checkout only")
    net = load_pose_net(checkpoint)
    exported = export_pose(net, tmp_path / "net.onnx", {}, ExportOptions("auto", decode=True))
    assert exported.parity.compared >= 50
    assert exported.parity.outputs <= 1e-4
    assert exported.parity.places <= 0.1
    assert exported.rounding.usually > 0.1
    assert exported.weights == "fp32"
    with pytest.raises(WeightsError, match="fp16 weights move places"):
        export_pose(net, tmp_path / "half.onnx", {}, ExportOptions("fp16"))


def test_the_released_detector_passes(tmp_path: Path) -> None:
    checkpoint = RELEASED / "detector.fp16.safetensors"
    if not checkpoint.exists():
        pytest.skip("checkpoints lie in a source checkout only")
    net = load_detector(checkpoint)
    exported = export_detector(net, tmp_path / "detector.onnx", {}, "auto")
    assert exported.weights == "fp16"
    # Four bytes are what a parameter takes without halving.
    assert exported.size < 0.6 * 4 * sum(parameter.numel() for parameter in net.parameters())
    assert exported.parity.compared > 0


def test_a_verifier_of_any_number_of_boxes_gives_the_scores_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = BoxVerifier(VERIFIER).eval()
    exported = export_verifier(net, tmp_path / "verifier.onnx", {}, "fp16")
    assert exported.weights == "fp16"
    assert exported.parity.outputs <= 1e-4
    session = open_session(exported.path.read_bytes(), "verifier", RuntimeOptions(1))
    crops = np.random.default_rng(0).integers(0, 256, (3, 128, 96, 3), np.uint8)
    together = session.run(["scores", "places"], {"images": crops})
    one_by_one = [session.run(["scores", "places"], {"images": crops[i : i + 1]}) for i in range(3)]
    for index, expected in enumerate(together):
        np.testing.assert_allclose(expected, np.concatenate([one[index] for one in one_by_one]), atol=1e-5)


def test_a_network_that_differs_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not written"):
        export_pose(Different(TINY).eval(), tmp_path / "net.onnx", {})
    assert list(tmp_path.iterdir()) == []


def test_points_that_differ_are_refused_too() -> None:
    with pytest.raises(WeightsError, match="pixels from torch"):
        Parity(0.0, places=0.2).check("net.onnx")
    with pytest.raises(WeightsError, match="not written"):
        Parity(float("nan")).check("net.onnx")
    Parity(1e-5, 0.05).check("net.onnx")


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    plan = Plan(TINY, FusionSpec("add", 2))
    about = {"licence": "Apache-2.0", "skeleton": "coco17"}
    exported = export_pose(tiny_net(plan.fusion), tmp_path / "net.onnx", about)
    session = open_session(exported.path.read_bytes(), "net.onnx", RuntimeOptions(1))
    facts = read_metadata(session, "net.onnx")
    assert Plan.from_json(facts["plan"]) == plan
    assert facts["macs"] > 0
    assert facts["parameters"] == sum(p.numel() for p in tiny_net(plan.fusion).parameters())
    wanted = {"format", "kind", "vipnas", "opset", "software", "preprocessing", "cropping", "decoding", "weights"}
    assert wanted | set(about) <= set(facts)
    assert json.loads(json.dumps(facts)) == facts


def test_halved_weights_are_those_of_the_rounded_network(tmp_path: Path) -> None:
    net = rounded(tiny_net())
    export_pose(net, tmp_path / "net.onnx", {})
    model = onnx.load(tmp_path / "net.onnx")
    # Batch norms scale the filters, so that folded filters do not fit; these ones do.
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
    before = model.SerializeToString()
    assert store_half(model) > 0
    crops = fixed_people(64, 32)[0]
    results = [
        open_session(data, "net.onnx", RuntimeOptions(1)).run(["heatmaps"], {"images": crops})[0]
        for data in (before, model.SerializeToString())
    ]
    np.testing.assert_array_equal(*results)
    assert len(model.SerializeToString()) < len(before)


def test_weights_that_half_precision_cannot_hold_stay(tmp_path: Path) -> None:
    net = tiny_net()
    with torch.no_grad():
        net.final.weight.mul_(1e7)
    assert not rounded(net).final.weight.isinf().any()


def test_equal_heatmaps_have_no_difference_and_moved_ones_have_theirs() -> None:
    points = np.array([[[20.0, 30.0], [3.0, 60.0]]])
    heatmaps = CODEC.encode(points)
    assert compare_heatmaps(heatmaps, heatmaps, CODEC) == Parity(0.0, 0.0, 0.0, 2)
    moved = compare_heatmaps(heatmaps, CODEC.encode(points + np.array([0.3, 0.4])), CODEC)
    assert moved.places == pytest.approx(0.5, abs=0.05)


def test_of_two_equal_peaks_either_is_right() -> None:
    first, second = CODEC.encode(np.array([[[9.5, 9.5]], [[37.5, 49.5]]]))[:, None]
    assert not stands_out(first + second, 1e-6).any()
    assert stands_out(first + 0.9 * second, 1e-6).all()
    assert not stands_out(np.zeros((1, 1, 16, 12), np.float32), 0).any()
    # Halfway between two cells both are as high, and a wide peak reads otherwise from each.
    assert not stands_out(CODEC.encode(np.array([[[11.5, 9.5]]])), 1e-6).any()


@pytest.mark.parametrize(
    ("after", "ms", "refused"), [(80.0, 4.0, False), (79.1, 4.0, False), (78.9, 4.0, True), (81.0, 6.0, True)]
)
def test_int8_is_refused_with_the_figures_where_it_loses(after: float, ms: float, refused: bool) -> None:
    figures = Int8Figures(80.0, after, 5.0, ms, 200)
    if not refused:
        figures.check("net.onnx")
        return
    with pytest.raises(WeightsError, match=rf"{after:.1f} after 80\.0 on 200 people, {ms:.1f} ms after 5\.0 ms"):
        figures.check("net.onnx")


def test_an_8_bit_network_finds_nearly_the_same(tmp_path: Path) -> None:
    with torch.no_grad():
        net = tiny_net()
        net.final.weight.div_(30)
    whole = export_pose(net, tmp_path / "net.onnx", {}).path.read_bytes()
    crops, points = fixed_people(64, 32)
    small = quantised(whole, Crops({"images": crops}, points, np.ones(points.shape[:2], bool)))
    results = [
        open_session(data, "net.onnx", RuntimeOptions(1)).run(["heatmaps"], {"images": crops})[0]
        for data in (whole, small)
    ]
    changed = np.abs(results[0] - results[1])
    assert 0 < changed.mean() < 0.2 * results[0].std()


@pytest.mark.parametrize("size", [(256, 192), (64, 48)])
def test_the_graph_decodes_as_the_codec_does(size: tuple[int, int]) -> None:
    codec = HeatmapCodec(*size)
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 1, (6, 17, 2)) * [size[1] - 1, size[0] - 1]
    points[0, :4] = [[0, 0], [size[1] - 1, 0], [0, size[0] - 1], [size[1] - 1, size[0] - 1]]
    height = generator.uniform(0.05, 1, (6, 17, 1, 1))
    noise = 0.02 * generator.random((6, 17, codec.rows, codec.columns))
    heatmaps = (height * codec.encode(points) + noise).astype(np.float32)
    heatmaps[1, 0] = 0
    found, scores = GraphDecoder(codec)(torch.from_numpy(heatmaps))
    wanted, wanted_scores = codec.decode(heatmaps)
    np.testing.assert_allclose(found.numpy(), wanted, atol=0.05)
    np.testing.assert_allclose(scores.numpy(), wanted_scores, atol=1e-3)


def test_points_in_the_file_are_those_of_its_heatmaps(tmp_path: Path) -> None:
    exported = export_pose(tiny_net(), tmp_path / "net.onnx", {}, ExportOptions(decode=True))
    crops = fixed_people(64, 32)[0]
    session = open_session(exported.path.read_bytes(), "net.onnx", RuntimeOptions(1))
    for people in (1, 3):
        heatmaps, points, scores = session.run(["heatmaps", "points", "scores"], {"images": crops[:people]})
        wanted, wanted_scores = HeatmapCodec(64, 32).decode(heatmaps)
        np.testing.assert_allclose(points, wanted, atol=0.05)
        np.testing.assert_allclose(scores, wanted_scores, atol=1e-3)
