"""`vipnas search` from the command line: what it writes, and what it refuses in one sentence."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("torch")
import torch

from vipnas_cli.cli.app import app
from vipnas_cli.cli.info_job import describe
from vipnas_cli.cli.search import job
from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.errors import (
    BudgetError,
    DataError,
    InputError,
    OutputError,
    UsageError,
    VipnasError,
    WeightsError,
)
from vipnas_cli.evaluation.clip_sets import ClipSet, ClipSets, SetSizes
from vipnas_cli.export.sources import find_networks
from vipnas_cli.latency.machine import Machine, this_machine
from vipnas_cli.latency.measure import space_layers
from vipnas_cli.latency.table import LatencyTable, layer_key
from vipnas_cli.locks import only_writer
from vipnas_cli.nets.checkpoints import load_pose_net, load_super_net, save_checkpoint
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.search import plan_times
from vipnas_cli.search.task import read_measured
from vipnas_cli.spec import FusionSpec, ImportedSpec, Plan, Schedule, SearchSpace, read_schedule
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.spec.cost import plan_cost

FUSIONS = (FusionSpec("add", 2), FusionSpec("cat", 2))


def noise(sizes: SetSizes, count: int, seed: int) -> ClipSet:
    """Clips of people who are noise."""
    generator = np.random.default_rng(seed)
    clips, pictures = [], {}
    for number in range(count):
        frames = []
        for index in range(sizes.frames):
            path = Path(f"noise/{number}/{index}")
            pictures[path] = generator.integers(0, 256, (60, 80, 3), np.uint8)
            points = generator.uniform(10, 50, (17, 2)).astype(np.float32)
            frames.append(LabelledPerson(path, np.array([15, 5, 45, 55], np.float32), points, np.ones(17, np.float32)))
        clips.append(PersonClip(f"noise{number}", tuple(frames)))
    return ClipSet(tuple(clips), pictures, f"{count} clips of noise")


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Noise for clips, a clock that is not asked, an own configuration folder, an own current folder."""

    def clips(_data: Path | None, sizes: SetSizes) -> ClipSets:
        return ClipSets(noise(sizes, 6, 0), noise(sizes, 4, 1), noise(sizes, 5, 2) if sizes.checks else None)

    monkeypatch.delenv("VIPNAS_DATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(job, "clip_sets", clips)
    for module in (job, plan_times):
        monkeypatch.setattr(module, "measured_ms", lambda _net, _options: 1.5)
    monkeypatch.setattr(plan_times, "measured_key_ms", lambda _key, _options: 2.5)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of untrained networks by kind."""
    folder = tmp_path_factory.mktemp("weights")
    fixed = StageChoices((8,), (1,), (3,), (1,), (1,), (False,))
    free = StageChoices((8,), (1, 2), (3, 5), (1,), (1, 2), (False,))
    stages = (fixed, fixed, free, fixed, fixed, fixed)
    head = HeadChoices((8,), (2,), (1,), (3,))
    space = SearchSpace("fast", ((64, 32), (96, 64)), StemChoices((8,), (3,)), stages, head)
    torch.manual_seed(0)
    found = {}
    for kind, fusions in (("spatial", ()), ("temporal", FUSIONS)):
        found[kind] = folder / f"{kind}.safetensors"
        fusing = [[fusion.operation, fusion.stage] for fusion in fusions]
        header = {"kind": "supernet", "space": space.to_json(), "fusions": fusing, "keypoints": 17}
        save_checkpoint(found[kind], SuperNet(space, 17, fusions).state_dict(), header)
    found["key"] = folder / "key.safetensors"
    header = {"kind": "pose", "plan": Plan(space.largest).to_json(), "keypoints": 17}
    save_checkpoint(found["key"], PoseNet(space.largest).state_dict(), header)
    return found


def vipnas(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["search", *map(str, arguments), "--workers", "1"])


def document(*arguments: object) -> dict[str, Any]:
    result = vipnas(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def failure(kind: type[VipnasError], *arguments: object) -> str:
    result = vipnas(*arguments)
    assert isinstance(result.exception, kind), result.exception or result.output
    return f"{result.exception.what}. {result.exception.hint}"


def temporal(files: dict[str, Path]) -> list[object]:
    """The arguments of a small temporal search."""
    return ["temporal", "--weights", files["temporal"], "--key", files["key"], "-b", "2MFLOPs", "-n", 3]


def test_followers_are_searched_and_written(files: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = vipnas(*temporal(files), "--frames", 3, "--baselines", "--compare", files["key"])
    assert result.exit_code == 0, result.exception
    for words in ("SYNTHETIC", "Allocation over the cycle", "Pareto front", "At equal cost", "vipnas export", "key on"):
        assert words in result.output
    # What comes next needs data, and better still a training; both are typed out.
    for words in ("--data DATA --name searched", "vipnas train cycle --data DATA --key", "DATA: a folder of labelled"):
        assert words in result.output
    folder = tmp_path / "search-temporal-3"
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["evaluations"] == {"evolution": 3, "random": 3, "uniform": 3}
    specs = sorted((folder / "pareto").glob("*.json"))
    assert [f"pareto/{path.name}" for path in specs] == [row["spec"] for row in summary["front"]]
    schedules = [Schedule.from_json(json.loads(path.read_text(encoding="utf-8"))) for path in specs]
    assert all(len(schedule) == 3 for schedule in schedules)
    assert schedules[-1].key == summary["winner"]["key"]
    scores = [row["score"] for row in summary["front"]]
    assert scores == sorted(scores)
    assert len(summary["allocation"]) == 3
    assert (folder / "pareto.png").stat().st_size > 10_000
    assert len((folder / "candidates.jsonl").read_text(encoding="utf-8").splitlines()) == 1 + summary["scored_anew"]


def test_followers_are_searched_behind_a_network_of_others(
    files: dict[str, Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    imported = tmp_path / "imported"
    shutil.copytree(tiny_bundle, imported)
    manifest = json.loads((imported / "manifest.json").read_text(encoding="utf-8"))
    alone = next(row for row in manifest["pipelines"] if row["name"] == "tiny-key")
    (name,) = alone["cycle"]
    key = manifest["networks"][name]
    key["plan"] = Plan(ImportedSpec("other", 96, 64, key["macs"], key["parameters"], key["sha256"])).to_json()
    (imported / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = document(
        "temporal", "--weights", files["temporal"], "--key", imported, "-b", "3ms", "-n", 12, "--frames", 3
    )
    first, *others = found["allocation"]
    assert (first["network"], first["macs"], first["measured_ms"]) == ("96×64, other (imported)", key["macs"], 2.5)
    assert len(others) == 2
    assert found["predictor_rank_correlation"] is not None
    (spec, *_) = sorted((tmp_path / "search-temporal-3" / "pareto").glob("*.json"))
    assert Schedule.from_json(json.loads(spec.read_text(encoding="utf-8"))).plan(0).arch.family == "imported"
    cycle = find_networks((str(imported), str(files["temporal"])), spec, None)
    assert Schedule(tuple(source.plan for source in cycle.sources)) == read_schedule(str(spec))
    with pytest.raises(UsageError, match="is not the schedule's key network"):
        find_networks((str(tiny_bundle), str(files["temporal"])), spec, None)


def test_winners_are_checked_on_other_clips(files: dict[str, Path]) -> None:
    arguments = (*temporal(files), "--frames", 3, "--baselines", "--out", "checked")
    assert document(*arguments)["checked"] is None
    found = document(*arguments, "--check-clips", 5, "--resume")
    rows = found["checked"]["at_equal_cost"]
    assert [row["cost"] for row in rows] == [row["cost"] for row in found["at_equal_cost"]]
    assert rows[-1]["evolution"] == found["checked"]["winner"]
    chosen = found["at_equal_cost"][-1]
    assert {name for name, score in rows[-1].items() if score is not None} == {
        n for n, s in chosen.items() if s is not None
    }
    result = vipnas(*arguments, "--check-clips", 5, "--resume")
    assert "that chose none of them" in " ".join(result.output.split())


def test_an_interrupted_command_ends_where_an_uninterrupted_one_ends(files: dict[str, Path]) -> None:
    whole = document(*temporal(files), "--out", "whole")
    log = Path("whole/candidates.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("cut").mkdir()
    Path("cut/candidates.jsonl").write_text("".join(log[:2]) + log[2][:40], encoding="utf-8")
    cut = document(*temporal(files), "--out", "cut", "--resume")
    assert {**cut, "seconds": 0, "seconds_scoring": 0} == {**whole, "seconds": 0, "seconds_scoring": 0}
    assert "another seed" in failure(UsageError, *temporal(files), "--out", "cut", "--resume", "--seed", 1)


def test_two_searches_do_not_write_to_one_folder(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    busy = "another process is writing to found"
    run, write, clips, seen = job._run, job.write_specs, job.clip_sets, []

    def taken(part: Callable[..., Any]) -> Callable[..., Any]:
        def tried(*arguments: Any) -> Any:
            with pytest.raises(OutputError, match=busy), only_writer(Path("found")):
                pass
            seen.append(part)
            return part(*arguments)

        return tried

    monkeypatch.setattr(job, "_run", taken(run))
    monkeypatch.setattr(job, "write_specs", taken(write))
    document(*temporal(files), "--out", "found")
    monkeypatch.setattr(job, "clip_sets", taken(clips))
    document(*temporal(files), "--out", "found", "--resume")
    assert seen == [run, write, clips, run, write]
    log = Path("found/candidates.jsonl")
    before = log.read_bytes()
    with only_writer(Path("found")):
        monkeypatch.setattr(job, "clip_sets", lambda *_: pytest.fail("clips were made"))
        assert busy in failure(OutputError, *temporal(files), "--out", "found", "--resume")
        monkeypatch.setattr(job, "clip_sets", clips)
        log.unlink()
        assert busy in failure(OutputError, *temporal(files), "--out", "found")
        assert not log.exists()
    log.write_bytes(before)
    document(*temporal(files), "--out", "found", "--resume")
    assert log.read_bytes() == before


def test_the_key_network_alone_and_both_together(files: dict[str, Path]) -> None:
    found = document("spatial", "--weights", files["spatial"], "--space", "fast", "-b", "1MFLOPs", "-n", 3)
    assert {row["frames"] for row in found["front"]} == {1}
    both = ["joint", "--weights", files["spatial"], "--weights", files["temporal"], "-b", "1MFLOPs", "-n", 3]
    found = document(*both, "--frames", "2..3")
    assert {row["frames"] for row in found["front"]} <= {2, 3}
    assert Path("search-joint-2-3/summary.json").is_file()


def test_milliseconds_come_from_a_table(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    table = LatencyTable(Machine("abacus", 1, "none", "0"), 1, "2026-01-01", 17, {"stem": 0.5})
    table.write(Path("table.json"))
    weights = ["--weights", files["temporal"], "--key", files["key"], "-n", 4, "--frames", 2]
    assert "elsewhere" in failure(InputError, *weights, "-b", "4ms", "--latency-table", "table.json")
    assert "does not exist" in failure(InputError, *weights, "-b", "4ms", "--latency-table", "missing.json")
    assert "leave one" in failure(UsageError, *weights, "--latency-table", "table.json", "--measure")
    monkeypatch.setattr(LatencyTable, "check_machine", lambda _table, _threads: None)
    monkeypatch.setattr(LatencyTable, "predict", lambda _table, plan: plan.arch.height / 30)
    found = document(*weights, "-b", "2ms", "--latency-table", "table.json")
    # The key network is measured, the follower looked up.
    assert all(row["ms"] == pytest.approx((1.5 + 64 / 30) / 2) for row in found["front"])
    assert found["measured_ms"] == 1.5
    assert found["at_equal_latency"] == []
    assert "costs 1.817 ms" in failure(
        BudgetError, *weights, "-b", "1ms", "--latency-table", "table.json", "--out", "other"
    )


def test_who_lets_networks_be_measured_hears_of_tables(files: dict[str, Path]) -> None:
    weights = ["--weights", files["temporal"], "--key", files["key"], "-n", 2, "--frames", 2]
    result = vipnas(*weights, "-b", "4ms", "--out", "measured", "--threads", 2)
    assert result.exit_code == 0, result.exception
    assert "`vipnas latency-table --space fast --threads 2 -o fast.json`" in result.output
    assert "then --latency-table fast.json" in result.output
    for budget in (["-b", "2MFLOPs"], ["-b", "2MFLOPs", "--measure"]):
        assert "latency-table" not in vipnas(*weights, *budget, "--out", str(len(budget))).output


def test_a_search_that_measures_goes_on_only_with_the_same_threads_on_the_same_machine(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = ["--weights", files["temporal"], "--key", files["key"], "-n", 2, "--frames", 2]
    measured, measuring, counted = (
        [*weights, "--out", "ms", "-b", "4ms"],
        [*weights, "--out", "both", "-b", "2MFLOPs", "--measure"],
        [*weights, "--out", "flops", "-b", "2MFLOPs"],
    )
    for arguments in (measured, measuring, counted):
        first = document(*arguments)
        assert document(*arguments, "--resume")["front"] == first["front"]
    for arguments in (measured, measuring):
        assert "another threads: 1, not 2" in failure(UsageError, *arguments, "--resume", "--threads", 2)
    # How many cores there are says nothing about one thread; another processor does.
    fewer = replace(this_machine(), cores=99)
    monkeypatch.setattr(job, "this_machine", lambda: fewer)
    document(*measured, "--resume")
    monkeypatch.setattr(job, "this_machine", lambda: replace(fewer, cpu="abacus"))
    for arguments in (measured, measuring):
        assert "not 'abacus, " in failure(UsageError, *arguments, "--resume")
    document(*counted, "--resume", "--threads", 2)


def test_a_search_that_begins_takes_no_times_that_an_earlier_one_left(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--weights", files["temporal"], "--key", files["key"], "-n", 2, "--frames", 2, "-b", "4ms"]
    assert {row["ms"] for row in document(*arguments, "--out", "found")["front"]} == {1.5}
    Path("found/candidates.jsonl").unlink()
    monkeypatch.setattr(plan_times, "measured_ms", lambda _plan, _options: 1.8)
    assert {row["ms"] for row in document(*arguments, "--out", "found")["front"]} == {1.8}
    assert set(read_measured(Path("found/measured.jsonl")).values()) == {1.8}


def test_info_knows_what_a_search_wrote(files: dict[str, Path]) -> None:
    weights = ["--weights", files["temporal"], "--key", files["key"], "-n", 4, "--frames", 2]
    found = document(*weights, "-b", "4ms", "--out", "found")
    summary, log, times = (describe(Path("found") / name) for name in (job.SUMMARY, job.LOG, job.MEASURED))
    assert summary.facts["candidates"] == log.facts["candidates"] == ["evolution: 4"]
    assert summary.facts["best"] == log.facts["best"] == f"PCK@0.1 {found['winner']['score']:.4g} at 1.5 ms"
    assert len(summary.facts["front"]) == len(found["front"])
    assert f"--spec found/{found['winner']['spec']}" in summary.next
    assert log.next == "vipnas info found/summary.json"
    assert times.facts["networks"] == len(read_measured(Path("found") / job.MEASURED))


@pytest.fixture(scope="module")
def pyramids(files: dict[str, Path]) -> dict[str, Path]:
    """Untrained key networks of another family: a super-network, and one of a size that the super-network lacks."""
    fast = load_super_net(files["spatial"]).space
    space = replace(fast, family="pyramid")
    arch = replace(space.largest, height=128, width=96)
    found = {kind: files[kind].with_name(f"pyramid-{kind}.safetensors") for kind in ("spatial", "key")}
    header = {"kind": "supernet", "space": space.to_json(), "fusions": [], "keypoints": 17}
    save_checkpoint(found["spatial"], SuperNet(space, 17, ()).state_dict(), header)
    save_checkpoint(
        found["key"], PoseNet(arch).state_dict(), {"kind": "pose", "plan": Plan(arch).to_json(), "keypoints": 17}
    )
    return found


@pytest.fixture
def tables(files: dict[str, Path], pyramids: dict[str, Path]) -> dict[str, Path]:
    """Tables of this machine in the current folder by family; every layer takes 0.01 ms."""
    found = {"fast": Path("fast.json"), "pyramid": Path("pyramid.json")}
    for path, supernet in zip(found.values(), (files["temporal"], pyramids["spatial"]), strict=True):
        layers = space_layers(load_super_net(supernet).space, FUSIONS)
        layer_ms = {layer_key(layer): 0.01 for layer in layers}
        LatencyTable(this_machine("cpu"), 1, "2026-01-01", 17, layer_ms).write(path)
    return found


def behind_pyramid(
    files: dict[str, Path], pyramids: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[object], list[Plan]]:
    """The arguments of a search behind a key network that no table holds, and the plans that will be measured."""
    measured: list[Plan] = []

    def clock(plan: Plan, _options: object) -> float:
        measured.append(plan)
        return 1.5

    monkeypatch.setattr(plan_times, "measured_ms", clock)
    return ["--weights", files["temporal"], "--key", pyramids["key"], "--frames", 3, "-n", 3], measured


@pytest.mark.parametrize("budget", ["1ms", "2MFLOPs"])
def test_a_fixed_key_network_that_no_table_holds_is_measured(
    budget: str,
    files: dict[str, Path],
    pyramids: dict[str, Path],
    tables: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, measured = behind_pyramid(files, pyramids, monkeypatch)
    found = document(*arguments, "-b", budget, "--latency-table", tables["fast"], "--out", "found")
    assert all(1.5 / 3 < row["ms"] < 1 for row in found["front"])
    # Once to see whether the search can begin, once in it, once beside the followers of the winner.
    assert [plan.arch.family for plan in measured].count("pyramid") == 3
    assert read_measured(Path("found/measured.jsonl")) == {measured[0]: 1.5}
    before = [row["ms"] for row in found["front"]]
    monkeypatch.setattr(plan_times, "measured_ms", lambda _plan, _options: 1.8)
    again = document(*arguments, "-b", budget, "--latency-table", tables["fast"], "--out", "found", "--resume")
    assert [row["ms"] for row in again["front"]] == before


def test_a_table_without_the_followers_is_told_before_anything_is_made(
    files: dict[str, Path], pyramids: dict[str, Path], tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, _ = behind_pyramid(files, pyramids, monkeypatch)
    monkeypatch.setattr(job, "clip_sets", None)
    for budget in ("2MFLOPs", "2ms"):
        told = failure(InputError, *arguments, "-b", budget, "--latency-table", tables["pyramid"], "--out", "none")
        assert "lacks a part of this network: stem fast" in told
        assert "--space fast" in told
    assert not Path("none").exists()


def test_both_networks_come_from_tables_of_their_families(
    files: dict[str, Path], pyramids: dict[str, Path], tables: dict[str, Path]
) -> None:
    both = ["joint", "--weights", pyramids["spatial"], "--weights", files["temporal"], "-n", 3, "--frames", "2..3"]
    one, other = (("--latency-table", path) for path in tables.values())
    assert "stem pyramid" in failure(InputError, *both, "-b", "1ms", *one)
    assert "stem fast" in failure(InputError, *both, "-b", "1MFLOPs", *other)
    found = document(*both, "-b", "1ms", *one, *other)
    assert all(0 < row["ms"] <= 1 for row in found["front"])
    again = document(*both, "-b", "1ms", *one, *other, "--resume")
    assert again["front"] == found["front"]


def test_methods_are_compared_at_equal_latency_too(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    LatencyTable(Machine("abacus", 1, "none", "0"), 1, "2026-01-01", 17, {"stem": 0.5}).write(Path("table.json"))
    monkeypatch.setattr(LatencyTable, "check_machine", lambda _table, _threads: None)
    monkeypatch.setattr(LatencyTable, "predict", lambda _table, plan: plan_cost(plan).macs / 1e5)
    weights = ["--weights", files["temporal"], "--key", files["key"], "--frames", 3, "-b", "1MFLOPs", "-n", 6]
    found = document(*weights, "--baselines", "--latency-table", "table.json")
    levels = found["at_equal_latency"]
    assert levels[-1]["ms"] == found["winner"]["ms"]
    assert [level["ms"] for level in levels] == sorted(level["ms"] for level in levels)
    best = levels[-1]["evolution"]
    assert best["score"] == found["winner"]["score"]
    for level in levels:
        entries = [level[name] for name in ("evolution", "random", "uniform") if level[name]]
        assert all(entry["ms"] <= level["ms"] for entry in entries)
        assert all(entry["measured_ms"] == 1.5 for entry in entries)


def test_what_cannot_be_searched_is_told_in_a_sentence(files: dict[str, Path]) -> None:
    weights = ["--weights", files["temporal"], "--key", files["key"]]
    assert "cheapest has a cycle of 4 frames" in failure(BudgetError, *weights, "-b", "10kMACs")
    assert "whole run" in failure(BudgetError, *weights, "-b", "60fps")
    assert "no length" in failure(UsageError, *weights, "--frames", "1")
    assert "no length" in failure(UsageError, *weights, "--frames", "8..2")
    assert "no super-network" in failure(WeightsError, "--weights", files["key"])
    assert "no temporal super-network" in failure(WeightsError, "--weights", files["spatial"])
    spatial = ["spatial", "--weights", files["spatial"]]
    assert "no spatial super-network of family resnet" in failure(WeightsError, *spatial, "--space", "resnet")
    assert "leave it out" in failure(UsageError, *weights, "--space", "fast")
    assert "leave it out" in failure(UsageError, *spatial, "--key", files["key"])
    for frames in (3, 4):
        assert "spatial has none of" in failure(UsageError, *spatial, "--frames", frames)
    both = ["joint", "--weights", files["spatial"], "--weights", files["temporal"]]
    assert "joint searches for one" in failure(UsageError, *both, "--key", files["key"])
    assert "does not exist" in failure(WeightsError, "--weights", "missing.safetensors")
    assert "without --resume" in failure(OutputError, *weights, "--resume")
    Path("search-temporal-4").mkdir()
    Path("search-temporal-4/candidates.jsonl").write_text("{}\n", encoding="utf-8")
    assert "--resume" in failure(OutputError, *weights)
    assert "not a log" in failure(InputError, *weights, "--resume")


def test_an_empty_data_folder_is_told(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert "nothing to score on" in failure(DataError, *temporal(files), "--data", tmp_path / "data")
    assert not (tmp_path / "search-temporal-4").exists()


def test_a_data_folder_that_is_a_file_and_one_without_stills_are_told(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    labels = tmp_path / "data" / "annotations" / "train" / "clip.json"
    labels.parent.mkdir(parents=True)
    row = {"track_id": 0, "image_id": 0, "bbox": [5, 5, 50, 70], "coco_keypoints": [20, 20, 2] * 17}
    image = {"id": 0, "file_name": "images/clip/0.png"}
    labels.write_text(json.dumps({"images": [image], "annotations": [row]}), encoding="utf-8")
    assert "is a file, not a data folder" in failure(DataError, *temporal(files), "--data", labels)
    spatial = ["spatial", "--weights", files["spatial"], "-b", "1MFLOPs", "--data", tmp_path / "data"]
    assert "needs stills, not clips" in failure(DataError, *spatial)


def test_networks_to_compare_with_are_loaded_before_the_search(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(job, "_run", lambda *_: pytest.fail("the search began"))
    assert "does not exist" in failure(WeightsError, *temporal(files), "--compare", "missing.safetensors")
    assert "no pose network" in failure(WeightsError, *temporal(files), "--compare", files["spatial"])
    other, arch = tmp_path / "other.safetensors", load_pose_net(files["key"]).arch
    save_checkpoint(
        other, PoseNet(arch, 13).state_dict(), {"kind": "pose", "plan": Plan(arch).to_json(), "keypoints": 13}
    )
    assert "knows 13 keypoints" in failure(WeightsError, *temporal(files), "--compare", other)
    assert not Path("search-temporal-4").exists()


def test_specs_of_the_user_stay_and_those_of_an_earlier_front_go(files: dict[str, Path]) -> None:
    pareto = Path("found/pareto")
    pareto.mkdir(parents=True)
    mine, earlier = ("mine.json", "01-favourite.json", "1-0123456789ab.json"), "09-0123456789ab.json"
    for name in (*mine, earlier):
        (pareto / name).write_text("{}", encoding="utf-8")
    found = document(*temporal(files), "--out", "found")
    assert {path.name for path in pareto.iterdir()} == {*mine, *(Path(row["spec"]).name for row in found["front"])}


def test_what_comes_next_names_the_data_that_scored_in_commands_that_run(files: dict[str, Path]) -> None:
    Path("vipnas.toml").write_text('data = "my people"\n', encoding="utf-8")
    result = vipnas(*temporal(files), "--out", "my search")
    assert result.exit_code == 0, result.exception
    assert "synthetic" not in result.output
    now, better, then = (
        shlex.split(line.partition(": ")[2])
        for line in result.output.splitlines()
        if line.startswith(("Next, at once", "Or, better", "  and then"))
    )
    for command in (now, better):
        assert command[command.index("--data") + 1] == "my people"
        assert Path(command[command.index("--spec") + 1]).is_file()
    assert now[-1] == then[-1] == "my search/pipelines"
