"""One search as a whole: what all its processes need, and the order in which methods run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal, TypedDict

from vipnas_cli.distributed import Ranks
from vipnas_cli.evaluation.clip_sets import ClipSets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.latency.table import LatencyTables
from vipnas_cli.locks import LineLog
from vipnas_cli.search.candidate import Evaluation, PlanMs, Prices
from vipnas_cli.search.log import LOGS
from vipnas_cli.search.methods import Evolution, Method, RandomSearch
from vipnas_cli.search.plan_times import measured_plan_ms, table_plan_ms
from vipnas_cli.search.predictor import upper_bound
from vipnas_cli.search.runner import OnEvaluation, Runner
from vipnas_cli.spec import Budget, CycleSpace, Plan, Schedule

MethodName = Literal["evolution", "random"]
OnMeasured = Callable[[Plan, float], None]
UNIFORM = "uniform"
# In a search of 240 candidates 0.5 found more than 0 and 1 did; forecasts alone never went back to a kernel size that
# had been unlucky early.
OPTIMISM = 0.5
PRESET = "preset"


@dataclass(frozen=True)
class SearchPlan:
    """How a search proceeds: its method and length, what it is compared with, and who tells milliseconds.

    `baselines` runs random search and evolution of uniform schedules, each with as many evaluations. `presets` are
    scored beside. `tables` tell the milliseconds of plans; `measure` asks this machine for them instead, with so many
    threads.
    """

    budget: Budget
    evaluations: int
    seed: int = 0
    method: MethodName = "evolution"
    predictor: bool = True
    baselines: bool = False
    presets: tuple[Schedule, ...] = ()
    tables: LatencyTables | None = None
    measure: int = 0

    def prices(self, networks: Networks) -> Prices:
        """What schedules cost, as tables tell it, or for a budget in ms as this process measures it."""
        measure = measured_plan_ms(networks, self.ms_threads)
        if self.tables:
            return Prices(self.budget, table_plan_ms(networks, self.tables, measure))
        return Prices(self.budget, measure if self.budget.unit == "ms" else None)

    def check(self, networks: Networks, space: CycleSpace) -> None:
        """BudgetError if the budget buys no schedule, InputError if the tables lack parts of the cheapest one."""
        prices = self.prices(networks)
        # A budget in multiply-accumulates asks for no milliseconds, but every candidate will be told with them.
        prices.ms(prices.cheapest(space))

    @property
    def measures_prices(self) -> bool:
        """Whether this machine's clock tells what counts, so that every schedule that is looked at takes time."""
        return self.measure > 0 and self.budget.unit == "ms"

    @property
    def ms_threads(self) -> int:
        """Threads of networks that are measured; 0 where nothing tells milliseconds."""
        return self.tables.threads if self.tables else self.measure


@dataclass(frozen=True)
class SearchTask:
    """A search with everything that it needs; `known` are the evaluations of an interrupted one."""

    plan: SearchPlan
    space: CycleSpace
    networks: Networks
    clips: ClipSets
    known: tuple[Evaluation, ...] = ()
    known_ms: dict[Plan, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What each method found, by name and in its order; the search itself is the first."""

    unit: str
    found: dict[str, list[Evaluation]]

    @property
    def searched(self) -> list[Evaluation]:
        """What the search itself found."""
        return next(iter(self.found.values()))


def run_task(
    task: SearchTask, ranks: Ranks, log: OnEvaluation, on_evaluation: OnEvaluation, on_measured: OnMeasured
) -> Outcome:
    """Runs all methods; every process calls this, only the first one with functions that log and tell."""
    plan = task.plan
    prices = Prices(plan.budget, _plan_ms(task, ranks, on_measured), measured=plan.measures_prices)
    prices.cheapest(task.space)
    runner = Runner(
        ClipScorer(task.networks, task.clips),
        prices,
        ranks,
        log if ranks.writes else _nothing,
        on_evaluation if ranks.writes else _nothing,
        {evaluation.schedule: evaluation for evaluation in task.known},
    )
    spaces: dict[str, CycleSpace] = {plan.method: task.space}
    if plan.baselines:
        spaces["random"] = task.space
        if max(task.space.lengths) > 2 and not task.space.uniform:
            spaces[UNIFORM] = replace(task.space, uniform=True)
    found = {
        name: runner.run(name, _method(name, plan, space, prices), plan.evaluations) for name, space in spaces.items()
    }
    if plan.presets:
        found[PRESET] = runner.evaluate(PRESET, plan.presets)
    return Outcome(plan.budget.unit, found)


def take_part(ranks: Ranks) -> None:
    """What the other processes of a search do: get the task from the first one and do their share."""
    run_task(ranks.from_first(_no_task), ranks, _nothing, _nothing, _not_logged)


def _method(name: str, plan: SearchPlan, space: CycleSpace, prices: Prices) -> Method:
    rng = Random(f"{plan.seed} {name}")
    if name == "random":
        return RandomSearch(space, prices, rng)
    # A forecast is cheap only where costs are not measured, one plan after the other.
    rounds = 1 if plan.measures_prices else Evolution.rounds
    return Evolution(space, prices, rng, fit=upper_bound(OPTIMISM) if plan.predictor else None, rounds=rounds)


def _plan_ms(task: SearchTask, ranks: Ranks, on_measured: OnMeasured) -> PlanMs | None:
    """What tells the milliseconds of a plan, the same in all processes."""
    threads, tables = task.plan.ms_threads, task.plan.tables
    if not threads:
        return None
    plan_ms = measured_plan_ms(task.networks, threads)

    def told(plan: Plan) -> float:
        found = plan_ms(plan)
        on_measured(plan, found)
        return found

    def measure(plan: Plan) -> float:
        # Looked up only when asked for: forecasts of costs must see what they saw before an interruption.
        if plan in task.known_ms:
            return task.known_ms[plan]
        # One process measures while the others wait for the number, so that nothing disturbs it on this machine.
        return ranks.from_first(lambda: told(plan))

    return table_plan_ms(task.networks, tables, measure) if tables else measure


def log_measured(ms_log: Path, plan: Plan, ms: float) -> None:
    """Adds what was measured to a file that `read_measured` reads."""
    with LineLog(ms_log) as log:
        log.append(json.dumps({"plan": plan.to_json(), "ms": ms}))


class _MeasuredRow(TypedDict):
    plan: dict[str, Any]
    ms: float


def read_measured(ms_log: Path) -> dict[Plan, float]:
    """The milliseconds that an interrupted search measured; a line that a crash cut off is left out."""
    if not ms_log.is_file():
        return {}
    rows = LOGS.read_lines(ms_log, _MeasuredRow)
    with LOGS.told(ms_log):
        return {Plan.from_json(row["plan"]): row["ms"] for row in rows}


def _no_task() -> SearchTask:
    raise RuntimeError("only the first process of a search makes the task")


def _nothing(_: Evaluation) -> None:
    """For processes that neither log nor report."""


def _not_logged(_plan: Plan, _ms: float) -> None:
    """See _nothing."""
