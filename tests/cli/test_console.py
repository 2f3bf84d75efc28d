"""The one progress bar: seen on a terminal, silent elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vipnas_cli.cli.console import counted, progress_bar


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_without_a_terminal_or_when_quiet_nothing_is_shown(terminal: bool, quiet: bool) -> None:
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
