"""Ways to choose the next candidates: constrained multi-objective evolution, and random search as its baseline.

Both only ever give schedules within the budget that they have not given before; a redrawn candidate costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Protocol

import numpy as np

from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation, Prices
from vipnas_cli.search.selection import ranking
from vipnas_cli.spec import CycleSpace, Schedule

# So many draws without anything new mean that the space has nothing more to give.
PATIENCE = 300
REPAIRS = 40
# Learns from evaluations to tell the score of any schedule.
Fit = Callable[[Sequence[Evaluation]], Callable[[Schedule], float]]


class Method(Protocol):
    """Anything that asks for candidates to be scored and is told the scores."""

    def ask(self, count: int, first: int) -> list[Schedule]:
        """The `first` of `count` affordable schedules never asked for before; fewer when the space is exhausted.

        The others are not looked for as far as the first ones do not depend on them, because measured costs take long.
        """
        ...

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Takes in the scores of what was asked last."""
        ...


@dataclass
class RandomSearch:
    """Independent draws from the space, those over the budget made cheaper."""

    space: CycleSpace
    prices: Prices
    rng: Random
    seen: set[Schedule] = field(default_factory=set)

    def ask(self, count: int, first: int) -> list[Schedule]:
        """See Method."""
        return draw_distinct(first, self.seen, lambda: within_budget(self.space, self.prices, None, self.rng))

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Method; random search learns nothing."""


@dataclass
class Evolution:
    """NSGA-II over schedules: parents by tournament, children by crossing and mutation, the best of both survive.

    With a `fit` each generation is bred in `rounds` of `oversampling` times as many children that are not scored, only
    forecast, and the best of them all, at costs spread evenly, are asked for: forecasts cost next to
    nothing, scores are what a search pays.
    """

    space: CycleSpace
    prices: Prices
    rng: Random
    population_size: int = 24
    mutation: float = 0.03
    crossing: float = 0.6
    fit: Fit | None = None
    rounds: int = 12
    oversampling: int = 4
    population: list[Evaluation] = field(default_factory=list)
    told: list[Evaluation] = field(default_factory=list)
    seen: set[Schedule] = field(default_factory=set)

    def ask(self, count: int, first: int) -> list[Schedule]:
        """See Method."""
        found: list[Schedule] = []
        if not self.population:
            found = self._largest(min(count // 4, first))
        elif self.fit is not None:
            found = self._predicted_children(count, self.fit(self.told))[:first]
        self.seen.update(found)
        return found + self._new(first - len(found), self.seen, self.population)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """See Method."""
        self.told += evaluations
        self.population = self._best([*self.population, *evaluations], self.population_size)

    def _predicted_children(self, count: int, forecast: Callable[[Schedule], float]) -> list[Schedule]:
        """The best new schedules by their forecasts after some generations that only forecasts judged."""
        seen, parents = set(self.seen), list(self.population)
        for _ in range(self.rounds):
            children = self._new(count * self.oversampling, seen, parents)
            guesses = [self._predicted(child, Score(forecast(child), ())) for child in children]
            parents = self._best([*parents, *guesses], self.population_size + 2 * count)
        return self._spread([parent for parent in parents if parent.schedule not in self.seen], count)

    def _spread(self, guesses: Sequence[Evaluation], count: int) -> list[Schedule]:
        """For costs spread evenly over those of the guesses the best one that costs no more, none twice."""
        unit, left, found = self.prices.budget.unit, list(guesses), list[Schedule]()
        costs = [guess.cost(unit) for guess in guesses] or [0.0]
        for limit in np.linspace(max(costs), min(costs), count):
            affordable = [guess for guess in left if guess.cost(unit) <= limit]
            if affordable:
                best = max(affordable, key=lambda guess: guess.score.mean)
                left.remove(best)
                found.append(best.schedule)
        return found

    def _predicted(self, schedule: Schedule, score: Score) -> Evaluation:
        """An evaluation that only has the cost that counts: milliseconds may have to be measured."""
        ms = self.prices.ms(schedule) if self.prices.budget.unit == "ms" else None
        return Evaluation(0, "", schedule, self.prices.macs(schedule), ms, score)

    def _best(self, evaluations: Sequence[Evaluation], count: int) -> list[Evaluation]:
        """That many evaluations, best first, so that a tournament compares places."""
        unit = self.prices.budget.unit
        costs = np.array([evaluation.cost(unit) for evaluation in evaluations])
        scores = np.array([evaluation.score.mean for evaluation in evaluations])
        return [evaluations[row] for row in ranking(costs, scores)[:count]]

    def _new(self, count: int, seen: set[Schedule], parents: Sequence[Evaluation]) -> list[Schedule]:
        """Children, as far as they are new, else random schedules."""
        found = draw_distinct(count, seen, lambda: self._child(parents), PATIENCE // 4) if parents else []
        return found + draw_distinct(
            count - len(found), seen, lambda: within_budget(self.space, self.prices, None, self.rng)
        )

    def _largest(self, most: int) -> list[Schedule]:
        """The largest networks that are affordable, up to `most`: they are a quarter of the first generation.

        Large networks are those that shared weights serve best, and random ones are seldom near a high budget.
        """
        return list(islice(filter(self.prices.affordable, self.space.corners), most))

    def _child(self, parents: Sequence[Evaluation]) -> Schedule:
        child = self._parent(parents)
        if self.rng.random() < self.crossing:
            child = self.space.cross(child, self._parent(parents), self.rng)
        child = self.space.mutate(child, self.rng, self.mutation)
        return within_budget(self.space, self.prices, child, self.rng)

    def _parent(self, parents: Sequence[Evaluation]) -> Schedule:
        """The better of two random parents."""
        size = len(parents)
        return parents[min(self.rng.randrange(size), self.rng.randrange(size))].schedule


def draw_distinct(
    count: int, seen: set[Schedule], draw: Callable[[], Schedule], patience: int = PATIENCE
) -> list[Schedule]:
    """Up to `count` draws that were not `seen` before, which they then are; fewer after many draws in vain."""
    found: list[Schedule] = []
    vain = 0
    while len(found) < count and vain < patience:
        candidate = draw()
        if candidate in seen:
            vain += 1
            continue
        seen.add(candidate)
        found.append(candidate)
        vain = 0
    return found


def within_budget(space: CycleSpace, prices: Prices, schedule: Schedule | None, rng: Random) -> Schedule:
    """The schedule, or a random one, with choices drawn anew until it is affordable.

    Random schedules are drawn again first, so that affordable ones stay equally likely. Of changes those that make it
    cheaper are kept; when they do not suffice, choices of the cheapest schedule come in.
    """
    found = schedule or space.sample(rng)
    for _ in range(REPAIRS if schedule is None else 0):
        if prices.affordable(found):
            return found
        found = space.sample(rng)
    for _ in range(REPAIRS):
        if prices.affordable(found):
            return found
        draft = space.mutate(found, rng, 0.1)
        if prices.forecast(draft) < prices.forecast(found):
            found = draft
    cheapest = prices.cheapest(space)
    while not prices.affordable(found):
        draft = space.cross(found, cheapest, rng)
        found = draft if draft != found and prices.forecast(draft) <= prices.forecast(found) else cheapest
    return found
