"""Where things are told: results on stdout, one document or tables; progress and messages on stderr."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vipnas_cli.inference.pipeline import RunStatistics

# Wide enough for a long name where stdout is no terminal.
WIDTH = 140


def print_json(document: Mapping[str, Any]) -> None:
    """One document on stdout."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def message_console(quiet: bool = False) -> Console:
    """Where progress and messages go: stderr. Texts are printed as they are, whatever names of files hold."""
    return Console(stderr=True, quiet=quiet, highlight=False, markup=False)


def bear_any_text() -> None:
    """Lets stdout and stderr take every text: signs that they have not, as in names that are not UTF-8, become `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def result_console() -> Console:
    """Where results go: stdout, in one width wherever it leads. Texts are printed as they are."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, markup=False, soft_wrap=True, width=WIDTH)


@dataclass(frozen=True)
class Bar:
    """A progress bar; without a terminal it shows nothing."""

    progress: Progress | None = None
    task: TaskID | None = None

    @property
    def shown(self) -> bool:
        """Whether anybody sees it."""
        return self.progress is not None

    @property
    def speed(self) -> float | None:
        """Steps per second, once they are known."""
        return self.progress.tasks[0].speed if self.progress else None

    def advance(self) -> None:
        """One step more; from any thread."""
        if self.progress is not None and self.task is not None:
            self.progress.advance(self.task)

    def move(self, done: int, facts: str = "") -> None:
        """So many steps are done; `facts` stand beside the bar."""
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=done, facts=facts)


@contextmanager
def progress_bar(console: Console, label: str, total: int | None, transient: bool = True) -> Iterator[Bar]:
    """A bar with the time left on a terminal, nothing elsewhere; a transient one is gone at the end."""
    if console.quiet or not console.is_terminal:
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    facts = TextColumn("{task.fields[facts]}", markup=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        facts,
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=transient) as progress:
        yield Bar(progress, progress.add_task(label, total=total, facts=""))


@contextmanager
def counted(console: Console, label: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call, from any thread, after each of `total` steps."""
    with progress_bar(console, label, total) as bar:
        yield bar.advance


@contextmanager
def frame_progress(
    console: Console, frames: int | None, label: str = "frames"
) -> Iterator[Callable[[RunStatistics], None]]:
    """A function to call after each frame; it moves a bar with frames per second and the time left."""
    with progress_bar(console, label, frames) as bar:
        yield lambda statistics: bar.move(statistics.frames, f"{bar.speed:.0f} fps" if bar.speed else "")
