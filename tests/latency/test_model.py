"""What a run cost for a person on a frame: the mean over the cycle, and on top whatever was computed in vain."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.latency.model import Model, per_person_frame

AMOUNTS = (8.0, 2.0, 2.0, 2.0)


def test_where_every_crop_is_of_somebody_who_is_followed_it_is_the_mean_of_the_cycle() -> None:
    assert per_person_frame(AMOUNTS, Counter({0: 5, 1: 5, 2: 5, 3: 5}), 20) == sum(AMOUNTS) / 4


def test_crops_of_nobody_come_on_top_and_may_cost_more_than_the_dearest_network() -> None:
    cycle = Counter({0: 5, 1: 5, 2: 5, 3: 5})
    assert per_person_frame(AMOUNTS, cycle + Counter({0: 5}), 20) == (5 * sum(AMOUNTS) + 5 * 8) / 20
    assert per_person_frame(AMOUNTS, cycle, 4) > max(AMOUNTS)


def test_where_nobody_was_followed_it_is_the_mean_of_the_crops_and_of_none_undefined() -> None:
    assert per_person_frame(AMOUNTS, Counter({0: 3, 1: 3}), 0) == 5
    assert math.isnan(per_person_frame(AMOUNTS, Counter(), 0))


def test_operations_and_milliseconds_are_counted_alike() -> None:
    model = Model("any", PaintedEstimator(()), AMOUNTS, tuple(amount / 10 for amount in AMOUNTS))
    cost = model.cost(Counter({0: 4, 1: 2}), 5)
    assert cost.macs_per_person_frame == 36 / 5
    assert cost.ms_per_person_frame == pytest.approx(36 / 50)
