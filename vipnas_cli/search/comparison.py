"""Methods of a search compared at equal cost: multiply-accumulates, and milliseconds where candidates have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.task import Outcome
from vipnas_cli.spec import Plan, Schedule
from vipnas_cli.spec.budget import best_within

# Shares of the budget at which methods are compared.
LEVELS = (0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Entry:
    """The best candidate of a method within a cost; `measured_ms` is its mean over the cycle, where it was measured."""

    evaluation: Evaluation
    measured_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Score and milliseconds, for the summary."""
        return {"score": self.evaluation.score.mean, "ms": self.evaluation.ms, "measured_ms": self.measured_ms}


@dataclass(frozen=True)
class Level:
    """What each method reached within a cost; None where it found nothing as cheap."""

    cost: float
    entries: dict[str, Entry | None]


@dataclass(frozen=True)
class Checked:
    """Scores of winners on clips that chose nobody, by schedule; `about` tells which clips."""

    about: str
    scores: Mapping[Schedule, Score]

    def score(self, entry: Entry | None) -> float | None:
        """The mean score of a candidate there; None where there is no candidate."""
        return None if entry is None else self.scores[entry.evaluation.schedule].mean


def checked_winners(
    levels: Iterable[Level], winner: Evaluation, about: str, score: Callable[[Schedule], Score]
) -> Checked:
    """The winner, and the best of each method at each level, scored by `score`, each once."""
    entries = [entry for level in levels for entry in level.entries.values() if entry]
    schedules = dict.fromkeys([winner.schedule, *(entry.evaluation.schedule for entry in entries)])
    return Checked(about, {schedule: score(schedule) for schedule in schedules})


@dataclass
class PlanClock:
    """Measures the milliseconds of plans on this machine, each plan once."""

    measure: Callable[[Plan], float]
    known: dict[Plan, float] = field(default_factory=dict)

    def mean_ms(self, evaluation: Evaluation) -> float:
        """Measured milliseconds per person and frame, the mean over the cycle."""
        return sum(self.positions(evaluation)) / len(evaluation.schedule)

    def positions(self, evaluation: Evaluation) -> tuple[float, ...]:
        """Measured milliseconds at each position of the cycle."""
        plans = evaluation.schedule.plans
        for plan in plans:
            if plan not in self.known:
                self.known[plan] = self.measure(plan)
        return tuple(self.known[plan] for plan in plans)


def levels_of(outcome: Outcome, unit: str, top: float) -> tuple[Level, ...]:
    """The best of each method within shares of a cost."""
    return tuple(_level(outcome.found, unit, share * top) for share in LEVELS)


def latency_levels(outcome: Outcome, winner: Evaluation, clock: PlanClock) -> tuple[Level, ...]:
    """The best of each method within shares of the winner's milliseconds, which are then measured; () without any."""
    if winner.ms is None:
        return ()
    return tuple(_measured(level, clock) for level in levels_of(outcome, "ms", winner.ms))


def _level(found: Mapping[str, Iterable[Evaluation]], unit: str, cost: float) -> Level:
    best = {
        name: best_within(rows, cost, lambda e: e.cost(unit), lambda e: e.score.mean) for name, rows in found.items()
    }
    return Level(cost, {name: None if row is None else Entry(row) for name, row in best.items()})


def _measured(level: Level, clock: PlanClock) -> Level:
    entries = {
        name: None if entry is None else Entry(entry.evaluation, clock.mean_ms(entry.evaluation))
        for name, entry in level.entries.items()
    }
    return Level(level.cost, entries)
