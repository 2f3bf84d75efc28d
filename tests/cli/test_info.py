"""`vipnas info`: every kind of file is named with its facts, everything else is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vipnas_cli.bundle.reader import MANIFEST, bundled_weights, open_bundle
from vipnas_cli.cli.app import app
from vipnas_cli.cli.info_job import describe
from vipnas_cli.cli.info_networks import read_header
from vipnas_cli.errors import DataError, InputError, VipnasError, WeightsError
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose import People
from vipnas_cli.results.coco import CocoSink
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.jsonl import JsonlSink
from vipnas_cli.results.kinds import output_named
from vipnas_cli.results.table import CsvSink
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan, Schedule, SearchSpace

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = Path(__file__).parents[2] / "vipnas_cli" / "training" / "recipes"


def test_a_folder_of_pipelines_and_its_manifest() -> None:
    found = describe(bundled_weights())
    assert found == describe(bundled_weights() / MANIFEST)
    assert found.facts["licence"] == "Apache-2.0"
    assert len(found.facts["pipelines"]) == len(open_bundle(bundled_weights()).pipelines)
    assert all("checksum ok" in line for line in found.facts["networks"])


def test_the_networks_of_a_bundle() -> None:
    for pipeline in open_bundle(bundled_weights()).pipelines:
        for network in pipeline.networks:
            found = describe(network.path)
            assert found.kind.startswith("pose network")
            assert (found.facts["macs"], found.facts["sha256"]) == (network.macs, network.sha256)
            assert "says" in found.facts["checksum"]
            # A follower cannot be run alone, so no such command is proposed.
            assert bool(found.next) == (network.plan.fusion.operation == "none")


def test_a_name_with_a_space_stays_one_word_of_the_next_command(tmp_path: Path) -> None:
    folder = tmp_path / "my nets"
    folder.mkdir()
    shutil.copy(bundled_weights() / MANIFEST, folder)
    key = open_bundle(bundled_weights()).by_cost[0].networks[0].path
    shutil.copy(key, folder)
    pose = checkpoint(folder / "pose.safetensors", POSE)
    detector = checkpoint(folder / "d.safetensors", {"kind": "detector", "arch": FAST_BASE.to_json()})
    for path in (folder, folder / key.name, pose, detector):
        assert str(path) in shlex.split(describe(path).next)


def test_a_changed_network_beside_its_manifest(tmp_path: Path) -> None:
    network = open_bundle(bundled_weights()).by_cost[0].networks[0]
    copy = tmp_path / network.path.name
    copy.write_bytes(network.read())
    assert "compare" in describe(copy).facts["checksum"]
    manifest = json.loads((bundled_weights() / MANIFEST).read_text())
    for row in manifest["networks"].values():
        row["sha256"] = hashlib.sha256(b"other").hexdigest()
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert "differs" in describe(copy).facts["checksum"]


def checkpoint(path: Path, stated: object, extra: bytes = b"") -> Path:
    """A safetensors file with one tensor of 2 × 3 numbers and a header of vipnas."""
    header = {
        "__metadata__": {"vipnas": json.dumps(stated)},
        "a.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
        "a.running_mean": {"dtype": "F16", "shape": [3], "data_offsets": [12, 18]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(18) + extra)
    return path


POSE = {"kind": "pose", "plan": Plan(FAST_BASE, FusionSpec("cat", 2)).to_json(), "keypoints": 17, "step": 7}


def test_checkpoints_are_told_apart_without_torch(tmp_path: Path) -> None:
    found = describe(checkpoint(tmp_path / "pose.safetensors", POSE))
    assert found.kind == "checkpoint of a pose network"
    assert (found.facts["parameters"], found.facts["step"]) == (6, 7)
    assert "cat at F2" in found.facts["network"]
    detector = checkpoint(tmp_path / "d.safetensors", {"kind": "detector", "arch": FAST_BASE.to_json()})
    assert describe(detector).kind == "checkpoint of a person detector"
    space = {"kind": "supernet", "space": SearchSpace.of(FAST_BASE).to_json(), "fusions": []}
    assert describe(checkpoint(tmp_path / "s.safetensors", space)).kind == "checkpoint of a super-network"


def test_the_state_of_a_training_names_its_checkpoint(tmp_path: Path) -> None:
    found = describe(checkpoint(tmp_path / "a.resume.safetensors", {**POSE, "state_of": "a.safetensors"}))
    assert found.kind == f"the state for --resume of {tmp_path / 'a.safetensors'}; use that"
    assert found.next == f"vipnas info {tmp_path / 'a.safetensors'}"
    assert (found.facts["parameters"], found.facts["step"]) == (None, 7)
    elsewhere = checkpoint(tmp_path / "a.resume.safetensors", {**POSE, "state_of": "/etc/b\x1b.safetensors"})
    assert describe(elsewhere).kind == f"the state for --resume of {tmp_path}/b\ufffd.safetensors; use that"
    with pytest.raises(WeightsError, match=r"a\.resume"):
        describe(checkpoint(tmp_path / "a.resume.safetensors", {**POSE, "state_of": ""}))


def test_the_followers_of_a_cycle(tmp_path: Path) -> None:
    plans = (Plan(FAST_BASE), Plan(FAST_BASE, FusionSpec("cat", 2)), Plan(FAST_BASE, FusionSpec("add", 1)))
    stated = {"kind": "cycle", "schedule": Schedule(plans).to_json(), "keypoints": 17, "step": 7}
    found = describe(checkpoint(tmp_path / "cycle.safetensors", stated))
    assert found.kind == "checkpoint of a cycle's followers"
    assert "cat at F2" in found.facts["network"]
    assert "add at F1" in found.facts["network"]
    assert found.next.startswith("vipnas export KEY ")


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path / "whole.safetensors", POSE).read_bytes()
    bad = {
        "empty": b"",
        "cut": whole[:-1],
        "longer": whole + b"x",
        "head": whole[:40],
        "huge": struct.pack("<Q", 2**62) + whole[8:],
        "text": b"no safetensors at all, but text",
        "list": struct.pack("<Q", 2) + b"[]",
    }
    for name, data in bad.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            describe(path)
    for stated in ({}, None, {"kind": "pose"}, {**POSE, "plan": {}}, 3):
        with pytest.raises(WeightsError, match="foreign"):
            describe(checkpoint(tmp_path / "foreign.safetensors", stated))


def test_the_header_is_that_of_the_released_checkpoints() -> None:
    for path in bundled_weights().glob("*.safetensors"):
        assert "__metadata__" in read_header(path)
        assert describe(path).facts["recipe"]


def test_specifications(tmp_path: Path) -> None:
    plan = Plan(FAST_BASE)
    cases = {
        "schedule": (Schedule((plan, Plan(FAST_BASE, FusionSpec("add", 1)))).to_json(), "schedule"),
        "plan": (plan.to_json(), "network"),
        "arch": (FAST_BASE.to_json(), "architecture"),
        "space": (SearchSpace.of(FAST_BASE).to_json(), "space"),
    }
    for name, (data, word) in cases.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        assert word in describe(path).kind
    (tmp_path / "wrong.json").write_text(json.dumps({**plan.to_json()["arch"], "family": "transformer"}))
    with pytest.raises(DataError, match="transformer"):
        describe(tmp_path / "wrong.json")


def test_recipes() -> None:
    for path in RECIPES.glob("*.toml"):
        assert describe(path).facts["steps"] > 0


def test_results_of_run(tmp_path: Path) -> None:
    header = ResultHeader("clip.mp4", 640, 360, Fraction(1, 25), "a pipeline", "off")
    people = People(
        np.array([4]), np.ones((1, 4), np.float32), np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32)
    )
    for sink_type, name in ((CsvSink, "o.csv"), (JsonlSink, "o.jsonl"), (CocoSink, "o.json")):
        with sink_type(tmp_path / name, OnnxEstimator.skeleton, header) as sink:
            sink.write(FrameResult(0, 0, 0.0, people, True), None)
        found = describe(tmp_path / name)
        assert "keypoints" in found.kind
        assert (found.facts["pipeline"], found.facts["people"]) == ("a pipeline", 1)
    facts = describe(tmp_path / "o.csv-metadata.json")
    assert (facts.kind, facts.next) == ("the facts about o.csv, as CSVW", f"vipnas info {tmp_path}/o.csv")


PROBLEM = {
    "mode": "joint",
    "frames": "2..3",
    "budget": "0.2GFLOPs",
    "method": "evolution",
    "predictor": True,
    "seed": 4,
}


def log_of(*candidates: dict[str, object]) -> str:
    """The log of a search."""
    rows = [{"format": 1, "problem": PROBLEM}, *candidates]
    return "".join(json.dumps(row) + "\n" for row in rows)


def candidate(method: str, macs: float, score: float) -> dict[str, object]:
    """A line of a log, as far as it is read."""
    return {"method": method, "macs": macs, "ms": None, "score": score}


def test_the_log_of_a_search_and_how_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "candidates.jsonl"
    path.write_text(log_of())
    assert describe(path).facts["candidates"] == ["none yet"]
    rows = candidate("evolution", 1e8, 60), candidate("evolution", 2e8, 61), candidate("preset", 3e8, 70)
    path.write_text(log_of(*rows) + '{"cut')
    found = describe(path)
    assert found.kind.startswith("log of a search")
    assert found.facts["searched"] == "joint, cycle of 2..3 frames"
    assert found.facts["candidates"] == ["evolution: 2", "preset: 1"]
    # A preset above the budget is none of what was searched for.
    assert found.facts["best"] == "PCK@0.1 61 at 0.2 GFLOPs"
    assert found.next.startswith("vipnas search joint --frames 2..3 --budget 0.2GFLOPs --method evolution --seed 4")
    assert f"--out {tmp_path} --resume" in found.next
    (tmp_path / "summary.json").write_text("{}")
    assert describe(path).next == f"vipnas info {tmp_path}/summary.json"


def test_the_summary_of_a_search_and_how_its_winner_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    front = [
        {"macs": macs, "ms": None, "score": score, "spec": f"pareto/{score}.json"}
        for macs, score in ((1e8, 60), (2e8, 61))
    ]
    counts = {"evolution": 2, "random": 2}
    whole = {"problem": PROBLEM, "synthetic_clips": True, "evaluations": counts, "winner": front[1], "front": front}
    path.write_text(json.dumps(whole))
    found = describe(path)
    assert found.facts["candidates"] == ["evolution: 2", "random: 2"]
    assert found.facts["budget"] == "0.2GFLOPs"
    assert found.facts["best"] == "PCK@0.1 61 at 0.2 GFLOPs"
    assert found.facts["front"][0] == "PCK@0.1 60 at 0.1 GFLOPs, pareto/60.json"
    assert found.facts["scored on"] == "synthetic people"
    assert found.next.startswith(f"vipnas export KEY FOLLOWERS --spec {tmp_path}/pareto/61.json --data DATA")
    for change in ({"front": 3}, {"problem": {**PROBLEM, "budget": "much"}}, {"winner": {**front[0], "spec": "../x"}}):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(InputError, match=r"summary\.json|outside its folder"):
            describe(path)


def test_times_that_a_search_measured(tmp_path: Path) -> None:
    path = tmp_path / "measured.jsonl"
    path.write_text(2 * (json.dumps({"plan": Plan(FAST_BASE).to_json(), "ms": 1.5}) + "\n"))
    assert describe(path).kind == "times of networks that a search measured"
    assert describe(path).facts == {"networks": 2}


@pytest.mark.parametrize("name", ["o.trc", "o.openpose", "o.dlc.csv"])
def test_results_for_other_programs_are_known_though_not_read(tmp_path: Path, name: str) -> None:
    output = output_named(tmp_path / name)
    assert output is not None
    people = People(
        np.array([4]), np.ones((1, 4), np.float32), np.ones((1, 17, 2), np.float32), np.ones((1, 17), np.float32)
    )
    with output.open(OnnxEstimator.skeleton, ResultHeader("clip.mp4", 640, 360)) as sink:
        sink.write(FrameResult(0, 0, 0.0, people, True), None)
    found = describe(tmp_path / name)
    assert found.kind.startswith("by its name a result for other programs")
    assert found.facts["kind"] == output.kind.name
    assert "ids of people" in found.facts["holds"]
    assert f"{25 if name == 'o.openpose' else 'all'} keypoints" in found.facts["holds"]


@pytest.mark.parametrize(("name", "kind"), [("vid_000000000000_keypoints.json", "openpose"), ("subject01.trc", "trc")])
def test_folders_of_other_programs_are_known_by_the_names_of_their_files(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("{}")
    found = describe(tmp_path)
    assert found.kind.startswith("by the names of its files a result for other programs")
    assert (found.facts["kind"], found.facts["files"]) == (kind, 1)


def test_what_is_a_file_in_place_of_a_folder_is_not_told_to_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "subject01.trc").write_text("PathFileType\t4\n")
    found = describe(tmp_path / "subject01.trc")
    assert found.kind.startswith("by its name a file of another program")
    assert found.facts == {"kind": "trc"}


@pytest.mark.parametrize("stated", ["", "mot:"])
def test_boxes_are_told_as_what_run_takes(tmp_path: Path, stated: str) -> None:
    path = tmp_path / ("a b.txt" if stated else "a b.mot.txt")
    output = output_named(f"{stated}{path}")
    assert output is not None
    with output.open(OnnxEstimator.skeleton, ResultHeader("clip.mp4", 640, 360)):
        pass
    found = describe(Path(f"{stated}{path}"))
    assert found.kind == "by its name boxes of people as MOTChallenge text, which `vipnas run --boxes` takes"
    assert found.facts["holds"] == ["boxes", "ids of people"]
    assert found.next == f"vipnas run VIDEO --boxes '{path}'"


def test_a_video_and_the_json_document() -> None:
    result = CliRunner().invoke(app, ["info", str(EXAMPLES / "two_people.mp4"), "--json"])
    document = json.loads(result.stdout)
    assert (document["schema"], document["kind"]) == (1, "video")
    assert document["facts"]["size"] == "640×360"
    assert document["facts"]["frames"] == 175


def test_everything_else_is_refused_by_name(tmp_path: Path) -> None:
    texts = {
        "notes.txt": "words",
        "a.json": "{}",
        "b.json": "[",
        "labels.json": '{"images": [], "annotations": [1], "categories": []}',
        "c.csv": "a,b\n1,2\n",
        "d.jsonl": "{}\n",
        "e.toml": "a=1",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "f.onnx").write_bytes(b"no network")
    (tmp_path / "folder").mkdir()
    for name in (*texts, "f.onnx", "folder", "missing.mp4"):
        with pytest.raises(VipnasError) as caught:
            describe(tmp_path / name)
        assert name in caught.value.what
    with pytest.raises(InputError, match="does not exist"):
        describe(tmp_path / "missing.mp4")
