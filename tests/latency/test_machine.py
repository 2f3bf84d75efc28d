"""What is remembered of a machine comes back for that machine alone, and a bad file never hurts."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from vipnas_cli.bundle.pipelines import VerifierFile
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.errors import OutputError
from vipnas_cli.inference.threads import usable_cores
from vipnas_cli.latency.machine import (
    Machine,
    Measurements,
    PipelineTimes,
    cache_folder,
    load_measurements,
    pipeline_key,
    remember,
    this_machine,
)

HERE = Machine("a processor", 4, "Linux x86_64", "1.31.1")
TIMES = PipelineTimes(3.0, 4.5, 5.0, 120.0, 80.0)


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "measurements.json"
    remember(path, HERE, {"a": {1: TIMES, 2: replace(TIMES, network_ms=2.0)}})
    assert load_measurements(path, HERE) == Measurements({"a": {1: TIMES, 2: replace(TIMES, network_ms=2.0)}})
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_later_measurements_replace_only_the_same_pipeline_and_threads(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    newer = replace(TIMES, network_ms=9.0)
    remember(path, HERE, {"a": {1: TIMES, 2: TIMES}, "b": {1: TIMES}})
    remember(path, HERE, {"a": {2: newer}})
    assert load_measurements(path, HERE).pipelines == {"a": {1: TIMES, 2: newer}, "b": {1: TIMES}}


@pytest.mark.parametrize(
    "other",
    [replace(HERE, cpu="another"), replace(HERE, cores=2), replace(HERE, system="mac"), replace(HERE, runtime="9")],
)
def test_another_machine_or_runtime_knows_nothing_of_it(tmp_path: Path, other: Machine) -> None:
    path = tmp_path / "m.json"
    remember(path, HERE, {"a": {1: TIMES}})
    assert load_measurements(path, other) == Measurements()
    remember(path, other, {"a": {1: replace(TIMES, network_ms=1.0)}})
    assert load_measurements(path, HERE).times("a", 1) == TIMES


def test_no_file_is_an_empty_memory_without_a_note(tmp_path: Path) -> None:
    assert load_measurements(tmp_path / "none.json", HERE) == Measurements()


def damaged_rows() -> list[str]:
    """Files that are JSON of about the right form, with one thing wrong."""
    row = {"network_ms": 1, "step_ms": 1, "step_cpu_ms": 1, "numbers_fps": 1, "video_fps": 1}
    wrong = [
        {**row, "network_ms": "fast"},
        {**row, "step_ms": -1},
        {"network_ms": 1},
        [],
        None,
        {**row, "step_ms": 1e999},
    ]
    return [json.dumps({"schema": 1, "machines": {HERE.key: {"pipelines": {"a": {"1": bad}}}}}) for bad in wrong]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": 99}',
        '{"schema": 1}',
        '{"schema": 1, "machines": []}',
        "\udcff",
        *damaged_rows(),
    ],
)
def test_a_damaged_or_foreign_file_is_left_aside_with_a_note_and_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    memory = load_measurements(path, HERE)
    assert memory.pipelines == {}
    assert str(path) in memory.note
    remember(path, HERE, {"a": {1: TIMES}})
    assert load_measurements(path, HERE) == Measurements({"a": {1: TIMES}})


def test_two_processes_keep_what_the_other_one_measured(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    remember(path, HERE, {})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: remember(path, HERE, {f"{number:02d}": {1: TIMES}}), range(40)))
    assert load_measurements(path, HERE).pipelines == {f"{number:02d}": {1: TIMES} for number in range(40)}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_only_read_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError) as caught:
            remember(tmp_path / "m.json", HERE, {})
    finally:
        tmp_path.chmod(0o700)
    assert "VIPNAS_CACHE" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="measurements"):
        remember(tmp_path / "file" / "measurements.json", HERE, {})


def test_more_threads_are_taken_only_where_they_pay() -> None:
    nearly, clearly = replace(TIMES, numbers_fps=123.0), replace(TIMES, numbers_fps=160.0)
    assert Measurements({"a": {1: TIMES, 2: nearly}}).fastest_threads("a", pictures=False) == 1
    assert Measurements({"a": {1: TIMES, 2: clearly}}).fastest_threads("a", pictures=False) == 2
    assert Measurements({"a": {1: TIMES, 2: clearly}}).fastest_threads("a", pictures=True) == 1
    assert Measurements().fastest_threads("a", pictures=False) is None


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("VIPNAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "vipnas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "vipnas"


def test_a_pipeline_is_known_by_its_networks_and_detector() -> None:
    bundle = open_bundle(bundled_weights())
    assert bundle.detector is not None
    keys = [pipeline_key(pipeline, bundle.detector) for pipeline in bundle.pipelines]
    assert len(set(keys)) == len(keys)
    first = bundle.pipelines[0]
    assert pipeline_key(replace(first, name="another name"), bundle.detector) == keys[0]
    assert pipeline_key(first, replace(bundle.detector, sha256="0" * 64)) != keys[0]
    verifier = VerifierFile(Path("verifier.onnx"), "1" * 64, 1, 128, 96, 0.4)
    assert len({pipeline_key(first, replace(bundle.detector, verifier=v)) for v in (None, verifier)}) == 2
    assert pipeline_key(first, None) != keys[0]


def test_this_machine_says_who_it_is() -> None:
    machine = this_machine()
    assert machine.cores == usable_cores() >= 1
    assert machine.cpu
    assert machine == this_machine()
