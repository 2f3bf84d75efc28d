"""Runs a method: asks for candidates, has the processes score them, logs them, tells the method."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vipnas_cli.distributed import Ranks
from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation, Prices
from vipnas_cli.search.methods import Method
from vipnas_cli.spec import Schedule

GENERATION = 24
OnEvaluation = Callable[[Evaluation], None]


def _nothing(_: Evaluation) -> None:
    """For processes that neither log nor report."""


@dataclass
class Runner:
    """Scores candidates, each only once whichever method asks for it.

    `score` must give the same for the same schedule. `log` gets each new evaluation in its order; `known` are those
    of an interrupted search, which are not scored again.
    """

    score: Callable[[Schedule], Score]
    prices: Prices
    ranks: Ranks
    log: OnEvaluation = _nothing
    on_evaluation: OnEvaluation = _nothing
    known: dict[Schedule, Evaluation] = field(default_factory=dict)

    def run(self, name: str, method: Method, evaluations: int, generation: int = GENERATION) -> list[Evaluation]:
        """What the method found with that many evaluations; fewer when its space is exhausted."""
        found: list[Evaluation] = []
        while len(found) < evaluations:
            # The last ones are those of a whole generation, so that a longer search begins as a shorter one did.
            asked = method.ask(generation, min(generation, evaluations - len(found)))
            if not asked:
                break
            rows = self.evaluate(name, asked)
            method.tell(rows)
            found += rows
        return found

    def evaluate(self, name: str, schedules: Sequence[Schedule]) -> list[Evaluation]:
        """The evaluations of schedules, in the order given; new ones are scored by all processes."""
        # Neighbours in cost are scored at the same time, so that no process waits long for the others.
        fresh = [schedule for schedule in dict.fromkeys(schedules) if schedule not in self.known]
        fresh.sort(key=self.prices.macs)
        for first in range(0, len(fresh), self.ranks.count):
            self._round(name, fresh[first : first + self.ranks.count])
        found = [self.known[schedule] for schedule in schedules]
        for evaluation in found:
            self.on_evaluation(evaluation)
        return found

    def _round(self, name: str, schedules: Sequence[Schedule]) -> None:
        """Scores at most one schedule per process."""
        started, own = time.perf_counter(), None
        if self.ranks.rank < len(schedules):
            own = self.score(schedules[self.ranks.rank])
        results = self.ranks.gathered((own, time.perf_counter() - started))
        for worker, (schedule, (score, seconds)) in enumerate(zip(schedules, results, strict=False)):
            assert score is not None
            evaluation = Evaluation(
                order=len(self.known),
                method=name,
                schedule=schedule,
                macs=self.prices.macs(schedule),
                ms=self.prices.ms(schedule),
                score=score,
                seconds=round(seconds, 3),
                worker=worker,
            )
            self.known[schedule] = evaluation
            self.log(evaluation)
