"""What `vipnas search` does: set up, search with all processes, write and tell the result."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.console import Bar, message_console, plural, progress_bar
from vipnas_cli.cli.search.options import SearchOptions
from vipnas_cli.cli.search.plots import draw_search
from vipnas_cli.cli.search.report import Compared, SearchResult, document_of, tell, write_specs
from vipnas_cli.distributed import torchrun_rank, worker_group
from vipnas_cli.errors import BudgetError, DataError, OutputError, UsageError
from vipnas_cli.evaluation.clip_sets import ClipSets, SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.files import make_folder, shown
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.probe import ProbeOptions, measured_ms
from vipnas_cli.latency.table import LatencyTables, measuring
from vipnas_cli.locks import LineLog, only_writer
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.comparison import Checked, PlanClock, checked_winners, latency_levels, levels_of
from vipnas_cli.search.log import Problem, SearchLog
from vipnas_cli.search.plan_times import measured_plan_ms
from vipnas_cli.search.predictor import cross_validated_correlation
from vipnas_cli.search.selection import front_of
from vipnas_cli.search.setup import (
    Files,
    digest_of,
    find_files,
    load_compared,
    load_networks,
    preset_schedules,
    space_of_networks,
)
from vipnas_cli.search.task import Outcome, SearchPlan, SearchTask, log_measured, read_measured, run_task, take_part
from vipnas_cli.spec import Budget, CycleSpace, Plan, SearchSpace
from vipnas_cli.spec.cost import plan_cost

LOG, MEASURED, SUMMARY, PICTURE = "candidates.jsonl", "measured.jsonl", "summary.json", "pareto.png"
CALIBRATION = 32


@dataclass(frozen=True)
class Prepared:
    """A search that can begin: its task, the checkpoints it uses, what identifies it, and its log.

    `compared` are networks to score beside it, by their names. `data` None: its clips are synthetic.
    """

    task: SearchTask
    files: Files
    problem: Problem
    log: SearchLog
    compared: tuple[tuple[str, PoseNet], ...]
    data: Path | None


def search_job(options: SearchOptions) -> None:
    """Searches, or goes on with a search; the log is complete at every moment, so Ctrl-C loses nothing."""
    if torchrun_rank() > 0:
        with worker_group(1, options.threads, take_part) as ranks:
            take_part(ranks)
        return
    started = time.perf_counter()
    console = message_console(options.quiet)
    _check(options)
    with ExitStack() as held:
        if options.resume:  # before the clips are made, which takes long
            held.enter_context(only_writer(options.folder))
        ready = _prepared(options, console)
        if not options.resume:  # not before: what cannot begin leaves no folder
            make_folder(options.folder)
            held.enter_context(only_writer(options.folder))
        _search(_begun(ready, options), options, console, started)


def _search(ready: Prepared, options: SearchOptions, console: Console, started: float) -> None:
    """Searches and writes the result; an interrupt says how to go on."""
    try:
        outcome = _run(ready, options, console)
    except KeyboardInterrupt:
        console.print(f"Nothing is lost: go on with the same command and --resume ({ready.log.path}).", soft_wrap=True)
        raise
    front = front_of(outcome.searched, outcome.unit)
    probe = ProbeOptions(options.threads)
    clock = PlanClock(measured_plan_ms(ready.task.networks, options.threads))
    result = SearchResult(
        options=options,
        budget=ready.task.plan.budget,
        outcome=outcome,
        front=front,
        winner_ms=clock.positions(front[-1]),
        at_equal_latency=latency_levels(outcome, front[-1], clock) if len(outcome.found) > 1 else (),
        compared=tuple(_compared(name, net, ready.task, probe) for name, net in ready.compared),
        checked=_checked(outcome, front[-1], ready.task, console),
        correlation=cross_validated_correlation(outcome.searched),
        files=ready.files,
        data=ready.data,
        seconds=time.perf_counter() - started,
    )
    write_specs(options.folder, result)
    if not draw_search(options.folder / PICTURE, result):
        console.print("No picture: it needs matplotlib (pip install 'vipnas[eval]').")
    tell(result, document_of(result, ready.problem, options.folder / SUMMARY), options, console)


def _prepared(options: SearchOptions, console: Console) -> Prepared:
    """Everything that can go wrong before anything is written."""
    files = find_files(options.mode, options.weights, options.key, options.space)
    networks = load_networks(files)
    space = replace(space_of_networks(networks, options.lengths).without(options.without), uniform=options.alike)
    _tell_space(space, console)
    plan = _search_plan(options, space, networks)
    compared = tuple((path.stem, load_compared(path, networks)) for path in options.compare)
    clips, data = _find_clips(options, console)
    problem = _problem(options, files, space, clips) | _clock(plan)
    log = SearchLog(options.folder / LOG)
    return Prepared(SearchTask(plan, space, networks, clips), files, problem, log, compared, data)


def _begun(ready: Prepared, options: SearchOptions) -> Prepared:
    """The search with what is known of an interrupted one, whose logs go on, or with logs that begin anew."""
    ms_log = options.folder / MEASURED
    if options.resume:
        known, known_ms = tuple(ready.log.resume(ready.problem)), read_measured(ms_log)
        return replace(ready, task=replace(ready.task, known=known, known_ms=known_ms))
    ready.log.start(ready.problem)
    # Times that an earlier search left there may be of another machine.
    LineLog(ms_log, anew=True).close()
    return ready


def _tell_space(space: CycleSpace, console: Console) -> None:
    """One line for the key networks and one for the followers, where they are searched."""
    for name, part in _searched(space).items():
        varied = ", ".join(part.elastic)
        console.print(f"{name}: family {part.family}, {part.size:.2g} of them; {varied} vary.", soft_wrap=True)


def _searched(space: CycleSpace) -> dict[str, SearchSpace]:
    """The spaces of networks that are searched, by what their networks are."""
    found: dict[str, SearchSpace] = {}
    if isinstance(space.key_space, SearchSpace) and space.key_space.size > 1:
        found["Key networks"] = space.key_space
    if max(space.lengths) > 1:
        found["Followers"] = space.follower_space
    return found


def _tell_measuring(space: CycleSpace, threads: int, console: Console) -> None:
    """A line that says what takes long, and how to be spared it."""
    families = dict.fromkeys(part.family for part in _searched(space).values())
    tables = [f"`{measuring(threads, family)} -o {family}.json`" for family in families]
    console.print(
        f"Without a latency table each network is measured, about a second each, also those that are too slow. For a "
        f"long search make {'one' if len(tables) == 1 else 'them'} first: {' and '.join(tables)}, then "
        f"{' '.join(f'--latency-table {family}.json' for family in families)}.",
        soft_wrap=True,
    )


def _find_clips(options: SearchOptions, console: Console) -> tuple[ClipSets, Path | None]:
    """The clips that score and recalibrate, and the folder they are from, None for synthetic ones."""
    data = options.data or configured_data()
    if data is None:
        console.print(
            "No data folder: candidates are scored on SYNTHETIC people, made now. Their ranking may differ from that "
            "on your videos; name labelled pictures with --data.",
            style="yellow",
            soft_wrap=True,
        )
    elif data.is_file():
        raise DataError(f"{shown(data)} is a file, not a data folder", "name the folder that holds annotations/")
    sizes = SetSizes(options.clips, CALIBRATION, max(options.lengths), options.check_clips)
    sets = clip_sets(data, sizes)
    console.print(f"Scores: PCK@0.1 on {sets.scored.about}.", soft_wrap=True)
    return sets, data


def _search_plan(options: SearchOptions, space: CycleSpace, networks: Networks) -> SearchPlan:
    """How the search proceeds; BudgetError, UsageError or InputError for options that cannot be met."""
    budget = Budget.parse(options.budget)
    if budget.unit == "fps":
        raise BudgetError(f"{budget} is a budget of a whole run", "search for networks in GFLOPs or ms")
    if options.latency_table and options.measure:
        raise UsageError("--latency-table and --measure both tell milliseconds", "leave one of them out")
    tables = None
    if options.latency_table:
        tables = LatencyTables.read(options.latency_table)
        tables.check_machine(options.threads)
    measure = options.threads if options.measure or (budget.unit == "ms" and tables is None) else 0
    plan = SearchPlan(
        budget=budget,
        evaluations=options.evaluations,
        seed=options.seed,
        method=options.method,  # type: ignore[arg-type]
        predictor=options.predictor,
        baselines=options.baselines,
        tables=tables,
        measure=measure,
    )
    # Told now rather than after the clips are made.
    plan.check(networks, space)
    return replace(plan, presets=preset_schedules(space, budget)) if options.baselines else plan


def _problem(options: SearchOptions, files: Files, space: CycleSpace, clips: ClipSets) -> Problem:
    """What makes two searches the same: the log of one cannot be resumed by another."""
    found: Problem = {
        "mode": options.mode,
        "frames": options.cycle,
        "budget": options.budget,
        "method": options.method,
        "predictor": options.predictor,
        "seed": options.seed,
        "weights": [digest_of(path) for path in files.paths],
        "clips": [clips.scored.digest, clips.calibration.digest],
        "latency": "+".join(map(digest_of, options.latency_table)) or f"measure {options.measure}",
        "space": [space.key_space.key, space.follower_space.key, len(space.fusions)],
    }
    return found | {"alike": True} if space.uniform else found


def _clock(plan: SearchPlan) -> Problem:
    """What else makes searches the same whose milliseconds are measured; tables tell where they hold themselves."""
    if not plan.measure:
        return {}
    here = this_machine()
    # Without its cores: how many a process may use says nothing about a network on a fixed number of threads.
    return {"threads": plan.measure, "machine": f"{here.cpu}, {here.system}, ONNX Runtime {here.runtime}"}


def _check(options: SearchOptions) -> None:
    """An error before any work for --frames without a cycle, nothing to resume, or something to overwrite."""
    log = options.folder / LOG
    if options.frames is not None and options.mode == "spatial":
        raise UsageError("--frames is the length of a cycle, which spatial has none of", "leave it out")
    if options.resume and not log.is_file():
        raise OutputError(f"{log} does not exist", "start without --resume, or name the folder with --out")
    if not options.resume and log.exists():
        raise OutputError(f"{log} exists already", "go on with --resume, or choose another folder with --out")


def _run(ready: Prepared, options: SearchOptions, console: Console) -> Outcome:
    workers = options.workers or this_machine().cores
    plan, space = ready.task.plan, ready.task.space
    methods = 1 + plan.baselines * (1 + (max(space.lengths) > 2 and not space.uniform))
    with (
        worker_group(workers, options.threads, take_part) as ranks,
        progress_bar(console, "candidates", methods * plan.evaluations + len(plan.presets)) as bar,
    ):
        if ranks.count > 1:
            console.print(f"{ranks.count} processes score candidates.")
        if plan.measures_prices:
            _tell_measuring(space, options.threads, console)
        progress = _Progress(bar, options.folder / MEASURED)
        task = ranks.from_first(lambda: ready.task)
        return run_task(task, ranks, ready.log.append, progress.scored, progress.measured)


def _compared(name: str, net: PoseNet, task: SearchTask, probe: ProbeOptions) -> Compared:
    """The score of a trained network on every frame of the clips that the search scores on."""
    plan = Plan(net.arch)
    score = ClipScorer(task.networks, task.clips).every_frame(net, max(task.space.lengths))
    return Compared(name, plan_cost(plan).macs, measured_ms(net, probe), score)


def _checked(outcome: Outcome, winner: Evaluation, task: SearchTask, console: Console) -> Checked | None:
    """The winners' scores on other clips than those that chose them, if any were asked for."""
    clips = task.clips.checks
    if clips is None:
        return None
    console.print(f"Checks of the winners: PCK@0.1 on {clips.about}.", soft_wrap=True)
    scorer = ClipScorer(task.networks, replace(task.clips, scored=clips))
    levels = levels_of(outcome, task.plan.budget.unit, task.plan.budget.value)
    return checked_winners(levels, winner, clips.about, scorer)


@dataclass
class _Progress:
    """How far the search is, told after each candidate and each network that is measured, which `ms_log` gets."""

    bar: Bar
    ms_log: Path
    candidates: int = 0
    networks: int = 0
    best: float = 0.0

    def scored(self, evaluation: Evaluation) -> None:
        """One candidate more: the best score so far, seconds per candidate and the time left."""
        self.candidates, self.best = self.candidates + 1, max(self.best, evaluation.score.mean)
        pace = f", {1 / self.bar.speed:.1f} s each" if self.bar.speed else ""
        self.bar.move(self.candidates, f"best {self.best:.2f}{pace}")

    def measured(self, plan: Plan, ms: float) -> None:
        """One network more."""
        log_measured(self.ms_log, plan, ms)
        self.networks += 1
        self.bar.move(self.candidates, f"{plural(self.networks, 'network')} measured")
