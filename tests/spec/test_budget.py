"""A budget is read as users write it, or refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipnas_cli.errors import BudgetError
from vipnas_cli.spec import Budget
from vipnas_cli.spec.budget import Unit, best_within, least_budget, taken_within


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0.5GFLOPs", 5e8, "macs"),
        ("500MFLOPs", 5e8, "macs"),
        ("500MMACs", 5e8, "macs"),
        ("500000000 macs", 5e8, "macs"),
        (" .5 gflops ", 5e8, "macs"),
        ("5e-1GFLOP", 5e8, "macs"),
        ("0.5G", 5e8, "macs"),
        ("12ms", 12, "ms"),
        ("1.5 MS", 1.5, "ms"),
        ("60fps", 60, "fps"),
        (" 29.97 FPS", 29.97, "fps"),
    ],
)
def test_ways_to_write_a_budget(text: str, value: float, unit: str) -> None:
    budget = Budget.parse(text)
    assert budget.value == pytest.approx(value)
    assert budget.unit == unit


@given(st.floats(1e-3, 1e4), st.sampled_from([("macs", 1e9), ("ms", 1.0)]))
def test_the_least_budget_buys_what_it_is_said_to_buy(amount: float, unit: tuple[Unit, float]) -> None:
    name, one = unit
    bought = Budget.parse(least_budget(amount * one, name))
    assert bought.unit == name
    assert amount * one <= bought.value <= (amount + 0.001001) * one


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "much",
            "GFLOPs",
            "5",
            "0GFLOPs",
            "-1ms",
            "0ms",
            "5 apples",
            "5 GB",
            "1,5GFLOPs",
            "1.2.3ms",
            "nanms",
        ),
        *(
            "infms",
            "1e400GFLOPs",
            "1e305TFLOPs",
            "5 5 ms",
            "ms12",
            "12mss",
            "5GFLOPs!",
            "1e-400ms",
            "0fps",
            "-60fps",
            "60fp",
            "60kfps",
        ),
    ],
)
def test_nonsense_is_refused_with_advice(text: str) -> None:
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    assert repr(text) in caught.value.what
    assert "GFLOPs" in caught.value.hint


@pytest.mark.parametrize("text", ["0.5 GFLOPs", "12 ms", "0.031 GFLOPs", "60 fps", "29.97 fps"])
def test_what_is_printed_can_be_read_again(text: str) -> None:
    assert str(Budget.parse(text)) == text
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


@pytest.mark.parametrize(
    ("limit", "best"), [(10.0, "dear"), (2.0, "cheap"), (5.0, "cheap"), (0.5, None)], ids=["all", "at", "tie", "none"]
)
def test_the_best_within_a_budget_is_the_cheapest_of_the_highest_scores(limit: float, best: str | None) -> None:
    costs = {"medium": 5.0, "cheap": 2.0, "cheap too": 2.0, "dear": 10.0}
    scores = {"medium": 60.0, "cheap": 60.0, "cheap too": 60.0, "dear": 61.0}
    assert best_within(costs, limit, costs.__getitem__, scores.__getitem__) == best


def test_what_is_above_a_budget_is_told_as_its_share() -> None:
    assert Budget.parse("0.2GFLOPs").excess(0.23e9) == pytest.approx(0.15)
    assert Budget.parse("0.2GFLOPs").excess(0.19e9) == 0
    assert Budget.parse("6ms").excess(1e12) is None


def test_within_a_standard_error_the_cheaper_is_taken() -> None:
    costs, scores = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 60.0, "b": 68.5, "c": 70.0}
    for error, best in ((0.0, "c"), (1.4, "c"), (1.5, "b"), (10.0, "a")):
        assert best_within(costs, 9, costs.__getitem__, scores.__getitem__, lambda _, e=error: e) == best


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=1, max_size=8))
def test_a_higher_budget_never_gets_a_lower_score(rows: list[tuple[int, int, int]]) -> None:
    found = [best_within(rows, limit, *(lambda row, i=i: row[i] for i in range(3))) for limit in range(21)]
    scores = [row[1] for row in found if row is not None]
    assert scores == sorted(scores)


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=1, max_size=8))
def test_every_limit_gets_what_is_taken_from_the_last_lower_limit_on(rows: list[tuple[int, int, int]]) -> None:
    parts = [lambda row, i=i: row[i] for i in range(3)]
    taken = taken_within(rows, *parts)
    for limit in range(21):
        lower = [one.entry for one in taken if one.limit <= limit]
        assert best_within(rows, limit, *parts) == (lower[-1] if lower else None)


def test_a_dearer_one_may_tell_that_a_cheaper_one_is_not_as_good() -> None:
    costs, scores = {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 60.0, "b": 61.0, "c": 62.4}
    taken = taken_within(costs, costs.__getitem__, scores.__getitem__, lambda _: 1.5)
    assert [(one.limit, one.entry) for one in taken] == [(1.0, "a"), (3.0, "b")]
