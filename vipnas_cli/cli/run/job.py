"""What `vipnas run` does: find the inputs and check the outputs, run one or several, report."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from vipnas_cli.cli.console import Messages
from vipnas_cli.cli.failures import faults_told, trace_of
from vipnas_cli.cli.run.batch import run_batch
from vipnas_cli.cli.run.notes import visible_faces
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import planned
from vipnas_cli.cli.run.single import run_input
from vipnas_cli.cli.run.sinks import check_run_outputs
from vipnas_cli.cli.run.summary import RunReport, print_report
from vipnas_cli.cli.run.telling import messages
from vipnas_cli.errors import ProgramError, UsageError, VipnasError
from vipnas_cli.files import resolved, shown


def run_job(options: RunOptions) -> int:
    """Runs all inputs through a pipeline; returns the exit code."""
    _check_log(options)
    with messages(options) as console:
        return _run_all(options, console)


def _check_log(options: RunOptions) -> None:
    """UsageError, before the log is begun, if it has the name of a result or of an input."""
    log, named = options.log_file, set[Path]()
    if log is None:
        return
    with suppress(VipnasError):  # which the run meets again, with a log
        for run in planned(options).runs:
            named |= {resolved(path) for path in (*run.files, run.video) if isinstance(path, Path)}
    if resolved(log) in named:
        raise UsageError(f"{shown(log)} is a result or an input, too", "name another file with --log-file")


def _run_all(options: RunOptions, console: Messages) -> int:
    _check_boxes(options)
    plan = planned(options)
    for run in plan.runs:
        check_run_outputs(run)
    for note in visible_faces(plan.runs[0]) if plan.runs else ():
        # --json has all notes in its document.
        (console.note if options.json else console.print)(note)
    if plan.several:
        return run_batch(plan, options, console)
    if not plan.runs:
        console.print("Nothing to do: the results are there.")
        return 0
    report = _run_one(plan.runs[0], options, console)
    _tell(options, report, console)
    return report.exit_code


def _run_one(run: RunOptions, options: RunOptions, console: Messages) -> RunReport:
    """Runs an input that was asked for alone; ProgramError for an exception that nobody expected."""
    try:
        with faults_told():
            return run_input(run, options, console)
    except ProgramError as error:
        console.detail(trace_of(error))
        raise


def _check_boxes(options: RunOptions) -> None:
    """Options of the detector make no sense without it."""
    own = {
        "--detector-size": options.detector_size,
        "--detect-every": options.detect_every_s,
        "--verify": options.verify or None,
    }
    for name, value in own.items():
        if options.boxes is not None and value is not None:
            raise UsageError(f"{name} has no use with --boxes, which replaces the detector", "leave one of them out")


def _tell(options: RunOptions, report: RunReport, console: Console) -> None:
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report, console)
