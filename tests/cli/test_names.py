"""Names of files and pipelines are printed as they are, whatever signs they hold."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from vipnas_cli.cli import console
from vipnas_cli.cli.app import bear_any_text
from vipnas_cli.cli.console import message_console, result_console

NAMES = ["clip[draft].csv", "v2[/final]/o.csv", "[bold]x[/bold]", "dance [dQw4w9WgXcQ].mp4", "[/]", ":fire:.csv"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table.grid()
    table.add_row("written", name)
    for target in (message_console(), result_console()):
        target.print(f"written {name}")
        target.print(table)
    captured = capsys.readouterr()
    assert captured.err.count(name) == 2
    assert captured.out.count(name) == 2


def test_all_consoles_come_from_one_place() -> None:
    package = Path(console.__file__).parent
    made = re.compile(r"(?<![a-z_])Console\(")
    assert [path.name for path in package.rglob("*.py") if made.search(path.read_text())] == ["console.py"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_names_that_the_terminal_has_no_signs_for_are_printed_with_others(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    bear_any_text()
    sys.stdout.write("日本 caf\udce9.mp4")
    sys.stdout.flush()
    assert b"caf?.mp4" in raw.getvalue()


def test_an_error_about_a_name_that_is_not_utf_8_is_one_sentence(tmp_path: Path) -> None:
    program = "from vipnas_cli.cli.app import main; main()"
    command = [sys.executable, "-c", program, "info", str(tmp_path / "caf\udce9.csv")]
    found = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert found.returncode == 3
    assert b"does not exist" in found.stderr
    assert b"Traceback" not in found.stderr
