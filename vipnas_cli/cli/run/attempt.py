"""One input of several: how it ended, whatever happened to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vipnas_cli.cli.console import Messages, plural
from vipnas_cli.cli.failures import document_of, faults_told, sentences, trace_of
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.single import run_input
from vipnas_cli.cli.run.summary import INTERRUPTED, RunReport
from vipnas_cli.errors import UsageError, VipnasError, WeightsError
from vipnas_cli.files import shown
from vipnas_cli.inference.pipeline import RunStatistics


@dataclass(frozen=True)
class Done:
    """How one input ended: what --json prints of it, what lines and the table say, and the `trace` of a fault."""

    name: str
    exit_code: int
    document: dict[str, Any] = field(repr=False)
    frames: int = 0
    people: int = 0
    fps: float = 0.0
    trouble: str = ""
    notes: tuple[str, ...] = ()
    trace: str = field(default="", repr=False)

    def __str__(self) -> str:
        if self.trouble and not self.frames:
            return f"{self.name}: {self.trouble}"
        ending = f"; {self.trouble}" if self.trouble else ""
        people = "1 person" if self.people == 1 else f"{self.people} people"
        return f"{self.name}: {plural(self.frames, 'frame')}, {people}, {self.fps:.1f} fps{ending}"


def attempt(
    run: RunOptions,
    options: RunOptions,
    console: Messages,
    label: str = "frames",
    heard: Callable[[RunStatistics], None] = lambda _statistics: None,
) -> Done:
    """Runs one input and tells how it ended; errors that hold for all inputs are raised. For `heard` see run_input."""
    name = shown(str(run.video))
    try:
        with faults_told():
            return _done(name, run_input(run, options, console, label, heard))
    except KeyboardInterrupt:
        return interrupted(name)
    except (UsageError, WeightsError):
        raise
    except VipnasError as error:
        return failed(name, error)


def _done(name: str, report: RunReport) -> Done:
    found = report.statistics
    trouble = "interrupted" if found.interrupted else ""
    if report.damaged and not trouble:
        trouble = f"{plural(report.damaged, 'frame')} damaged"
    if report.sentences.leaves_faces:
        trouble = "; ".join(filter(None, (trouble, "faces of people left out are not blurred")))
    figures = found.frames, len(found.people), report.fps
    return Done(name, report.exit_code, report.to_json(), *figures, trouble, report.remarks)


def failed(name: str, error: VipnasError) -> Done:
    """An input of which nothing came."""
    document = {"input": name, **document_of(error)}
    return Done(name, error.exit_code, document, trouble=sentences(error), trace=trace_of(error))


def interrupted(name: str) -> Done:
    """An input that was not begun, or of which nothing is left."""
    return Done(name, INTERRUPTED, {"input": name, "interrupted": True}, trouble="interrupted")
