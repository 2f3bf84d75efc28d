"""`vipnas export` as typed: checkpoints, super-networks, bare specs, one file or a folder, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import vipnas_cli  # noqa: E402
from vipnas_cli.bundle.pipelines import DetectorFile, NetworkFile, VerifierFile  # noqa: E402
from vipnas_cli.bundle.reader import open_bundle, read_manifest  # noqa: E402
from vipnas_cli.cli import export_job as export_job_module  # noqa: E402
from vipnas_cli.cli.export import ExportJobOptions  # noqa: E402
from vipnas_cli.cli.export_job import export_job  # noqa: E402
from vipnas_cli.errors import DataError, OutputError, SpecError, UsageError, WeightsError  # noqa: E402
from vipnas_cli.export import bundle_writer  # noqa: E402
from vipnas_cli.export.bundle_writer import DetectorParts, PipelineParts, add_pipeline, set_detector  # noqa: E402
from vipnas_cli.export.sources import find_networks  # noqa: E402
from vipnas_cli.inference.onnx import OnnxDetector, OnnxEstimator  # noqa: E402
from vipnas_cli.inference.sessions import RuntimeOptions  # noqa: E402
from vipnas_cli.inference.torch import TorchVerifier  # noqa: E402
from vipnas_cli.nets.checkpoints import load_verifier, save_checkpoint  # noqa: E402
from vipnas_cli.nets.detector import PersonDetector  # noqa: E402
from vipnas_cli.nets.posenet import PoseNet  # noqa: E402
from vipnas_cli.nets.supernet import SuperNet  # noqa: E402
from vipnas_cli.nets.verifier import BoxVerifier  # noqa: E402
from vipnas_cli.spec import ArchSpec, FusionSpec, Plan, Schedule, SearchSpace  # noqa: E402
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices  # noqa: E402
from vipnas_cli.spec.presets import VERIFIER  # noqa: E402

STAGE = StageChoices((8,), (1,), (3,), (1,), (1,), (False,))
SPACE = SearchSpace(
    "fast", ((64, 32), (32, 32)), StemChoices((8,), (3,)), (STAGE,) * 6, HeadChoices((8,), (2,), (1,), (3,))
)
WITHOUT_TORCH = "import sys; sys.modules.update(torch=None, onnx=None, safetensors=None); "


def python(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(vipnas_cli.__file__).parents[1])}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=60)


def arch(height: int) -> ArchSpec:
    found: ArchSpec = SPACE.largest
    assert (found.height, found.width) == (64, 32)
    return ArchSpec.from_json({**found.to_json(), "height": height})


@pytest.fixture
def schedule(tmp_path: Path) -> Path:
    plans = (Plan(arch(64)), Plan(arch(32), FusionSpec("add", 1)), Plan(arch(32), FusionSpec("add", 1)))
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(Schedule(plans).to_json()))
    return path


@pytest.fixture
def super_net(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = SuperNet(SPACE, 17, (FusionSpec("add", 1),))
    header = {"kind": "supernet", "space": SPACE.to_json(), "fusions": [["add", 1]], "keypoints": 17, "training": {}}
    path = tmp_path / "super.safetensors"
    save_checkpoint(path, net.state_dict(), header)
    return path


def key_heatmaps(out: Path) -> np.ndarray:
    pipeline = open_bundle(out).pipelines[0]
    crops = np.random.default_rng(0).integers(0, 256, (1, 64, 32, 3), np.uint8)
    return OnnxEstimator(pipeline, RuntimeOptions(1)).estimate(0, crops, None)


def test_a_schedule_of_a_super_network_is_exported_with_a_warning(
    super_net: Path, schedule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pose.vipnas"
    export_job(ExportJobOptions(out, (str(super_net),), spec=schedule, name="mine"))
    pipeline = open_bundle(out).pipelines[0]
    assert pipeline.name == "mine"
    assert pipeline.schedule == Schedule.from_json(json.loads(schedule.read_text()))
    # Equal followers are one file.
    assert len(set(pipeline.networks)) == 2
    assert "mixture" in capsys.readouterr().err


def test_a_network_that_the_space_lacks_is_refused(super_net: Path, schedule: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "out", json.loads(schedule.read_text())
    data["plans"][1]["arch"]["stages"][2]["width"] = 6
    schedule.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"(?m)follower 1: stage 3: width 6 is not among the choices 8$"):
        export_job(ExportJobOptions(out, (str(super_net),), spec=schedule))
    data["plans"][0]["arch"]["height"] = 96
    schedule.write_text(json.dumps(data))
    with pytest.raises(SpecError, match="key network: its input 96×32 is not among the choices 64×32, 32×32"):
        export_job(ExportJobOptions(out, (str(super_net),), spec=schedule))
    assert not out.exists()


@pytest.fixture
def joint(super_net: Path, schedule: Path, tmp_path: Path) -> tuple[Path, Path, Path]:
    """Super-networks of key networks of another family and of followers, and a schedule of both."""
    space = replace(SPACE, family="pyramid")
    path, spec = tmp_path / "spatial.safetensors", tmp_path / "joint.json"
    header = {"kind": "supernet", "space": space.to_json(), "fusions": [], "keypoints": 17, "training": {}}
    save_checkpoint(path, SuperNet(space, 17, ()).state_dict(), header)
    data = json.loads(schedule.read_text())
    data["plans"][0]["arch"]["family"] = "pyramid"
    spec.write_text(json.dumps(data))
    return path, super_net, spec


def test_super_networks_are_known_in_whatever_order(joint: tuple[Path, Path, Path]) -> None:
    spatial, temporal, spec = joint
    for paths in ((spatial, temporal), (temporal, spatial)):
        cycle = find_networks(tuple(map(str, paths)), spec, None)
        assert Schedule(tuple(source.plan for source in cycle.sources)) == Schedule.from_json(
            json.loads(spec.read_text())
        )
    for path, strange in ((temporal, "key network: its family is pyramid, not fast"), (spatial, "follower 1")):
        with pytest.raises(SpecError, match=f"{path.name} does not hold the schedule's {strange}") as caught:
            find_networks((str(path),), spec, None)
        assert "super-network of the followers" in caught.value.hint


def test_a_key_network_is_known_behind_the_super_network(super_net: Path, schedule: Path, tmp_path: Path) -> None:
    cycle = find_networks((str(super_net), str(pose_checkpoint(tmp_path))), schedule, None)
    assert [source.plan for source in cycle.sources] == list(Schedule.from_json(json.loads(schedule.read_text())).plans)


def test_a_bare_spec_is_exported_untrained(schedule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder"
    export_job(ExportJobOptions(out, (str(schedule),)))
    assert open_bundle(out).pipelines[0].name == "schedule"
    assert "untrained" in capsys.readouterr().err
    # A comparison of flat heatmaps would show nothing.
    assert key_heatmaps(out).std() > 1e-3


def test_pipelines_are_added_to_a_file_and_replaced_in_it(tiny_bundle: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "pose.vipnas", str(tiny_bundle / "key.safetensors")
    follower = str(tiny_bundle / "follower-1.safetensors")
    export_job(ExportJobOptions(out, (key,), score=("selection=1.0",)))
    export_job(ExportJobOptions(out, (key, follower), name="two"))
    export_job(ExportJobOptions(out, (key,), score=("selection=2.0",), detector=tiny_bundle / "detector.safetensors"))
    bundle = open_bundle(out)
    assert {p.name: p.scores for p in bundle.pipelines} == {"key": {"selection": 2.0}, "two": {}}
    assert bundle.detector is not None
    assert bundle.detector.read()
    networks = {network for pipeline in bundle.pipelines for network in pipeline.networks}
    assert len(networks) == 2
    assert all(network.read() for network in networks)
    assert [path.name for path in tmp_path.iterdir()] == ["pose.vipnas"]


def test_a_verifier_goes_with_the_detector_and_outlasts_it(tiny_bundle: Path, tmp_path: Path) -> None:
    verifier, detector, out = verifier_checkpoint(tmp_path, 0), tiny_bundle / "detector.safetensors", tmp_path / "out"
    with pytest.raises(WeightsError, match="no person detector"):
        export_job(ExportJobOptions(out, verifier=verifier))
    export_job(ExportJobOptions(out, (str(tiny_bundle / "key.safetensors"),), detector=detector, verifier=verifier))
    export_job(ExportJobOptions(out, detector=detector, threshold=0.7))
    found = open_bundle(out).detector
    assert found is not None
    assert found.verifier is not None
    assert (found.threshold, found.verifier.threshold) == (0.7, 0.4)
    assert (found.verifier.height, found.verifier.width) == (128, 96)
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 96, 3), np.uint8)
    verdicts = OnnxDetector(found, RuntimeOptions(1)).verifier.verify(crops)
    expected = TorchVerifier(load_verifier(verifier), torch.device("cpu")).verify(crops)
    for verdict, want in zip(verdicts, expected, strict=True):
        np.testing.assert_allclose(verdict, want, atol=0.02)
    with pytest.raises(WeightsError, match="no verifier"):
        load_verifier(detector)


def verifier_checkpoint(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / "verifier.safetensors"
    save_checkpoint(path, BoxVerifier(VERIFIER).state_dict(), {"kind": "verifier", "arch": VERIFIER.to_json()})
    return path


def detector_checkpoint(folder: Path) -> Path:
    path, net = folder / "detector.safetensors", PersonDetector(arch(64))
    save_checkpoint(path, net.state_dict(), {"kind": "detector", "arch": net.arch.to_json()})
    return path


def test_a_wrong_file_beside_right_ones_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, pose, missing = detector_checkpoint(tmp_path), pose_checkpoint(tmp_path), tmp_path / "missing.safetensors"
    (tmp_path / "people.json").write_text('{"images": [], "annotations": []}')
    before = {path.name for path in tmp_path.iterdir()}
    monkeypatch.setattr(export_job_module, "bundle_folder", lambda _out: pytest.fail("something was written"))
    out = tmp_path / "new"
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        export_job(ExportJobOptions(out, detector=detector, verifier=missing))
    with pytest.raises(WeightsError, match="no person detector"):
        export_job(ExportJobOptions(out, (str(pose),), detector=pose))
    with pytest.raises(DataError, match="0 people"):
        export_job(
            ExportJobOptions(out, (str(pose),), detector=detector, int8=True, calibrate=tmp_path / "people.json")
        )
    with pytest.raises(SpecError, match="key frame"):
        export_job(ExportJobOptions(out, (str(follower_checkpoint(tmp_path)),), detector=detector))
    assert {path.name for path in tmp_path.iterdir()} == before | {"follower.safetensors"}


def test_what_comes_next_is_a_command_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my pipelines"
    export_job(ExportJobOptions(out, (str(pose_checkpoint(tmp_path)),)))
    words = shlex.split(capsys.readouterr().err.splitlines()[-1].partition("Next: ")[2])
    assert words[:5] == ["vipnas", "run", "clip.mp4", "--weights", str(out)]


def test_followers_of_a_cycle_are_named_by_place(tiny_bundle: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plans = (Plan(arch(64)), Plan(arch(32), FusionSpec("add", 1)), Plan(arch(32), FusionSpec("cat", 1)))
    cycle, out = tmp_path / "cycle.safetensors", tmp_path / "out"
    nets = torch.nn.ModuleList(PoseNet(plan.arch, 17, plan.fusion) for plan in plans[1:])
    tensors = {f"followers.{name}": tensor for name, tensor in nets.state_dict().items()}
    header = {"kind": "cycle", "schedule": Schedule(plans).to_json(), "keypoints": 17, "training": {}}
    save_checkpoint(cycle, tensors, header)
    key = str(tiny_bundle / "key.safetensors")
    for name, places in (("all", ""), ("last", ":2"), ("long", ":1,2,2,1")):
        export_job(ExportJobOptions(out, (key, f"{cycle}{places}"), name=name))
    found = {p.name: [plan.fusion.operation for plan in p.schedule.plans] for p in open_bundle(out).pipelines}
    assert found["all"] == ["none", "add", "cat"]
    assert found["last"] == ["none", "cat"]
    assert found["long"] == ["none", "add", "cat", "cat", "add"]
    assert len(list(out.glob("*.onnx"))) == 3
    export_job(ExportJobOptions(tmp_path / "behind", (str(tiny_bundle), f"{cycle}:1"), name="behind"))
    (behind,), (tiny, *_) = (open_bundle(folder).pipelines for folder in (tmp_path / "behind", tiny_bundle))
    assert behind.networks[0].read() == tiny.networks[0].read()
    assert [plan.fusion.operation for plan in behind.schedule.plans] == ["none", "add"]
    for place in ("3", "0"):
        with pytest.raises(UsageError, match=f"cycle.safetensors has no network {place}"):
            export_job(ExportJobOptions(tmp_path / "none", (key, f"{cycle}:{place}")))


def test_an_onnx_file_is_a_key_network_as_its_bundle_is(tiny_bundle: Path, tmp_path: Path) -> None:
    (beside,), follower = tiny_bundle.glob("*96x64*.onnx"), str(tiny_bundle / "follower-1.safetensors")
    alone = tmp_path / "key.onnx"
    alone.write_bytes(beside.read_bytes())
    found = []
    for key in (tiny_bundle, beside, alone):
        out = tmp_path / f"behind {key.name}"
        export_job(ExportJobOptions(out, (str(key), follower), name="mine"))
        (pipeline,) = open_bundle(out).pipelines
        (row,) = [
            row for row in read_manifest(out)["networks"].values() if row["file"] == pipeline.networks[0].path.name
        ]
        # How far it is from torch and from fp32 is told where it was compared.
        kept = {name for name in row if name not in ("file", "difference_from_torch", "moved_by_rounding_px")}
        found.append(([network.read() for network in pipeline.networks], {name: row[name] for name in kept}))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[0][1].items() <= found[1][1].items()
    assert found[1] == found[2]
    with pytest.raises(WeightsError, match="is a follower"):
        export_job(ExportJobOptions(tmp_path / "none", (str(next(tiny_bundle.glob("*64x32*.onnx"))), follower)))


def test_an_unknown_name_and_a_foreign_spec_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    foreign.write_text('{"layers": 3}')
    for name, kind in (("nothing", UsageError), (str(foreign), SpecError)):
        with pytest.raises(kind, match=Path(name).name):
            export_job(ExportJobOptions(tmp_path / "out", (name,)))
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.json"]


def test_a_super_network_needs_a_spec_and_a_follower_a_key_network(
    super_net: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="super-network") as caught:
        export_job(ExportJobOptions(tmp_path / "out", (str(super_net),)))
    assert "--spec" in caught.value.hint
    with pytest.raises(SpecError, match="key frame"):
        export_job(ExportJobOptions(tmp_path / "out", (str(tiny_bundle / "follower-1.safetensors"),)))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_bundle_is_not_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("precious")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        export_job(ExportJobOptions(notes, (str(tiny_bundle / "key.safetensors"),)))
    assert notes.read_text() == "precious"


def test_json_says_what_was_measured(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_job(ExportJobOptions(tmp_path / "out", (str(tiny_bundle / "key.safetensors"),), json=True))
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["files"][0]["parity"]["outputs"] <= 1e-4
    assert document["files"][0]["ms"]["onnx_ms"] > 0


def test_a_bundle_runs_where_there_is_no_torch(schedule: Path, tmp_path: Path) -> None:
    out = tmp_path / "pose.vipnas"
    export_job(ExportJobOptions(out, (str(schedule),), decode=True))
    program = WITHOUT_TORCH + (
        "import numpy as np; from pathlib import Path; from vipnas_cli.bundle.reader import open_bundle; "
        "from vipnas_cli.inference.onnx import OnnxEstimator, RuntimeOptions; "
        f"pipeline = open_bundle(Path({str(out)!r})).pipelines[0]; "
        "found = OnnxEstimator(pipeline, RuntimeOptions(1)).estimate(0, np.zeros((2, 64, 32, 3), np.uint8), None); "
        "print(found.shape)"
    )
    found = python(program, cwd=tmp_path)
    assert found.stdout.strip() == "(2, 17, 16, 8)"


def test_exporting_without_torch_names_the_extra(tmp_path: Path) -> None:
    program = WITHOUT_TORCH + "from vipnas_cli.cli.app import main; main()"
    found = python(program, "export", "fast-base", "-o", "out", cwd=tmp_path)
    assert found.returncode == 1
    assert "pip install 'vipnas[train]'" in found.stderr
    assert list(tmp_path.iterdir()) == []


def received(folder: Path, file: str) -> Path:
    """A folder as somebody sent it, whose manifest names `file` as an unused network."""
    folder.mkdir(exist_ok=True)
    network = {"file": file, "sha256": "", "macs": 1, "parameters": 1, "plan": {}}
    manifest = {"format": 1, "skeleton": "coco17", "licence": "x", "detector": None, "pipelines": []}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "networks": {"a": network}}))
    return folder


@pytest.mark.parametrize("file", ["../victim", "{absolute}", "sub/../../victim", "link"])
def test_a_received_folder_leads_to_no_file_outside(tmp_path: Path, file: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "got"
    victim.write_text("precious")
    received(folder, file.replace("{absolute}", str(victim)))
    (folder / "link").symlink_to(victim)
    with pytest.raises(WeightsError, match="outside its folder"):
        add_pipeline(folder, PipelineParts("mine", (pose_checkpoint(tmp_path),), {}))
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("pattern", ["detector-*.onnx", "manifest.json"])
def test_export_writes_through_no_link_in_its_folder(tmp_path: Path, pattern: str) -> None:
    victim, folder, parts = tmp_path / "victim", tmp_path / "got", DetectorParts(detector_checkpoint(tmp_path), 0.5, {})
    set_detector(folder, parts)
    (path,) = folder.glob(pattern)
    for file in folder.iterdir():
        file.unlink()
    path.symlink_to(victim)
    with pytest.raises(WeightsError, match=r"outside its folder|holds no manifest"):
        set_detector(folder, parts)
    assert not victim.exists()


def test_a_detector_takes_the_place_of_another_whose_file_goes(tmp_path: Path) -> None:
    checkpoint, folder = detector_checkpoint(tmp_path), tmp_path / "got"
    path = set_detector(folder, DetectorParts(checkpoint, 0.5, {})).path
    manifest = json.loads((folder / "manifest.json").read_text())
    path.rename(folder / "detector.onnx")
    manifest["detector"]["file"] = "detector.onnx"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert set_detector(folder, DetectorParts(checkpoint, 0.5, {})).path == path
    assert {path.name, "manifest.json"} == {file.name for file in folder.iterdir()}


def files_named(folder: Path) -> dict[str, bytes]:
    """The content of each file that a bundle names, all of which are whole."""
    bundle = open_bundle(folder)
    found: list[NetworkFile | DetectorFile | VerifierFile] = [
        network for pipeline in bundle.pipelines for network in pipeline.networks
    ]
    if bundle.detector is not None:
        found += [bundle.detector, *filter(None, [bundle.detector.verifier])]
    return {file.path.name: file.read() for file in found}


@pytest.fixture
def whole(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle with a detector and a verifier."""
    out = tmp_path / "whole"
    key, detector = tiny_bundle / "key.safetensors", tiny_bundle / "detector.safetensors"
    export_job(ExportJobOptions(out, (str(key),), detector=detector, verifier=verifier_checkpoint(tmp_path, 0)))
    return out


