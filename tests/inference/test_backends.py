"""Torch and ONNX Runtime give the same heatmaps, and a batch equals its parts."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vipnas_cli.bundle.pipelines import Bundle  # noqa: E402
from vipnas_cli.bundle.reader import bundled_weights, open_bundle  # noqa: E402
from vipnas_cli.errors import WeightsError  # noqa: E402
from vipnas_cli.export.bundle_writer import DetectorParts, PipelineParts, add_pipeline, set_detector  # noqa: E402
from vipnas_cli.inference.onnx import OnnxDetector, OnnxEstimator, OnnxVerifier  # noqa: E402
from vipnas_cli.inference.sessions import RuntimeOptions, runs_of  # noqa: E402
from vipnas_cli.inference.torch import TorchEstimator  # noqa: E402
from vipnas_cli.nets.checkpoints import load_pose_net, save_checkpoint  # noqa: E402
from vipnas_cli.nets.detector import PersonDetector  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet  # noqa: E402
from vipnas_cli.spec import FAST_BASE, FusionSpec, HeadSpec, Plan  # noqa: E402
from vipnas_cli.spec.presets import DETECTOR  # noqa: E402

SMALL = replace(FAST_BASE, height=64, width=64, head=HeadSpec(16, 4, 1, refine=3))
ONE_THREAD = RuntimeOptions(1)


def settled(net: torch.nn.Module) -> torch.nn.Module:
    """Weights and statistics away from their start, so that folding and fusion have something to get wrong."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        for name, value in net.named_buffers():
            if name.endswith("running_mean"):
                value.add_(0.1 * torch.randn(value.shape, generator=generator))
        if isinstance(net, PoseNet):
            # Untrained features are faint; without this all heatmaps would be flat and every comparison easy.
            net.final.weight.mul_(300)
    return net.eval()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    for name, fusion in (("key", FusionSpec()), ("follower", FusionSpec("cat", 2))):
        header = {"kind": "pose", "plan": Plan(SMALL, fusion).to_json(), "keypoints": 17}
        save_checkpoint(folder / f"{name}.safetensors", settled(PoseNet(SMALL, 17, fusion)).state_dict(), header)
    detector = settled(PersonDetector(DETECTOR))
    save_checkpoint(folder / "d.safetensors", detector.state_dict(), {"kind": "detector", "arch": DETECTOR.to_json()})
    key, follower = folder / "key.safetensors", folder / "follower.safetensors"
    set_detector(folder, DetectorParts(folder / "d.safetensors", 0.3, {}))
    add_pipeline(folder, PipelineParts("two", (key, follower), {"selection": 1.0}))
    return open_bundle(folder)


def crops(people: int) -> np.ndarray:
    return np.random.default_rng(people).integers(0, 256, (people, 64, 64, 3), np.uint8)


@pytest.mark.parametrize("runtime", [ONE_THREAD, RuntimeOptions(1, side_by_side=3), RuntimeOptions(2)], ids=str)
@pytest.mark.parametrize("people", [2, 3, 14, 24, 25])  # 12 crops of this size are computed at once by a thread
def test_backends_agree_and_a_batch_equals_its_parts(bundle: Bundle, people: int, runtime: RuntimeOptions) -> None:
    onnx = OnnxEstimator(bundle.pipelines[0], runtime)
    networks = [load_pose_net(bundle.folder / f"{name}.safetensors") for name in ("key", "follower")]
    reference = TorchEstimator(networks, torch.device("cpu"))
    assert onnx.schedule == reference.schedule
    previous = np.random.default_rng(0).random((people, 17, 16, 16), np.float32)
    for position, heatmaps in ((0, None), (1, previous)):
        found = onnx.estimate(position, crops(people), heatmaps)
        assert found.std() > 1e-3
        np.testing.assert_allclose(found, reference.estimate(position, crops(people), heatmaps), atol=1e-4)
        parts = [
            onnx.estimate(position, crops(people)[i : i + 1], None if heatmaps is None else heatmaps[i : i + 1])
            for i in range(people)
        ]
        np.testing.assert_allclose(found, np.concatenate(parts), atol=1e-5)


@pytest.mark.parametrize(
    ("people", "most", "side_by_side"), [(0, 4, 2), (1, 4, 2), (2, 4, 2), (9, 4, 2), (9, 1, 8), (3, 9, 8)]
)
def test_runs_hold_every_crop_once_and_keep_all_threads_busy(people: int, most: int, side_by_side: int) -> None:
    runs = runs_of(people, most, side_by_side)
    assert [crop for run in runs for crop in range(people)[run]] == list(range(people))
    sizes = [len(range(people)[run]) for run in runs]
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(runs) >= max(1, min(people, side_by_side))


