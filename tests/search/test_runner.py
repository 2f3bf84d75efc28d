"""The log replayed: an interrupted search ends where an uninterrupted one does, whoever scores."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest

from vipnas_cli.distributed import Ranks, torchrun_rank, worker_group
from vipnas_cli.errors import VipnasError
from vipnas_cli.evaluation.cycles import ClipScorer, Score
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.measure import space_layers
from vipnas_cli.latency.table import LatencyTable, LatencyTables, layer_key
from vipnas_cli.search.candidate import Evaluation, Prices
from vipnas_cli.search.methods import Evolution
from vipnas_cli.search.predictor import fit_predictor
from vipnas_cli.search.runner import Runner
from vipnas_cli.search.task import Outcome, SearchTask, log_measured, read_measured, run_task, take_part
from vipnas_cli.spec import Budget, CycleSpace, Plan, Schedule
from vipnas_cli.spec.cost import plan_cost


class StopError(Exception):
    """An interruption."""


def score_by_size(schedule: Schedule) -> Score:
    """A score that only depends on the schedule."""
    positions = tuple(plan.arch.height + plan.arch.stages[2].kernel / 7 for plan in schedule.plans)
    return Score(sum(positions) / len(positions), positions)


def evolution(space: CycleSpace, prices: Prices, predicts: bool) -> Evolution:
    """Always the same evolution."""
    return Evolution(space, prices, Random(5), population_size=6, fit=fit_predictor if predicts else None)


@pytest.mark.parametrize("predicts", [False, True])
@pytest.mark.parametrize("stop", [0, 1, 6, 13])
def test_an_interrupted_search_ends_where_an_uninterrupted_one_ends(
    small_cycles: CycleSpace, stop: int, predicts: bool
) -> None:
    space, prices = replace(small_cycles, lengths=(2, 3)), Prices(Budget(6e5, "macs"))
    whole: list[Evaluation] = []
    Runner(score_by_size, prices, Ranks(), whole.append).run("x", evolution(space, prices, predicts), 20, 6)

    logged: list[Evaluation] = []
    scored = 0

    def failing(schedule: Schedule) -> Score:
        nonlocal scored
        if scored == stop:
            raise StopError
        scored += 1
        return score_by_size(schedule)

    with pytest.raises(StopError):
        Runner(failing, prices, Ranks(), logged.append).run("x", evolution(space, prices, predicts), 20, 6)
    assert len(logged) == stop
    known = {row.schedule: row for row in logged}
    scored = -100
    Runner(failing, prices, Ranks(), logged.append, known=known).run("x", evolution(space, prices, predicts), 20, 6)
    assert scored == 20 - stop - 100
    assert [without_clock(row) for row in logged] == [without_clock(row) for row in whole]


def test_a_longer_search_begins_as_a_shorter_one(small_cycles: CycleSpace) -> None:
    prices, logs = Prices(Budget(1e9, "macs")), []
    for evaluations in (9, 20):
        log: list[Evaluation] = []
        Runner(score_by_size, prices, Ranks(), log.append).run(
            "x", evolution(small_cycles, prices, False), evaluations, 6
        )
        logs.append([row.schedule for row in log])
    # The last generation of the shorter one is a part of the longer one's.
    assert logs[0][:6] == logs[1][:6]
    assert set(logs[0][6:]) <= set(logs[1][6:12])


def test_methods_share_what_was_scored(small_cycles: CycleSpace) -> None:
    log: list[Evaluation] = []
    seen: list[Evaluation] = []
    prices = Prices(Budget(1e9, "macs"))
    runner = Runner(score_by_size, prices, Ranks(), log.append, seen.append)
    first = runner.run("a", evolution(small_cycles, prices, False), 10, 5)
    second = runner.run("b", evolution(small_cycles, prices, False), 10, 5)
    assert first == second
    assert len(log) == 10
    assert len(seen) == 20
    assert [row.order for row in log] == list(range(10))


def without_clock(row: Evaluation) -> Evaluation:
    """The evaluation without what differs from run to run: seconds and who scored it."""
    return replace(row, seconds=0.0, worker=0)


def run_with(task: SearchTask, ranks: Ranks, folder: Path) -> tuple[list[Evaluation], Outcome]:
    """The log and the outcome of a task."""
    log: list[Evaluation] = []
    task = ranks.from_first(lambda: task)
    return log, run_task(task, ranks, log.append, lambda _: None, partial(log_measured, folder / "ms.jsonl"))


def run_with_two_then_fail(
    task: SearchTask, folder: Path, log: list[Evaluation], found: dict[str, list[Evaluation]]
) -> None:
    """Fills log and findings; the failure at the end must end the other process too, else no test run ever ends."""
    with worker_group(2, 1, take_part) as ranks:
        assert ranks.count == 2
        rows, outcome = run_with(task, ranks, folder)
        log += rows
        found |= outcome.found
        raise StopError


def test_two_processes_find_what_one_finds_and_one_goes_on_for_two(small_task: SearchTask, tmp_path: Path) -> None:
    alone, outcome = run_with(small_task, Ranks(), tmp_path)
    together: list[Evaluation] = []
    found: dict[str, list[Evaluation]] = {}
    with pytest.raises(StopError):
        run_with_two_then_fail(small_task, tmp_path, together, found)
    assert {row.worker for row in together} == {0, 1}
    assert [without_clock(row) for row in together] == [without_clock(row) for row in alone]
    for name, rows in outcome.found.items():
        assert [without_clock(row) for row in found[name]] == [without_clock(row) for row in rows]
    half = replace(small_task, known=tuple(together[: len(together) // 2]))
    rest, _ = run_with(half, Ranks(), tmp_path)
    assert [without_clock(row) for row in [*half.known, *rest]] == [without_clock(row) for row in alone]


def test_a_task_runs_its_baselines(small_task: SearchTask, tmp_path: Path) -> None:
    presets = (small_task.space.smallest(2),)
    task = replace(small_task, plan=replace(small_task.plan, evaluations=3, presets=presets))
    log, outcome = run_with(task, Ranks(), tmp_path)
    # With one follower a uniform allocation is no allocation.
    assert list(outcome.found) == ["evolution", "random", "preset"]
    assert [row.schedule for row in outcome.found["preset"]] == list(presets)
    assert outcome.searched == outcome.found["evolution"]
    longer = replace(task, space=replace(task.space, lengths=(3,)), plan=replace(task.plan, presets=()))
    _, outcome = run_with(longer, Ranks(), tmp_path)
    assert list(outcome.found) == ["evolution", "random", "uniform"]
    assert all(len(set(row.schedule.plans[1:])) == 1 for row in outcome.found["uniform"])
    assert len(log) == len({row.schedule for row in log})


def test_measured_milliseconds_are_kept(
    small_task: SearchTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Plan] = []

    def fake(plan: Plan, _options: object) -> float:
        asked.append(plan)
        return plan.arch.height / 10

    monkeypatch.setattr("vipnas_cli.search.plan_times.measured_ms", fake)
    plan = replace(small_task.plan, budget=Budget(8.5, "ms"), measure=1, evaluations=4, baselines=False)
    task = replace(small_task, plan=plan)
    _, outcome = run_with(task, Ranks(), tmp_path)
    assert all(row.ms is not None and row.ms <= 8.5 for row in outcome.searched)
    known = read_measured(tmp_path / "ms.jsonl")
    assert known == {plan: plan.arch.height / 10 for plan in asked}
    asked.clear()
    _, again = run_with(replace(task, known_ms=known), Ranks(), tmp_path)
    assert not asked
    assert [without_clock(row) for row in again.searched] == [without_clock(row) for row in outcome.searched]


@pytest.mark.parametrize(
    ("budget", "measure", "rounds"),
    [
        (Budget(1e9, "macs"), 0, Evolution.rounds),
        (Budget(1e9, "macs"), 1, Evolution.rounds),
        (Budget(1e9, "ms"), 1, 1),
    ],
)
def test_only_a_search_whose_costs_are_measured_breeds_one_round(
    small_task: SearchTask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: Budget,
    measure: int,
    rounds: int,
) -> None:
    bred = []

    class Noted(Evolution):
        def ask(self, count: int, first: int) -> list[Schedule]:
            bred.append(self.rounds)
            return super().ask(count, first)

    monkeypatch.setattr("vipnas_cli.search.plan_times.measured_ms", lambda _plan, _options: 1.0)
    monkeypatch.setattr("vipnas_cli.search.task.ClipScorer", lambda _networks, _clips: score_by_size)
    monkeypatch.setattr("vipnas_cli.search.task.Evolution", Noted)
    plan = replace(small_task.plan, budget=budget, measure=measure, evaluations=1, predictor=True, baselines=False)
    run_with(replace(small_task, plan=plan), Ranks(), tmp_path)
    assert bred == [rounds]


def test_an_interrupted_search_that_measures_ends_where_an_uninterrupted_one_ends(
    small_task: SearchTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Plan] = []

    def fake(plan: Plan, _options: object) -> float:
        asked.append(plan)
        # Larger networks have better rates, which a forecast must not know before it did.
        return plan_cost(plan).macs ** 0.5 / 100 * (3 if plan.fusion.operation == "none" else 1)

    monkeypatch.setattr("vipnas_cli.search.plan_times.measured_ms", fake)
    monkeypatch.setattr("vipnas_cli.search.task.ClipScorer", lambda _networks, _clips: score_by_size)
    space = replace(small_task.space, lengths=(2, 3))
    plan = replace(small_task.plan, budget=Budget(21, "ms"), measure=1, evaluations=6)
    task = replace(small_task, plan=plan, space=space)
    whole, _ = run_with(task, Ranks(), tmp_path)
    measured = list(asked)
    for candidates, networks in ((1, 3), (3, len(measured) // 2), (len(whole), len(measured))):
        asked.clear()
        known_ms = dict(list(read_measured(tmp_path / "ms.jsonl").items())[:networks])
        cut = replace(task, known=tuple(whole[:candidates]), known_ms=known_ms)
        again = tmp_path / str(candidates)
        again.mkdir()
        rest, _ = run_with(cut, Ranks(), again)
        assert [without_clock(row) for row in [*cut.known, *rest]] == [without_clock(row) for row in whole]
        assert asked == measured[networks:]


def test_two_processes_agree_on_a_key_network_that_one_of_them_measures(
    small_task: SearchTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other processes have the clock, by which all followers would be affordable.
    monkeypatch.setattr("vipnas_cli.search.plan_times.measured_ms", lambda _plan, _options: 100.0)
    space = small_task.space
    layer_ms = {layer_key(layer): 1.0 for layer in space_layers(space.follower_space, space.fusions)}
    table = LatencyTable(this_machine("cpu"), 1, "2026-01-01", 17, layer_ms)
    budget = Budget((100 + table.predict(space.smallest(2).plan(1))) / 2, "ms")
    plan = replace(small_task.plan, budget=budget, tables=LatencyTables((table,)), baselines=False)
    task = replace(small_task, plan=plan)
    alone, _ = run_with(task, Ranks(), tmp_path)
    together: list[Evaluation] = []
    with pytest.raises(StopError):
        run_with_two_then_fail(task, tmp_path, together, {})
    assert {row.worker for row in together} == {0, 1}
    assert [without_clock(row) for row in together] == [without_clock(row) for row in alone]
    assert all(row.ms is not None and row.ms > 50 for row in alone)


def test_torchrun_says_who_a_process_is() -> None:
    told = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert torchrun_rank(told) == 3
    assert torchrun_rank({}) == torchrun_rank({"RANK": "3"}) == -1


def test_scorers_are_what_runners_call(small_task: SearchTask) -> None:
    score = ClipScorer(small_task.networks, small_task.clips)
    found = Runner(partial(score), Prices(Budget(1e9, "macs")), Ranks()).evaluate("x", [small_task.space.smallest(2)])
    assert found[0].score == score(small_task.space.smallest(2))


def ends_at_once(ranks: Ranks) -> None:
    """A worker that is gone before it was asked for anything."""


def test_a_worker_that_ends_before_its_time_is_told() -> None:
    with worker_group(2, 1, ends_at_once) as ranks, pytest.raises(VipnasError, match="ended before its time"):
        ranks.gathered(1)


def test_what_goes_through_pipes_is_what_went_in(tmp_path: Path) -> None:
    mine, theirs = multiprocessing.get_context("spawn").Pipe()
    mine.send_bytes(pickle.dumps({"a": [1, 2]}))
    assert Ranks(1, 2, (theirs,)).from_first(lambda: {}) == {"a": [1, 2]}
    theirs.send_bytes(pickle.dumps("second"))
    assert Ranks(0, 2, (mine,)).gathered("first") == ["first", "second"]
    assert pickle.loads(theirs.recv_bytes()) == ["first", "second"]
