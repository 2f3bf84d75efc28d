"""The one clock: how often it looks, in which order, and with which hands."""

from __future__ import annotations

from itertools import count

from vipnas_cli.timing import WARM_UP, in_turn_ms, times_ms


def test_a_call_is_timed_at_least_three_times_and_at_most_as_often_as_said() -> None:
    calls: list[int] = []
    assert len(times_ms(lambda: calls.append(1), 100, seconds=0.0)) == 3
    assert len(calls) == 5
    assert len(times_ms(lambda: None, 4, seconds=60.0)) == 4


def test_calls_take_turns_and_the_first_rounds_do_not_count() -> None:
    order: list[str] = []
    found = in_turn_ms([lambda: order.append("a"), lambda: order.append("b")], 3)
    assert order == ["a", "b"] * (WARM_UP + 3)
    assert [len(times) for times in found] == [3, 3]
    assert min(min(times) for times in found) >= 0


def test_a_clock_counts_nanoseconds() -> None:
    ticks = count(0, 2_000_000)
    assert times_ms(lambda: None, 4, clock=lambda: next(ticks)) == [2.0] * 4
