"""What `vipnas search` does: set up, search with all processes, write and tell the result."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from vipnas_cli.cli.console import progress_bar
from vipnas_cli.cli.search.command import SearchOptions
from vipnas_cli.cli.search.plots import draw_search
from vipnas_cli.cli.search.report import Compared, SearchResult, document_of, tell, write_specs
from vipnas_cli.cli.search.setup import (
    Files,
    find_clips,
    find_files,
    load_networks,
    problem_of,
    search_plan,
    space_of_networks,
)
from vipnas_cli.errors import OutputError
from vipnas_cli.evaluation.cycles import ClipScorer
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.probe import ProbeOptions, measured_ms
from vipnas_cli.nets.checkpoints import load_pose_net
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.comparison import Checked, PlanClock, checked_winners, latency_levels, levels_of
from vipnas_cli.search.log import Problem, SearchLog
from vipnas_cli.search.predictor import held_out_correlation
from vipnas_cli.search.selection import front_of
from vipnas_cli.search.task import Outcome, SearchTask, read_measured, run_task, take_part
from vipnas_cli.search.team import team_of, torchrun_rank
from vipnas_cli.spec import Plan
from vipnas_cli.spec.cost import plan_cost

# Without a terminal a line tells of so many candidates.
LINE_EVERY = 24
LOG, MEASURED, SUMMARY, PICTURE = "candidates.jsonl", "measured.jsonl", "summary.json", "pareto.png"


@dataclass(frozen=True)
class Prepared:
    """A search that can begin: its task, the checkpoints it uses, what identifies it, and its log."""

    task: SearchTask
    files: Files
    problem: Problem
    log: SearchLog
    synthetic: bool


def search_job(options: SearchOptions) -> None:
    """Searches, or goes on with a search; the log is complete at every moment, so Ctrl-C loses nothing."""
    if torchrun_rank() > 0:
        with team_of(1, options.threads, take_part) as team:
            take_part(team)
        return
    started = time.perf_counter()
    console = Console(stderr=True, quiet=options.quiet)
    signal.signal(signal.SIGTERM, _interrupt)
    ready = _prepared(options, console)
    try:
        outcome = _run(ready, options, console)
    except KeyboardInterrupt:
        console.print(f"Nothing is lost: go on with the same command and --resume ({ready.log.path}).", soft_wrap=True)
        raise
    front = front_of(outcome.searched, outcome.unit)
    probe = ProbeOptions(options.threads)
    clock = PlanClock(lambda plan: measured_ms(plan, probe))
    result = SearchResult(
        options=options,
        budget=ready.task.plan.budget,
        outcome=outcome,
        front=front,
        winner_ms=clock.positions(front[-1]),
        at_equal_latency=latency_levels(outcome, front[-1], clock) if len(outcome.found) > 1 else (),
        compared=tuple(_compared(path, ready.task, probe) for path in options.compare),
        checked=_checked(outcome, front[-1], ready.task, console),
        correlation=held_out_correlation(outcome.searched),
        files=ready.files,
        synthetic=ready.synthetic,
        seconds=time.perf_counter() - started,
    )
    write_specs(options.folder, result)
    if not draw_search(options.folder / PICTURE, result):
        console.print("No picture: it needs matplotlib (pip install 'vipnas[eval]').", highlight=False, markup=False)
    tell(result, document_of(result, ready.problem, options.folder / SUMMARY), options, console)


def _prepared(options: SearchOptions, console: Console) -> Prepared:
    """Everything that can go wrong before the first score."""
    log = SearchLog(options.folder / LOG)
    _check(options, log)
    files = find_files(options)
    networks = load_networks(files)
    space = replace(space_of_networks(networks, options.lengths), uniform=options.alike)
    plan = search_plan(options, space)
    clips, synthetic = find_clips(options, console)
    problem = problem_of(options, files, space, clips)
    known: list[Evaluation] = []
    if options.resume:
        known = log.resume(problem)
    else:
        log.start(problem)
    known_ms = read_measured(options.folder / MEASURED)
    return Prepared(SearchTask(plan, space, networks, clips, tuple(known), known_ms), files, problem, log, synthetic)


def _check(options: SearchOptions, log: SearchLog) -> None:
    """An error before any work if there is nothing to resume, or something would be overwritten."""
    if options.resume and not log.path.is_file():
        raise OutputError(f"{log.path} does not exist", "start without --resume, or name the folder with --out")
    if not options.resume and log.path.exists():
        raise OutputError(f"{log.path} exists already", "go on with --resume, or choose another folder with --out")


def _run(ready: Prepared, options: SearchOptions, console: Console) -> Outcome:
    workers = options.workers or this_machine().cores
    plan, space = ready.task.plan, ready.task.space
    methods = 1 + plan.baselines * (1 + (max(space.lengths) > 2 and not space.uniform))
    with (
        team_of(workers, options.threads, take_part) as team,
        _progress(console, methods * plan.evaluations + len(plan.presets)) as on_evaluation,
    ):
        if team.size > 1:
            console.print(f"{team.size} processes score candidates.", highlight=False)
        task = team.from_first(lambda: ready.task)
        return run_task(task, team, ready.log.append, on_evaluation, options.folder / MEASURED)


def _compared(path: Path, task: SearchTask, probe: ProbeOptions) -> Compared:
    """The score of a trained network on every frame of the clips that the search scores on."""
    net = load_pose_net(path).eval()
    plan = Plan(net.arch)
    score = ClipScorer(task.networks, task.clips).every_frame(net, max(task.space.lengths))
    return Compared(path.stem, plan_cost(plan).macs, measured_ms(net, probe), score)


def _checked(outcome: Outcome, winner: Evaluation, task: SearchTask, console: Console) -> Checked | None:
    """The winners' scores on other clips than those that chose them, if any were asked for."""
    clips = task.clips.checks
    if clips is None:
        return None
    console.print(f"Checks of the winners: PCK@0.1 on {clips.about}.", highlight=False, soft_wrap=True)
    scorer = ClipScorer(task.networks, replace(task.clips, scored=clips))
    levels = levels_of(outcome, task.plan.budget.unit, task.plan.budget.value)
    return checked_winners(levels, winner, clips.about, scorer)


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[Evaluation], None]]:
    """A function to call after each candidate: a bar with the best score so far on a terminal, lines elsewhere."""
    best, count = 0.0, 0
    with progress_bar(console, "candidates", total) as bar:

        def on_evaluation(evaluation: Evaluation) -> None:
            nonlocal best, count
            best, count = max(best, evaluation.score.mean), count + 1
            bar.move(count, f"best {best:.2f}")
            if not bar.shown and count % LINE_EVERY == 0:
                console.print(f"{count} of {total} candidates, best score {best:.2f}", highlight=False)

        yield on_evaluation


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
