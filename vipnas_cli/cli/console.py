"""Where things are told: results on stdout, one document or tables; progress and messages on stderr."""

from __future__ import annotations

import io
import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vipnas_cli.files import shown
from vipnas_cli.locks import LineLog

if TYPE_CHECKING:
    from rich.progress import Progress

    from vipnas_cli.inference.pipeline import RunStatistics

# Wide enough for a long name where stdout is no terminal.
WIDTH = 140
# Nothing is cut in messages that go elsewhere.
PIPED_WIDTH = 1000
# Texts are printed as they are, whatever names of files hold: :fire:.csv is no picture of a fire.
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
# Seconds between two lines of progress where there is no bar, and between two for programs.
LINE_EVERY_S, JSON_EVERY_S = 5.0, 1.0


def print_json(document: Mapping[str, Any]) -> None:
    """One document on stdout."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


class Messages(Console):
    """Where progress and messages go: stderr, and with time stamps a log, which gets what is quiet or detail, too."""

    def __init__(self, *, verbose: bool = False, log: LineLog | None = None, **settings: Any) -> None:
        super().__init__(**PLAIN, **settings)
        self._verbose, self._log = verbose, log
        self._told: set[str] = set()

    def print(self, *objects: Any, **options: Any) -> None:
        """Tells something."""
        super().print(*objects, **options)
        self.note(*objects)

    def once(self, text: str, before: str = "") -> None:
        """Tells something, with `before` in front of each line, unless it was told before."""
        if text not in self._told:
            self._told.add(text)
            self.print("\n".join(f"{before}{line}" for line in text.splitlines()))

    def detail(self, text: str) -> None:
        """Tells something that few want to know."""
        if self._verbose:
            super().print(text, soft_wrap=True)
        self.note(text)

    def note(self, *objects: Any) -> None:
        """Writes something to the log only."""
        if self._log is None:
            return
        page = io.StringIO()
        Console(file=page, width=PIPED_WIDTH, no_color=True, **PLAIN).print(*objects)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for line in page.getvalue().splitlines():
            if line.strip():
                self._log.append(f"{now} {shown(line.rstrip())}")


def message_console(quiet: bool = False, verbose: bool = False, log: LineLog | None = None) -> Messages:
    """Where progress and messages go; only a terminal has lines that end at its edge."""
    console = Messages(verbose=verbose, log=log, stderr=True, quiet=quiet)
    if console.is_terminal:
        return console
    return Messages(verbose=verbose, log=log, width=PIPED_WIDTH, soft_wrap=True, stderr=True, quiet=quiet)


def result_console() -> Console:
    """Where results go: stdout, in one width wherever it leads."""
    console = Console(soft_wrap=True, **PLAIN)
    return console if console.is_terminal else Console(soft_wrap=True, width=WIDTH, **PLAIN)


class ProgressKind(StrEnum):
    """How progress is told; auto: a bar on a terminal, lines elsewhere."""

    auto = "auto"
    lines = "lines"
    json = "json"
    off = "off"


class Bar:
    """Progress that nobody sees."""

    shown = False
    # Steps per second, once they are known.
    speed: float | None = None

    def advance(self) -> None:
        """One step more; from any thread."""

    def move(self, done: int, facts: str = "") -> None:
        """So many steps are done; `facts` stand beside the bar."""


class TerminalBar(Bar):
    """A bar with the time left."""

    shown = True

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress, self._task = progress, progress.add_task(label, total=total, facts="")

    @property
    def speed(self) -> float | None:  # type: ignore[override]
        """Steps per second, once they are known."""
        return self._progress.tasks[0].speed

    def advance(self) -> None:
        """One step more; from any thread."""
        self._progress.advance(self._task)

    def move(self, done: int, facts: str = "") -> None:
        """So many steps are done."""
        self._progress.update(self._task, completed=done, facts=facts)


class LineBar(Bar):
    """A line every few seconds, for people or as JSON."""

    def __init__(self, console: Console, label: str, total: int | None, kind: ProgressKind) -> None:
        self._console, self._label, self._total = console, label, total
        self._json = kind == ProgressKind.json
        self._every_s = JSON_EVERY_S if self._json else LINE_EVERY_S
        self._began_s = self._told_s = time.monotonic()
        self._done = 0
        self._before: int | None = None
        self._lock = threading.Lock()

    @property
    def speed(self) -> float | None:  # type: ignore[override]
        """Steps per second, once there is one; what was done before the bar began does not count."""
        if self._before is None:
            return None
        return (self._done - self._before) / max(time.monotonic() - self._began_s, 1e-9)

    def advance(self) -> None:
        """One step more; from any thread."""
        with self._lock:
            self._move(self._done + 1, "")

    def move(self, done: int, facts: str = "") -> None:
        """So many steps are done; `facts` stand behind them."""
        with self._lock:
            self._move(done, facts)

    def _move(self, done: int, facts: str) -> None:
        if self._before is None:
            # A training that is resumed begins in the middle.
            self._before = max(done - 1, 0)
        self._done = done
        now = time.monotonic()
        if now - self._told_s >= self._every_s or (self._json and done == self._total):
            self._told_s = now
            self._console.print(self._as_json(facts) if self._json else self._line(facts), soft_wrap=True)

    @property
    def _left_s(self) -> float | None:
        return (self._total - self._done) / self.speed if self._total and self.speed else None

    def _line(self, facts: str) -> str:
        amount = f"{self._label} {self._done}" + (f" of {self._total}" if self._total else "")
        left = "" if self._left_s is None else f"{timedelta(seconds=round(self._left_s))} left"
        return ", ".join(part for part in (amount, facts, left) if part)

    def _as_json(self, facts: str) -> str:
        row = {"progress": self._label, "done": self._done, "total": self._total, "per_second": self.speed}
        return json.dumps({**row, "seconds_left": self._left_s, **({"facts": facts} if facts else {})})


@contextmanager
def progress_bar(
    console: Console,
    label: str,
    total: int | None,
    transient: bool = True,
    kind: ProgressKind = ProgressKind.auto,
) -> Iterator[Bar]:
    """How far something is: by default a bar on a terminal, gone at the end if transient, and lines elsewhere."""
    if console.quiet or kind == ProgressKind.off:
        yield Bar()
        return
    if kind != ProgressKind.auto or not console.is_terminal:
        yield LineBar(console, label, total, kind)
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
        yield TerminalBar(progress, label, total)


def plural(count: int, noun: str, ending: str = "s") -> str:
    """A number with its noun: 1 thread, 2 threads; with another ending 2 boxes."""
    return f"{count} {noun}{'' if count == 1 else ending}"


def per_network(threads: int) -> str:
    """The threads of a network: a large one's, as smaller ones have fewer."""
    return f"{'up to ' if threads > 1 else ''}{plural(threads, 'thread')} per network"


def command_line(*words: str | Path) -> str:
    """A command of vipnas as a shell takes it."""
    return shlex.join(("vipnas", *map(str, words)))


def naming(weights: Path | None) -> tuple[str | Path, ...]:
    """The words of a command by which it takes the same networks as the one that was called with these weights."""
    return () if weights is None else ("--weights", weights)


@contextmanager
def counted(console: Console, label: str, total: int) -> Iterator[Callable[[], None]]:
    """A function to call, from any thread, after each of `total` steps."""
    with progress_bar(console, label, total) as bar:
        yield bar.advance


@contextmanager
def frame_progress(
    console: Console, frames: int | None, label: str = "frames", kind: ProgressKind = ProgressKind.auto
) -> Iterator[Callable[[RunStatistics], None]]:
    """A function to call after each frame; it tells frames per second and the time left."""
    with progress_bar(console, label, frames, kind=kind) as bar:
        yield lambda statistics: bar.move(statistics.frames, f"{bar.speed:.0f} fps" if bar.speed else "")
