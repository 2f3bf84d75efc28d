"""The one progress bar: seen on a terminal, lines elsewhere; messages, and their log."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from vipnas_cli.cli import console as consoles
from vipnas_cli.cli.console import ProgressKind, counted, message_console, progress_bar
from vipnas_cli.locks import LineLog


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_without_a_terminal_or_when_quiet_no_bar_is_shown(terminal: bool, quiet: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, quiet=quiet)
    with progress_bar(console, "steps", 3) as bar, counted(console, "images", 2) as on_image:
        bar.move(2, "loss 0.5")
        on_image()
        assert not bar.shown
    assert stream.getvalue() == ""


def test_a_terminal_shows_how_much_is_done_and_the_facts_beside() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, no_color=True, width=100)
    with progress_bar(console, "steps", 3, transient=False) as bar:
        bar.move(2, "loss 0.5")
        bar.advance()
    last = stream.getvalue()
    assert "steps" in last
    assert "3/3" in last
    assert "loss 0.5" in last


def lines_of(kind: ProgressKind, monkeypatch: pytest.MonkeyPatch, steps: int = 3, before: int = 0) -> list[str]:
    """What is told of two seconds per step."""
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr(consoles.time, "monotonic", lambda: float(next(now)))
    stream = io.StringIO()
    with progress_bar(Console(file=stream, width=200), "frames", 10, kind=kind) as bar:
        for step in range(before + 1, before + steps + 1):
            bar.move(step, "7 fps")
    return stream.getvalue().splitlines()


def test_without_a_terminal_a_line_comes_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(ProgressKind.auto, monkeypatch)
    assert len(lines) == 1
    assert re.fullmatch(r"frames 3 of 10, 7 fps, 0:00:\d\d left", lines[0])
    assert lines_of(ProgressKind.off, monkeypatch) == []


def test_progress_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.loads(line) for line in lines_of(ProgressKind.json, monkeypatch)]
    assert [row["done"] for row in rows] == [1, 2, 3]
    assert {"progress": "frames", "total": 10}.items() <= rows[0].items()
    assert all(row["per_second"] > 0 and row["seconds_left"] > 0 for row in rows)


def test_what_was_done_before_the_bar_began_is_not_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [json.loads(line) for line in lines_of(ProgressKind.json, monkeypatch)]
    resumed = [json.loads(line) for line in lines_of(ProgressKind.json, monkeypatch, before=5)]
    assert [row["done"] for row in resumed] == [6, 7, 8]
    assert [row["per_second"] for row in resumed] == [row["per_second"] for row in whole]


def test_messages_are_cut_nowhere_but_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "word " * 60
    message_console().print(text)
    assert capsys.readouterr().err == text + "\n"


def test_names_that_look_like_emoji_or_markup_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, table = ":fire:[red].csv", Table.grid()
    table.add_row(name)
    with LineLog(tmp_path / "run.log") as log:
        for console in (message_console(log=log), consoles.result_console()):
            console.print(name)
            console.print(table)
    found = capsys.readouterr()
    assert [found.out.count(name), found.err.count(name), (tmp_path / "run.log").read_text().count(name)] == [2, 2, 2]


def test_what_is_told_once_is_told_with_each_line_marked(capsys: pytest.CaptureFixture[str]) -> None:
    console = message_console()
    for before in ("a: ", "b: "):
        console.once("first\nsecond", before)
    assert capsys.readouterr().err == "a: first\na: second\n"


def test_the_log_has_what_is_quiet_and_what_is_detail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.log"
    with LineLog(path) as log:
        console = message_console(quiet=True, log=log)
        console.print("first [x]")
        console.detail("second")
    assert capsys.readouterr().err == ""
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 "
    assert re.fullmatch(f"{stamp}first \\[x\\]\n{stamp}second\n", path.read_text())
    message_console(verbose=True).detail("third")
    message_console().detail("fourth")
    assert capsys.readouterr().err == "third\n"
