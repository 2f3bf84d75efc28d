"""`vipnas latency-table`: what it writes, what it says, and what it refuses before any measuring."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vipnas_cli.latency.measure as tables
import vipnas_cli.latency.probe as probe
from vipnas_cli.cli.app import app, main
from vipnas_cli.cli.latency_table import LatencyTableOptions, Space
from vipnas_cli.cli.latency_table_job import SEARCHES, latency_table_job
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.measure import check_table
from vipnas_cli.latency.probe import ProbeOptions
from vipnas_cli.latency.table import Agreement, LatencyTable, layer_key
from vipnas_cli.spec import Plan
from vipnas_cli.spec.spaces import SPACES

TABLE = LatencyTable(this_machine(), 1, "2026-01-01", 17, {"stem": 0.5})


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with a table and a comparison that are ready."""

    def measure(_space: object, _options: object, on_step: Callable[[], None]) -> LatencyTable:
        on_step()
        return TABLE

    def compare(_table: object, plans: Sequence[Plan], _probe: object, _on_step: object) -> Agreement:
        measured = tuple(1.0 + index for index in range(len(plans)))
        return Agreement(tuple(1.1 * value for value in measured), measured)

    monkeypatch.setattr(tables, "measure_table", measure)
    monkeypatch.setattr(tables, "check_table", compare)


def run(options: LatencyTableOptions, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """The JSON document on stdout and the text on stderr."""
    latency_table_job(options)
    captured = capsys.readouterr()
    return json.loads(captured.out or "{}"), captured.err


def test_every_named_space_can_be_chosen() -> None:
    assert set(Space) == set(SPACES)


def test_the_table_is_written_and_the_comparison_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    document, text = run(LatencyTableOptions(out=path, check=5, json=True), capsys)
    assert LatencyTable.read(path) == TABLE
    assert document["schema"] == 1
    assert document["entries"] == 1
    assert document["check"]["networks"] == 5
    assert document["check"]["worst_error"] == pytest.approx(0.1)
    assert document["check"]["spearman"] == 1
    assert not text


def test_people_read_it_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    document, text = run(LatencyTableOptions(out=path, check=5), capsys)
    assert document == {}
    assert "5 other networks" in text
    assert "10.0% at worst" in text
    assert "--latency-table" in text
    document, text = run(LatencyTableOptions(out=path, overwrite=True, quiet=True), capsys)
    assert (document, text) == ({}, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (LatencyTableOptions(), "Next: vipnas search temporal --budget 4ms --latency-table"),
        (LatencyTableOptions(space=Space.pyramid), "Next: vipnas search spatial --budget 4ms --latency-table"),
        (LatencyTableOptions(space=Space.resnet), "Next: vipnas search spatial --weights FILE --budget 4ms"),
        (LatencyTableOptions(threads=2), "Next: vipnas search temporal --budget 4ms --threads 2 --latency-table"),
    ],
)
def test_the_search_that_comes_next_has_the_networks_of_the_table(
    options: LatencyTableOptions, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.json"
    assert words in " ".join(run(replace(options, out=path), capsys)[1].split())


def test_a_name_with_a_space_stays_one_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my table.json"
    words = shlex.split(run(LatencyTableOptions(out=path), capsys)[1].partition("Next: ")[2])
    assert words[-2:] == ["--latency-table", str(path)]


def test_every_space_has_a_search() -> None:
    assert set(SEARCHES) == set(Space)


def test_a_table_goes_to_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path))
    document, _ = run(LatencyTableOptions(space=Space.resnet, threads=2, json=True), capsys)
    assert document["table"] == str(tmp_path / "latency-resnet-2.json")
    assert Path(document["table"]).is_file()


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="exists already"):
        latency_table_job(LatencyTableOptions(out=path))
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_table_that_is_there_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.json"
    TABLE.write(path)
    document, _ = run(LatencyTableOptions(table=path, check=3, json=True), capsys)
    assert document["seconds"] == 0
    assert document["check"]["networks"] == 3


@pytest.mark.parametrize(("family", "threads"), [("fast", 1), ("pyramid", 1), ("resnet", 2)])
def test_a_table_is_checked_with_networks_of_its_space_on_its_threads(
    family: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = SPACES[family]
    layer_ms = {layer_key(layer): 0.5 for layer in tables.space_layers(space, tables.all_fusions(space))}
    table, path = replace(TABLE, threads=threads, layer_ms=layer_ms), tmp_path / "table.json"
    table.write(path)
    asked: list[int] = []

    class Probe:
        """Measures what the table predicts."""

        def __init__(self, options: ProbeOptions) -> None:
            asked.append(options.threads)

        def plan_ms(self, plans: Sequence[Plan], _on_step: Callable[[], None]) -> list[float]:
            return [table.predict(plan) for plan in plans]

    monkeypatch.setattr(tables, "check_table", check_table)
    monkeypatch.setattr(probe, "OnnxProbe", Probe)
    document, _ = run(LatencyTableOptions(table=path, check=3, json=True), capsys)
    assert (document["space"], document["threads"], asked) == (family, threads, [threads])
    assert document["check"]["worst_error"] == 0


@pytest.mark.parametrize(
    "options", [LatencyTableOptions(table=Path("t")), LatencyTableOptions(table=Path("t"), out=Path("o"), check=1)]
)
def test_options_that_contradict_each_other_are_refused(options: LatencyTableOptions) -> None:
    with pytest.raises(UsageError, match="--table"):
        latency_table_job(options)


def test_the_command_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.registered_commands
    monkeypatch.setattr("sys.argv", ["vipnas", "latency-table", "--space", "slow"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "slow" in capsys.readouterr().err
