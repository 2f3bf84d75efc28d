"""Several inputs: one after another or some at a time; what fails does not stop the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import replace
from functools import partial

from rich.console import Console
from rich.table import Table

from vipnas_cli.cli.console import Messages, ProgressKind, plural, print_json, progress_bar
from vipnas_cli.cli.run.attempt import Done, attempt
from vipnas_cli.cli.run.notes import visible_faces
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import Plan
from vipnas_cli.cli.run.sinks import idle_options
from vipnas_cli.cli.run.summary import DAMAGED, INTERRUPTED
from vipnas_cli.cli.run.worker import Crew, Said
from vipnas_cli.files import shown
from vipnas_cli.inference.threads import usable_cores

SCHEMA = 1


def run_batch(plan: Plan, options: RunOptions, console: Messages) -> int:
    """Runs the inputs of a plan, tells how each ended, and returns the exit code of all."""
    started = time.perf_counter()
    # All inputs have the same options; `visible_faces` are told already.
    for note in idle_options(plan.runs[0]) if plan.runs else ():
        (console.note if options.json else console.print)(note)
    ended = _some_at_a_time(plan, options, console) if options.jobs > 1 else _one_by_one(plan, options, console)
    done = list(ended)
    code = exit_code([one.exit_code for one in done])
    if options.json:
        runs = [one.document for one in done]
        print_json({"schema": SCHEMA, "runs": runs, "skipped": plan.skipped, "exit_code": code})
    if options.progress != ProgressKind.json or not options.json:
        _print_table(console, plan, done, time.perf_counter() - started)
    return code


def exit_code(codes: list[int]) -> int:
    """130 after an interrupt, else that of the first input that failed, else 5 if any has damaged frames, else 0."""
    if INTERRUPTED in codes:
        return INTERRUPTED
    failed = [code for code in codes if code not in (0, DAMAGED)]
    return failed[0] if failed else max(codes, default=0)


def _one_by_one(plan: Plan, options: RunOptions, console: Messages) -> Iterator[Done]:
    """The inputs in this process; an interrupt ends with the one that runs."""
    count = len(plan.runs)
    for number, run in enumerate(plan.runs, 1):
        done = attempt(run, options, console, f"{number}/{count} {shown(run.video.name)}")
        _tell(console, options, (number, count), done, run)
        yield done
        if done.exit_code == INTERRUPTED:
            return


def _some_at_a_time(plan: Plan, options: RunOptions, console: Messages) -> list[Done]:
    """The inputs in processes of their own, in the order of the plan; an interrupt ends those that run."""
    threads = options.threads or max(1, usable_cores() // options.jobs)
    runs, ended, said = [replace(run, threads=threads) for run in plan.runs], 0, partial(_pass_on, console)
    with (
        progress_bar(console, "inputs", len(runs), kind=options.progress) as bar,
        Crew(
            options, min(options.jobs, len(runs)), lambda frames: bar.move(ended, plural(frames, "frame")), said
        ) as crew,
    ):
        futures = {crew.begin(run): run for run in runs}
        with suppress(KeyboardInterrupt), crew.interrupted_by_errors():
            for ended, future in enumerate(as_completed(futures), 1):
                _tell(console, options, (ended, len(runs)), future.result(), futures[future])
                bar.move(ended)
    return [future.result() for future in futures if not future.cancelled()]


def _pass_on(console: Messages, name: str, message: Said) -> None:
    """Tells what a worker says of an input, with its name, as those of others come in between."""
    if not message.detail:
        console.once(message.text, f"{name}: ")
        return
    for line in message.text.splitlines():
        console.detail(f"{name}: {line}")


def _tell(console: Messages, options: RunOptions, place: tuple[int, int], done: Done, run: RunOptions) -> None:
    """How an input ended, the first of so many, and the notes on it: lines, or a JSON line among those of the progress.

    --json has the notes in its document.
    """
    number, count = place
    known = {*visible_faces(run), *idle_options(run)}
    notes = [note for note in done.notes if note not in known]
    if options.progress == ProgressKind.json:
        row = {"progress": "ended", "done": number, "total": count, "facts": str(done), "exit_code": done.exit_code}
        console.print(json.dumps({**row, **({"notes": notes} if notes else {})}), soft_wrap=True)
    else:
        console.print(f"{number}/{count} {done}", soft_wrap=True)
        for note in notes:
            (console.note if options.json else console.print)(f"{done.name}: {note}")
    if done.trace:
        console.detail(done.trace)


def _print_table(console: Console, plan: Plan, done: list[Done], seconds: float) -> None:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("input", overflow="fold")
    for heading in ("frames", "people", "fps"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for one in done:
        figures = (str(one.frames), str(one.people), f"{one.fps:.1f}") if one.frames else ("", "", "")
        table.add_row(one.name.rpartition("/")[2], *figures, one.trouble or "done")
    if done:
        console.print(table)
    bad = sum(one.exit_code not in (0, DAMAGED) for one in done)
    left = len(plan.runs) - len(done)
    with_results = {one.name for one in done if one.frames or one.exit_code in (0, DAMAGED)}
    runs = [run for run in plan.runs if shown(str(run.video)) in with_results]
    folders = sorted({shown(path.parent) for run in runs for path in run.outputs})
    where = f", results in {', '.join(folders[:3])}" if folders else ""
    parts = [f"{plural(len(done) - bad, 'input')} done in {seconds:.1f} s{where}"]
    parts += [f"{bad} failed or interrupted"] if bad else []
    parts += [f"{left} not begun"] if left else []
    parts += [f"{plan.skipped} left out, as their results are there"] if plan.skipped else []
    console.print("; ".join(parts) + ".", soft_wrap=True)
