"""Schedules drawn from a temporal space belong to it; T = 0 is legal; the key frame never fuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan, Schedule, SearchSpace, TemporalSpace
from vipnas_cli.spec.spaces import FAST_SPACE

SPACE = TemporalSpace(FAST_SPACE, FAST_SPACE, 3)
KEY = SearchSpace.of(FAST_BASE)
# Two networks, three fusions, two followers: small enough to meet every schedule.
SMALL_FOLLOWER = replace(KEY, sizes=((256, 192), (128, 96)))
SMALL = TemporalSpace(KEY, SMALL_FOLLOWER, 2, ("none", "add"), (1, 3))


def test_what_is_sampled_mutated_and_crossed_is_contained() -> None:
    rng = Random(0)
    schedules = [SPACE.sample(rng) for _ in range(30)]
    children = [SPACE.mutate(schedule, rng, 0.3) for schedule in schedules]
    children += [SPACE.cross(a, b, rng) for a, b in pairwise(schedules)]
    for schedule in (*schedules, *children):
        assert SPACE.contains(schedule)
        assert len(schedule) == 4
        assert schedule.plans[0].fusion == FusionSpec()


def test_size_is_what_can_be_drawn() -> None:
    rng = Random(1)
    assert SMALL.size == 1 * (2 * 3) ** 2
    found = {SMALL.sample(rng) for _ in range(800)}
    assert len(found) == SMALL.size
    # In an order that the process's own hashes do not change.
    grown = {SMALL.mutate(schedule, rng, 0.5) for schedule in sorted(found, key=str) for _ in range(16)}
    assert grown == found


def test_without_followers_there_is_only_the_key_frame() -> None:
    alone = TemporalSpace(FAST_SPACE, FAST_SPACE, 0)
    assert alone.size == FAST_SPACE.size
    schedule = alone.sample(Random(0))
    assert len(schedule) == 1
    assert alone.contains(alone.mutate(schedule, Random(0), 0.5))


def test_a_fixed_key_network_stays() -> None:
    rng = Random(2)
    a, b = SMALL.sample(rng), SMALL.sample(rng)
    for schedule in (a, SMALL.mutate(a, rng, 1), SMALL.cross(a, b, rng)):
        assert schedule.plans[0] == Plan(FAST_BASE)


def test_the_same_generator_state_gives_the_same_schedules() -> None:
    def story(rng: Random) -> list[Schedule]:
        a, b = SPACE.sample(rng), SPACE.sample(rng)
        return [a, b, SPACE.mutate(a, rng, 0.5), SPACE.cross(a, b, rng)]

    assert story(Random(3)) == story(Random(3))


def test_mutation_without_probability_changes_nothing() -> None:
    schedule = SPACE.sample(Random(4))
    assert SPACE.mutate(schedule, Random(5), 0) == schedule
    assert SPACE.cross(schedule, schedule, Random(5)) == schedule


def test_strangers_are_not_contained_but_lead_into_the_space() -> None:
    schedule = SMALL.sample(Random(6))
    key, first, second = schedule.plans
    strangers = [
        Schedule((key, first)),
        Schedule((key, first, replace(second, fusion=FusionSpec("cat", 1)))),
        Schedule((key, first, replace(second, fusion=FusionSpec("add", 2)))),
        Schedule((key, replace(first, arch=replace(FAST_BASE, height=192, width=128)), second)),
        Schedule((Plan(replace(FAST_BASE, height=128, width=96)), first, second)),
    ]
    assert SMALL.contains(schedule)
    assert not any(SMALL.contains(stranger) for stranger in strangers)
    for stranger in strangers[1:]:
        assert SMALL.contains(SMALL.mutate(stranger, Random(7), 0))
        assert all(SMALL.contains(SMALL.cross(stranger, schedule, Random(seed))) for seed in range(10))
    with pytest.raises(SpecError, match="frames"):
        SMALL.mutate(strangers[0], Random(7), 0.1)


def test_json_there_and_back_is_equal() -> None:
    for space in (SPACE, SMALL):
        found = TemporalSpace.from_json(json.loads(json.dumps(space.to_json())))
        assert found == space
        assert found.key == space.key
    assert SPACE.key != SMALL.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(followers=-1), "followers"),
        (lambda d: d.update(followers="3"), "followers"),
        (lambda d: d.update(operations=["sub"]), "operations"),
        (lambda d: d.update(operations=[]), "operations"),
        (lambda d: d.update(operations=["add", "add"]), "operations"),
        (lambda d: d.update(operations="add"), "operations"),
        (lambda d: d.update(fusion_stages=[]), "fusion_stages"),
        (lambda d: d.update(fusion_stages=[5]), "fusion_stages"),
        (lambda d: d.update(fusion_stages=[1, 1]), "fusion_stages"),
        (lambda d: d.pop("key_space"), "key_space"),
        (lambda d: d.update(key_space=None), "space"),
    ],
)
def test_wrong_fields_are_named(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = json.loads(json.dumps(SMALL.to_json()))
    change(data)
    with pytest.raises(SpecError, match=message):
        TemporalSpace.from_json(data)