@pytest.mark.parametrize("people", [1, 2, 7])
def test_a_verifier_says_the_same_of_boxes_side_by_side(people: int) -> None:
    verifier = open_bundle(bundled_weights()).detector.verifier
    seen = np.random.default_rng(people).integers(0, 256, (people, verifier.height, verifier.width, 3), np.uint8)
    found = [OnnxVerifier(verifier, RuntimeOptions(1, "cpu", side_by_side)).verify(seen) for side_by_side in (1, 4)]
    for alone, together in zip(*found, strict=True):
        np.testing.assert_allclose(alone, together, atol=1e-5)


def test_people_are_computed_side_by_side_as_far_as_cores_or_threads_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipnas_cli.inference.sessions.usable_cores", lambda: 2)
    options = (RuntimeOptions(), RuntimeOptions(1), RuntimeOptions(4), RuntimeOptions(1, side_by_side=2))
    found = [(each.resolved_threads, each.resolved_side_by_side) for each in options]
    assert found == [(2, 2), (1, 1), (4, 4), (1, 2)]


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 64])
def test_threads_grow_with_cores_and_with_the_work_of_a_network(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipnas_cli.inference.sessions.usable_cores", lambda: cores)
    works = (0, 1e6, 5e7, 1.6e8, 3e8, 1e12)
    unasked = [RuntimeOptions().threads_for(macs) for macs in works]
    assert unasked == sorted(unasked)
    assert unasked[0] == 1
    assert unasked[-1] == RuntimeOptions().resolved_threads <= cores
    assert [RuntimeOptions(3).threads_for(macs) for macs in works] == [1, 1, 1, 2, 3, 3]


def test_key_networks_of_the_bundle_take_a_second_core_and_followers_leave_it_alone() -> None:
    runtime = RuntimeOptions(2)
    for pipeline in open_bundle(bundled_weights()).pipelines:
        key, *followers = (runtime.threads_for(network.macs) for network in pipeline.networks)
        assert key == 2
        assert set(followers) <= {1}


@pytest.mark.parametrize("pipeline", [0, -1])
def test_a_large_network_says_the_same_on_several_threads(pipeline: int) -> None:
    bundled = open_bundle(bundled_weights()).by_cost[pipeline]
    arch = bundled.schedule.plan(0).arch
    seen = np.random.default_rng(0).integers(0, 256, (3, arch.height, arch.width, 3), np.uint8)
    one, two = (OnnxEstimator(bundled, RuntimeOptions(threads, "cpu")) for threads in (1, 2))
    for people in (1, 3):
        found = [onnx.estimate(0, seen[:people], None) for onnx in (one, two)]
        np.testing.assert_allclose(*found, atol=1e-5)


def test_the_second_person_needs_no_file(bundle: Bundle, tmp_path: Path) -> None:
    copied = open_bundle(Path(shutil.copytree(bundle.folder, tmp_path / "copy")))
    onnx = OnnxEstimator(copied.pipelines[0], RuntimeOptions(2))
    shutil.rmtree(copied.folder)
    assert len(onnx.estimate(0, crops(2), None)) == 2


def test_a_follower_listens_to_the_previous_heatmaps(bundle: Bundle) -> None:
    onnx = OnnxEstimator(bundle.pipelines[0], ONE_THREAD)
    nothing = np.zeros((1, 17, 16, 16), np.float32)
    assert np.abs(onnx.estimate(1, crops(1), nothing) - onnx.estimate(1, crops(1), nothing + 1)).max() > 1e-4


def test_the_detector_takes_any_multiple_of_32(bundle: Bundle) -> None:
    assert bundle.detector is not None
    detector = OnnxDetector(bundle.detector, ONE_THREAD)
    for height, width in ((320, 192), (64, 320)):
        scores, boxes = detector.detect(np.zeros((height, width, 3), np.uint8))
        assert scores.shape == (height // 8, width // 8)
        assert boxes.shape == (height // 8, width // 8, 4)


def test_changed_and_truncated_networks_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    network = bundle.pipelines[0].networks[0]
    damaged = replace(network, path=tmp_path / "x.onnx")
    damaged.path.write_bytes(network.path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        damaged.read()
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        replace(damaged, path=tmp_path / "missing" / "x.onnx").read()
