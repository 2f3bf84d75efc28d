"""Bundles: what is bundled is whole, budgets choose by score, and foreign manifests are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.bundle.pipelines import Bundle, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle, read_manifest
from vipnas_cli.errors import BudgetError, WeightsError
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.pose.letterbox import Letterbox
from vipnas_cli.spec import Budget
from vipnas_cli.spec.budget import least_gflops
from vipnas_cli.spec.cost import detector_cost
from vipnas_cli.spec.presets import DETECTOR

FORMAT_1 = Path(__file__).parent / "format_1"
EXPECTED = [[0.0117967, 0.0109274], [0.0031207, 0.0029824]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(bundled_weights())


def test_every_bundled_file_has_its_checksum(bundle: Bundle) -> None:
    assert bundle.detector is not None
    assert bundle.detector.read()
    for pipeline in bundle.pipelines:
        for network in pipeline.networks:
            assert network.read()


def test_at_least_three_pipelines_lie_between_a_tenth_and_seven_tenths_of_a_gflop(bundle: Bundle) -> None:
    costs = [pipeline.macs_per_person_frame for pipeline in bundle.pipelines]
    assert sum(0.1e9 <= cost <= 0.7e9 for cost in costs) >= 3
    assert [p.macs_per_person_frame for p in bundle.by_cost] == sorted(costs)


def test_a_budget_takes_the_best_pipeline_within_it(bundle: Bundle) -> None:
    best = max(bundle.pipelines, key=lambda pipeline: pipeline.scores["selection"])
    found = bundle.within(1e12)
    assert found.selection >= best.selection - best.selection_error
    assert found.macs_per_person_frame <= best.macs_per_person_frame
    cheapest = bundle.by_cost[0]
    assert bundle.within(cheapest.macs_per_person_frame) == cheapest
    with pytest.raises(BudgetError) as caught:
        bundle.within(cheapest.macs_per_person_frame - 1)
    assert cheapest.name in caught.value.hint


@pytest.mark.parametrize("macs", [362_599_999, 362_600_001, 363_000_000, 1_001_000_000, 5_200_000, 20_000_000_001])
def test_what_is_said_to_buy_the_cheapest_pipeline_does(bundle: Bundle, macs: int) -> None:
    key = replace(bundle.by_cost[0].networks[0], macs=macs)
    one = replace(bundle, pipelines=(Pipeline("one", (key,), {}),))
    with pytest.raises(BudgetError) as caught:
        one.within(macs - 1)
    text = " ".join(caught.value.hint.split()[-2:])
    assert text == f"{one.by_cost[0].least_gflops} GFLOPs"
    assert macs <= Budget.parse(text).value <= macs + 1_000_001
    assert one.within(Budget.parse(text).value).name == "one"
    assert text == f"{least_gflops(macs)} GFLOPs"
    # What was asked for is not rounded to what would have been enough.
    assert str(Budget(macs - 1, "macs")) in caught.value.what


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "format"),
        ({"networks": {}}, "not a complete manifest"),
        ({"pipelines": []}, "names no pipelines"),
        ({"detector": {"file": "../outside.onnx", "sha256": "", "macs": 1, "side": 320, "threshold": 0.3}}, "outside"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    manifest = json.loads((bundled_weights() / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(WeightsError, match=words):
        open_bundle(tmp_path)


def test_a_bundle_of_format_1_stays_readable() -> None:
    pipeline = open_bundle(FORMAT_1).pipelines[0]
    assert pipeline.scores == {"selection": 1.0}
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 32, 3), np.uint8)
    heatmaps = OnnxEstimator(pipeline, RuntimeOptions(1)).estimate(0, crops, None)
    # What vipnas 0.1.0 computed when it wrote this bundle.
    assert heatmaps.shape == (2, 17, 16, 8)
    np.testing.assert_allclose(heatmaps[:, 3, 5:7, 4], EXPECTED, rtol=1e-3)


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    manifest = json.loads((FORMAT_1 / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "format": 2}))
    with pytest.raises(WeightsError, match="format 2") as caught:
        open_bundle(tmp_path)
    assert caught.value.hint == "pip install -U vipnas"


def test_a_bad_plan_is_a_fault_of_the_weights(tmp_path: Path) -> None:
    manifest = json.loads((bundled_weights() / "manifest.json").read_text())
    for network in manifest["networks"].values():
        network["plan"]["arch"]["family"] = "transformer"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="transformer"):
        open_bundle(tmp_path)


def test_a_detector_at_its_own_size_is_itself_and_costs_more_at_a_larger_one(bundle: Bundle) -> None:
    assert bundle.detector is not None
    assert bundle.detector.at(bundle.detector.letterbox.side) == bundle.detector
    assert bundle.detector.at(2 * bundle.detector.letterbox.side).macs == 4 * bundle.detector.macs


def test_a_detector_costs_what_the_picture_of_a_frame_costs(bundle: Bundle) -> None:
    detector = bundle.detector
    assert detector is not None
    assert detector.macs_for(1000, 1000) == detector.macs
    for height, width in ((360, 640), (640, 360), (1080, 1920), (480, 854)):
        picture = detector.letterbox.of(np.zeros((height, width, 3), np.uint8)).picture
        arch = replace(DETECTOR, height=picture.shape[0], width=picture.shape[1])
        assert detector.macs_for(height, width) == detector_cost(arch).macs < detector.macs
    # The sides of its pictures are multiples of 32.
    assert detector.at(100).size == (128, 128)
    assert detector.at(100).macs == detector.at(128).macs == detector.at(100).at(100).macs


def test_a_detector_of_one_size_costs_the_same_for_every_frame(bundle: Bundle) -> None:
    assert bundle.detector is not None
    for fit in ("corner", "centre", "stretch"):
        fixed = replace(bundle.detector, letterbox=Letterbox.fixed(320, 640, fit))
        assert fixed.size == (320, 640)
        assert fixed.macs_for(360, 640) == fixed.macs_for(2000, 100) == fixed.macs


def test_two_pipelines_of_one_name_are_refused(tmp_path: Path) -> None:
    manifest = json.loads((FORMAT_1 / "manifest.json").read_text())
    twice = {**manifest, "pipelines": [*manifest["pipelines"], manifest["pipelines"][0]]}
    (tmp_path / "manifest.json").write_text(json.dumps(twice))
    name = manifest["pipelines"][0]["name"]
    for read in (open_bundle, read_manifest):
        with pytest.raises(WeightsError, match=f"it names two pipelines '{name}'"):
            read(tmp_path)


@pytest.mark.parametrize("budget", [0.05e9, 0.1e9, 0.12e9, 0.2e9, 1e9])
def test_the_shortest_cycle_is_the_shortest_that_the_budget_pays(bundle: Bundle, budget: float) -> None:
    for pipeline in bundle.pipelines:
        costs = [network.macs for network in pipeline.networks]
        length = pipeline.shortest_cycle(budget)
        assert length == len(costs) or sum(costs[:length]) / length <= budget
        assert all(sum(costs[:shorter]) / shorter > budget for shorter in range(1, length))
