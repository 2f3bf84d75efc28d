"""The space of schedules: whatever it gives it contains."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.spec import CycleSpace, FusionSpec, Plan, Schedule, SearchSpace


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("lengths", [(1,), (2,), (4,), (1, 3), (2, 3, 5)])
def test_what_is_sampled_mutated_and_crossed_is_contained(
    small_cycles: CycleSpace, lengths: tuple[int, ...], uniform: bool
) -> None:
    space, rng = replace(small_cycles, lengths=lengths, uniform=uniform), Random(0)
    found = [space.sample(rng) for _ in range(20)]
    for a, b in product(found[:10], found[10:]):
        found += [space.cross(a, b, rng), space.mutate(a, rng, 0.2), space.mutate(b, rng, 1.0)]
    assert all(map(space.contains, found))
    assert {len(schedule) for schedule in found} == set(lengths)


def test_uniform_schedules_have_one_kind_of_follower(small_cycles: CycleSpace) -> None:
    free = replace(small_cycles, lengths=(4,))
    uniform, rng = replace(free, uniform=True), Random(1)
    assert all(len(set(uniform.sample(rng).plans[1:])) == 1 for _ in range(20))
    mixed = next(s for s in (free.sample(rng) for _ in range(100)) if len(set(s.plans[1:])) > 1)
    assert free.contains(mixed)
    assert not uniform.contains(mixed)


def test_uniform_schedules_are_improved_as_a_whole_too(small_cycles: CycleSpace) -> None:
    free, rng = replace(small_cycles, lengths=(4,)), Random(2)
    same = replace(free, uniform=True).sample(rng)
    children = [free.mutate(same, rng, 0.1) for _ in range(200)]
    alike = [child for child in children if child != same and len(set(child.plans[1:])) == 1]
    assert 10 < len(alike) < 150


def test_size_counts_every_schedule(small_cycles: CycleSpace) -> None:
    space = replace(small_cycles, lengths=(1, 2, 3))
    followers = small_cycles.follower_space.size * 3
    assert space.size == 1 + followers + followers**2
    assert replace(space, uniform=True).size == 1 + 2 * followers
    every = {
        Schedule((Plan(space.key_space.largest), Plan(arch, fusion)))
        for arch in small_cycles.follower_space.enumerate()
        for fusion in small_cycles.fusions
    }
    assert len(every) == small_cycles.size
    assert all(map(small_cycles.contains, every))


def test_the_same_generator_gives_the_same_schedules(small_cycles: CycleSpace) -> None:
    space = replace(small_cycles, lengths=(2, 4))
    runs = []
    for _ in range(2):
        rng = Random(7)
        first = space.sample(rng)
        runs.append([first, space.mutate(first, rng, 0.3), space.cross(first, space.sample(rng), rng)])
    assert runs[0] == runs[1]


def test_corners_are_the_largest_of_every_size_and_length(small_cycles: CycleSpace) -> None:
    space = replace(small_cycles, lengths=(1, 3))
    corners = space.corners
    assert all(map(space.contains, corners))
    # The key network is fixed: it has one size.
    assert [len(schedule) for schedule in corners] == [1, 3, 3]
    assert {schedule.plans[2].arch.height for schedule in corners[1:]} == {64, 96}
    largest = space.follower_space.largest
    assert all(schedule.plans[-1].arch.stages == largest.stages for schedule in corners[1:])


def test_a_space_needs_lengths_and_a_full_grid_of_fusions(small_space: SearchSpace) -> None:
    for lengths in ((), (0,), (2, True)):
        with pytest.raises(SpecError, match="lengths"):
            CycleSpace(small_space, small_space, lengths)
    with pytest.raises(SpecError, match="fusions"):
        CycleSpace(small_space, small_space, (2,), (FusionSpec("add", 1), FusionSpec("mul", 2)))
