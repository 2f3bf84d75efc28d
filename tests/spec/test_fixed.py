"""A network of others as key network of a space: it stays, everything behind it varies as usual."""

from __future__ import annotations

import json
from random import Random

from vipnas_cli.spec import (
    CycleSpace,
    FusionSpec,
    ImportedSpec,
    Plan,
    Schedule,
    SearchSpace,
    TemporalSpace,
    key_space_of,
)

KEY = Plan(ImportedSpec("tiny", 256, 192, 300, 20, "0" * 64))


def test_the_key_network_stays_and_followers_vary(small_space: SearchSpace) -> None:
    fusions = (FusionSpec(), FusionSpec("add", 2))
    space, rng = CycleSpace(key_space_of(KEY), small_space, (2, 3), fusions), Random(0)
    one, other = space.sample(rng), space.sample(rng)
    found = [space.mutate(one, rng, 0.5) for _ in range(8)] + [space.cross(one, other, rng) for _ in range(8)]
    assert all(space.contains(schedule) and schedule.plan(0) == KEY for schedule in found)
    assert len(set(found)) > 8
    assert {schedule.plan(0) for schedule in (*space.corners, space.smallest(3))} == {KEY}
    assert space.size == sum((small_space.size * len(fusions)) ** count for count in (1, 2))
    assert not space.contains(Schedule((Plan(small_space.largest), *one.plans[1:])))
    assert not small_space.contains(KEY.arch)


def test_a_space_behind_a_network_of_others_comes_back_from_json(small_space: SearchSpace) -> None:
    space = TemporalSpace(key_space_of(KEY), small_space, 2)
    assert TemporalSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
