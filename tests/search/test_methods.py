"""Evolution and random search on a space that can be enumerated, with a score that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from vipnas_cli.distributed import Ranks
from vipnas_cli.errors import BudgetError
from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation, Prices
from vipnas_cli.search.methods import Evolution, Method, RandomSearch
from vipnas_cli.search.predictor import fit_predictor
from vipnas_cli.search.runner import Runner
from vipnas_cli.search.selection import front_of
from vipnas_cli.spec import Budget, CycleSpace, Plan, Schedule
from vipnas_cli.spec.budget import Unit, least_budget
from vipnas_cli.spec.cost import plan_cost

FREE = Budget(1e12, "macs")


def known_score(schedule: Schedule) -> Score:
    """Deeper, wider kernels, larger pictures and fusion are better, each by its own amount."""
    positions = []
    for plan in schedule.plans:
        stage = plan.arch.stages[2]
        value = stage.depth + stage.kernel / 4 + 1.5 * (plan.arch.height == 96) - 0.3 * stage.expansion
        positions.append(value + {"none": 0.0, "add": 0.4, "cat": 0.5}[plan.fusion.operation])
    return Score(sum(positions) / len(positions), tuple(positions))


def searched(method: Method, prices: Prices, evaluations: int, generation: int = 8) -> list[Evaluation]:
    """What a method finds with the known score."""
    return Runner(known_score, prices, Ranks()).run("x", method, evaluations, generation)


def methods(space: CycleSpace, prices: Prices) -> list[Method]:
    """Every method."""
    return [
        RandomSearch(space, prices, Random(0)),
        Evolution(space, prices, Random(0), population_size=8),
        Evolution(space, prices, Random(0), population_size=8, fit=fit_predictor),
    ]


@pytest.mark.parametrize("unit", ["macs", "ms"])
@pytest.mark.parametrize("method", range(3))
def test_the_budget_is_never_exceeded_and_nothing_is_scored_twice(
    small_cycles: CycleSpace, method: int, unit: str
) -> None:
    space, plan_ms = replace(small_cycles, lengths=(2, 3)), (lambda plan: plan.arch.height / 16)
    everything = Prices(Budget(1e12, unit), plan_ms)  # type: ignore[arg-type]
    costs = [everything.cost(space.sample(Random(seed))) for seed in range(50)]
    prices = Prices(Budget(sorted(costs)[5], unit), plan_ms)  # type: ignore[arg-type]
    rows = searched(methods(space, prices)[method], prices, 30)
    assert rows
    assert all(row.cost(unit) <= prices.budget.value for row in rows)
    assert len({row.schedule for row in rows}) == len(rows)
    assert all(map(space.contains, (row.schedule for row in rows)))


@pytest.mark.parametrize("method", range(3))
def test_the_same_seed_gives_the_same_search(small_cycles: CycleSpace, method: int) -> None:
    space = replace(small_cycles, lengths=(3,))
    runs = []
    for _ in range(2):
        prices = Prices(FREE)
        rows = searched(methods(space, prices)[method], prices, 24)
        runs.append([(row.order, row.schedule, row.macs, row.score) for row in rows])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("method", range(3))
def test_an_exhausted_space_ends_the_search(small_cycles: CycleSpace, method: int) -> None:
    prices = Prices(FREE)
    rows = searched(methods(small_cycles, prices)[method], prices, 1000)
    assert len(rows) == small_cycles.size


Place = tuple[float, float]


def true_front(space: CycleSpace, prices: Prices) -> set[Place]:
    """Cost and score of the best of all schedules of three frames."""
    key, followers = space.key_space.largest, list(space.follower_space.enumerate())
    plans = [Plan(arch, fusion) for arch in followers for fusion in space.fusions]
    every = [
        Evaluation(0, "all", schedule, prices.macs(schedule), None, known_score(schedule))
        for schedule in (Schedule((Plan(key), a, b)) for a in plans for b in plans)
    ]
    assert len(every) == space.size == 1024
    return places(every)


def places(evaluations: list[Evaluation]) -> set[Place]:
    """Cost and score of those that no other one dominates."""
    return {(row.macs, row.score.mean) for row in front_of(evaluations, "macs")}


def test_evolution_finds_the_true_front_without_scoring_everything(small_cycles: CycleSpace) -> None:
    space, prices = replace(small_cycles, lengths=(3,), fusions=small_cycles.fusions[::2]), Prices(FREE)
    true = true_front(space, prices)
    rows = searched(Evolution(space, prices, Random(0), population_size=24), prices, 420, generation=24)
    assert places(rows) == true
    drawn = searched(RandomSearch(space, prices, Random(0)), prices, 420, generation=24)
    assert places(drawn) != true


def test_forecasts_find_more_of_the_true_front_with_as_many_scores(small_cycles: CycleSpace) -> None:
    space, prices = replace(small_cycles, lengths=(3,), fusions=small_cycles.fusions[::2]), Prices(FREE)
    true = true_front(space, prices)
    found = []
    for fit in (None, fit_predictor):
        methods = [Evolution(space, prices, Random(seed), fit=fit) for seed in range(4)]
        found.append(sum(len(places(searched(method, prices, 96, generation=24)) & true) for method in methods))
    assert found[1] > found[0]


def test_random_search_draws_affordable_schedules_alike(small_cycles: CycleSpace) -> None:
    prices = Prices(FREE)
    every = sorted({prices.macs(small_cycles.sample(Random(seed))) for seed in range(400)})
    tight = Prices(Budget(every[len(every) // 2], "macs"))
    rows = searched(RandomSearch(small_cycles, tight, Random(0)), tight, 1000)
    affordable = sum(
        tight.affordable(Schedule((Plan(small_cycles.key_space.largest), Plan(arch, fusion))))
        for arch in small_cycles.follower_space.enumerate()
        for fusion in small_cycles.fusions
    )
    assert len(rows) == affordable


def test_an_infeasible_budget_names_the_cheapest(small_cycles: CycleSpace) -> None:
    space = replace(small_cycles, lengths=(2, 4))
    prices = Prices(Budget(1000, "macs"))
    with pytest.raises(BudgetError, match="no schedule") as caught:
        prices.cheapest(space)
    cheapest = Prices(FREE).macs(space.smallest(4))
    assert f"4 frames and costs {least_budget(cheapest, 'macs')}" in caught.value.hint
    with pytest.raises(BudgetError):
        searched(Evolution(space, prices, Random(0)), prices, 5)


@pytest.mark.parametrize("unit", ["macs", "ms"])
@pytest.mark.parametrize("amount", [0.0996975, 0.0426982, 0.3, 1 / 3, 1.81667])
def test_the_cost_that_is_named_is_a_budget_that_is_taken(small_cycles: CycleSpace, amount: float, unit: Unit) -> None:
    class Dear(Prices):
        """All schedules cost the same."""

        def cost(self, schedule: Schedule) -> float:
            return amount * (1e9 if unit == "macs" else 1)

    with pytest.raises(BudgetError) as caught:
        Dear(Budget(0.01, unit)).cheapest(small_cycles)
    named = Budget.parse(caught.value.hint.partition("costs ")[2])
    assert Dear(named).cheapest(small_cycles) in [small_cycles.smallest(length) for length in small_cycles.lengths]


def test_milliseconds_of_a_plan_are_asked_for_once(small_cycles: CycleSpace) -> None:
    asked: list[Plan] = []

    def plan_ms(plan: Plan) -> float:
        asked.append(plan)
        return 2.0

    prices = Prices(Budget(5, "ms"), plan_ms)
    schedule = small_cycles.sample(Random(0))
    assert prices.cost(schedule) == prices.ms(schedule) == 2.0
    assert len(asked) == len(set(asked)) == len(set(schedule.plans))


@pytest.mark.parametrize("method", range(3))
def test_the_first_of_a_generation_are_those_that_a_whole_one_begins_with(
    small_cycles: CycleSpace, method: int
) -> None:
    space, prices = replace(small_cycles, lengths=(2, 3)), Prices(Budget(6e5, "macs"))
    for rounds in (0, 1):
        asked = []
        for first in (8, 3):
            one = methods(space, prices)[method]
            searched(one, prices, 8 * rounds)
            asked.append(one.ask(8, first))
        assert len(asked[0]) == 8
        assert asked[0][:3] == asked[1]


def clock_of(asked: list[Plan]) -> Callable[[Plan], float]:
    """Milliseconds that follow multiply-accumulates within a quarter; `asked` gets the plans."""

    def plan_ms(plan: Plan) -> float:
        asked.append(plan)
        return plan_cost(plan).macs / 1e5 * (1 + Random(plan.key).random() / 4)

    return plan_ms


@pytest.mark.parametrize("method", range(3))
def test_a_few_candidates_measure_few_plans(small_cycles: CycleSpace, method: int) -> None:
    asked: list[Plan] = []
    prices = Prices(Budget(1e9, "ms"), clock_of(asked))
    rows = searched(methods(small_cycles, prices)[method], prices, 3, generation=24)
    # The key network is the same for all.
    assert len(rows) == 3
    assert len(asked) <= 1 + 3


@pytest.mark.parametrize("method", range(3))
def test_what_is_too_dear_by_its_multiply_accumulates_is_not_measured(small_cycles: CycleSpace, method: int) -> None:
    space = replace(small_cycles, lengths=(2, 3))
    counts = []
    for measured in (False, True):
        asked: list[Plan] = []
        free = Prices(Budget(1e9, "ms"), clock_of([]))
        limit = sorted(free.cost(space.sample(Random(seed))) for seed in range(50))[4]
        prices = Prices(Budget(limit, "ms"), clock_of(asked), measured=measured)
        prices.cheapest(space)
        rows = searched(methods(space, prices)[method], prices, 4, generation=24)
        assert len(rows) == 4
        assert all(row.cost("ms") <= limit for row in rows)
        counts.append(len(asked))
    assert counts[1] < 0.7 * counts[0]
