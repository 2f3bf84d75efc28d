"""One input of several: how it ended, whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vipnas_cli.cli.console import Messages, plural
from vipnas_cli.cli.failures import document_of, of_system, sentences
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.single import run_input
from vipnas_cli.cli.run.summary import DAMAGED, INTERRUPTED, RunReport
from vipnas_cli.errors import UsageError, VipnasError, WeightsError
from vipnas_cli.files import shown
from vipnas_cli.folders import remove
from vipnas_cli.inference.pipeline import RunStatistics


@dataclass(frozen=True)
class Done:
    """How one input ended: what --json prints of it, and what a line and the table say."""

    name: str
    exit_code: int
    document: dict[str, Any] = field(repr=False)
    frames: int = 0
    people: int = 0
    fps: float = 0.0
    trouble: str = ""

    def __str__(self) -> str:
        if self.trouble and not self.frames:
            return f"{self.name}: {self.trouble}"
        ending = f"; {self.trouble}" if self.trouble else ""
        return f"{self.name}: {plural(self.frames, 'frame')}, {self.people} people, {self.fps:.1f} fps{ending}"


def attempt(
    run: RunOptions,
    options: RunOptions,
    console: Messages,
    label: str = "frames",
    heard: Callable[[RunStatistics], None] = lambda _statistics: None,
) -> Done:
    """Runs one input and tells how it ended; errors that hold for all inputs are raised. For `heard` see run_input.

    With --skip-existing results that are not whole go away: they would be taken for whole the next time.
    """
    before = {path: _identity(path) for path in run.files}
    done = _attempt(run, lambda: run_input(run, options, console, label, heard))
    if options.skip_existing and done.exit_code not in (0, DAMAGED):
        for path in run.files:
            if _identity(path) != before[path]:
                remove(path)
    return done


def _attempt(run: RunOptions, begin: Callable[[], RunReport]) -> Done:
    name = shown(str(run.video))
    try:
        return _done(name, begin())
    except KeyboardInterrupt:
        return interrupted(name)
    except (UsageError, WeightsError):
        raise
    except VipnasError as error:
        return failed(name, error)
    except OSError as error:
        return failed(name, of_system(error))


def _done(name: str, report: RunReport) -> Done:
    found = report.statistics
    trouble = "interrupted" if found.interrupted else ""
    if report.damaged and not trouble:
        trouble = f"{plural(report.damaged, 'frame')} damaged"
    return Done(name, report.exit_code, report.to_json(), found.frames, len(found.people), report.fps, trouble)


def failed(name: str, error: VipnasError) -> Done:
    """An input of which nothing came."""
    return Done(name, error.exit_code, {"input": name, **document_of(error)}, trouble=sentences(error))


def interrupted(name: str) -> Done:
    """An input that was not begun, or of which not one frame was done."""
    return Done(name, INTERRUPTED, {"input": name, "interrupted": True}, trouble="interrupted")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