def others(tiny_bundle: Path, out: Path) -> dict[str, ExportJobOptions]:
    """Exports that each put something else in the place of what `whole` holds."""
    return {
        "detector": ExportJobOptions(out, detector=detector_checkpoint(out.parent)),
        "verifier": ExportJobOptions(out, verifier=verifier_checkpoint(out.parent, 1)),
        "pipeline": ExportJobOptions(out, (str(tiny_bundle / "key.safetensors"),), score=("selection=3.0",)),
    }


@pytest.mark.parametrize("part", ["detector", "verifier", "pipeline"])
def test_a_failed_export_leaves_a_bundle_as_it_was(
    whole: Path, tiny_bundle: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object, **_options: object) -> None:
        raise OutputError("manifest.json cannot be written: No space left on device")

    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(bundle_writer, "write_text", full)
        with pytest.raises(OutputError, match="No space left"):
            export_job(others(tiny_bundle, whole)[part])
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before
    # With room it succeeds, and what was replaced is gone.
    export_job(others(tiny_bundle, whole)[part])
    now = files_named(whole)
    assert {path.name for path in whole.iterdir()} == {*now, "manifest.json"}
    assert len(now) == 3
    assert sum(name not in before for name in now) == 1


def bundle_of_others(tiny_bundle: Path, folder: Path, file: str, note: str) -> Path:
    """A bundle of one network that differs by a note from that of another bundle, whatever its file is called."""
    key, manifest = open_bundle(tiny_bundle).pipelines[0].networks[0], read_manifest(tiny_bundle)
    model = onnx.load_from_string(key.read())
    model.doc_string = note
    data = model.SerializeToString()
    row = {**manifest["networks"][key.path.stem], "file": file, "sha256": hashlib.sha256(data).hexdigest()}
    pipeline = {"name": "theirs", "cycle": ["net"], "scores": {}}
    folder.mkdir()
    (folder / file).write_bytes(data)
    told = {**manifest, "detector": None, "networks": {"net": row}, "pipelines": [pipeline]}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def test_copied_networks_of_one_name_stay_apart(whole: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """So does the detector, when a network has the name of its file."""
    (taken,) = whole.glob("detector*.onnx")
    sources = {}
    for name, file in (("first", "mine.onnx"), ("second", "mine.onnx"), ("third", taken.name)):
        sources[name] = bundle_of_others(tiny_bundle, tmp_path / name, file, name)
        export_job(ExportJobOptions(whole, (str(sources[name]),), name=name))
    files = {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "manifest.json"}
    assert len(files) == 6
    assert files_named(whole) == files
    for name, source in sources.items():
        (theirs,) = open_bundle(source).pipelines
        (mine,) = (pipeline for pipeline in open_bundle(whole).pipelines if pipeline.name == name)
        assert mine.networks[0].read() == theirs.networks[0].read()
        # Once more changes nothing.
        export_job(ExportJobOptions(whole, (str(source),), name=name))
    assert files_named(whole) == files


def follower_checkpoint(folder: Path) -> Path:
    plan = Plan(arch(32), FusionSpec("add", 1))
    path, net = folder / "follower.safetensors", PoseNet(plan.arch, 17, plan.fusion)
    save_checkpoint(path, net.state_dict(), {"kind": "pose", "plan": plan.to_json(), "keypoints": 17})
    return path


def pose_checkpoint(folder: Path) -> Path:
    path, net = folder / "pose.safetensors", PoseNet(arch(64))
    save_checkpoint(path, net.state_dict(), {"kind": "pose", "plan": Plan(arch(64)).to_json(), "keypoints": 17})
    return path
