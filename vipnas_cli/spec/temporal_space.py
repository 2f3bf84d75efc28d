"""The temporal search spaces: schedules of a key network and followers, each with its own network and fusion.

`TemporalSpace` has cycles of one length and draws every follower by itself; `CycleSpace`, what a search draws from, has
one or several lengths, and followers free or all alike.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from random import Random
from typing import get_args

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import JsonObject, key_of, read_fields, read_list
from vipnas_cli.spec.fixed import FixedNetwork, KeySpace, key_space_from_json
from vipnas_cli.spec.schedule import FusionOperation, FusionSpec, Plan, Schedule
from vipnas_cli.spec.space import SearchSpace

# How often a mutation changes the cycle's length, or moves whole followers instead of changing single choices.
LENGTH_CHANGE = 0.15
WHOLE_FOLLOWER = 0.4


@dataclass(frozen=True)
class TemporalSpace:
    """Schedules with `followers` followers: archs from two spatial spaces, fusions from operations × stages F1 … F4.

    A key network that is already trained and fixed is the space `key_space_of(plan)`.
    """

    key_space: KeySpace
    follower_space: SearchSpace
    followers: int
    operations: tuple[FusionOperation, ...] = ("none", "add", "mul", "cat")
    fusion_stages: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        if not isinstance(self.followers, int) or isinstance(self.followers, bool) or self.followers < 0:
            raise SpecError(
                f"temporal space: followers must be a whole number of at least 0, not {self.followers!r:.60}"
            )
        known = get_args(FusionOperation)
        if not self.operations or any(operation not in known for operation in self.operations):
            raise SpecError(f"temporal space: operations must be some of {known}, not {self.operations!r:.60}")
        if set(self.operations) != {"none"} and not self.fusion_stages:
            raise SpecError("temporal space: fusion_stages must list at least one stage")
        if any(type(stage) is not int or stage not in (1, 2, 3, 4) for stage in self.fusion_stages):
            raise SpecError(f"temporal space: fusion_stages must be some of 1, 2, 3, 4, not {self.fusion_stages!r:.60}")
        for name in ("operations", "fusion_stages"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise SpecError(f"temporal space: {name} lists a value twice: {values!r:.60}")

    @property
    def fusions(self) -> tuple[FusionSpec, ...]:
        """Every fusion that a follower may have."""
        fusing = [operation for operation in self.operations if operation != "none"]
        found = [FusionSpec(operation, stage) for operation in fusing for stage in self.fusion_stages]
        return (*([FusionSpec()] if "none" in self.operations else []), *found)

    def sample(self, rng: Random) -> Schedule:
        """A random schedule; operations are equally likely, whatever the number of stages."""
        followers = [Plan(self.follower_space.sample(rng), self._fusion(rng)) for _ in range(self.followers)]
        return Schedule((Plan(self.key_space.sample(rng)), *followers))

    def mutate(self, schedule: Schedule, rng: Random, probability: float) -> Schedule:
        """A copy in which each choice of each network, and each fusion, is drawn anew with `probability`."""
        self._check_length(schedule)
        key, *followers = schedule.plans
        if not isinstance(self.key_space, FixedNetwork):
            key = Plan(self.key_space.mutate(key.built, rng, probability))
        plans = [key]
        for plan in followers:
            arch = self.follower_space.mutate(plan.built, rng, probability)
            keep = rng.random() >= probability and plan.fusion in self.fusions
            plans.append(Plan(arch, plan.fusion if keep else self._fusion(rng)))
        return Schedule(tuple(plans))

    def cross(self, a: Schedule, b: Schedule, rng: Random) -> Schedule:
        """A child whose positions come from one parent whole, or mix both parents' choices."""
        self._check_length(a)
        self._check_length(b)
        plans = []
        for position, (plan_a, plan_b) in enumerate(zip(a.plans, b.plans, strict=True)):
            space = self.follower_space if position else self.key_space
            if isinstance(space, FixedNetwork):
                plans.append(plan_a)
                continue
            mixed = space.cross(plan_a.built, plan_b.built, rng)
            fusion = rng.choice((plan_a.fusion, plan_b.fusion))
            options = [plan for plan in (plan_a, plan_b) if self._holds(position, plan)]
            fits = position == 0 or fusion in self.fusions
            plans.append(rng.choice([*options, Plan(mixed, fusion if fits else self._fusion(rng))]))
        return Schedule(tuple(plans))

    def contains(self, schedule: Schedule) -> bool:
        """Whether every position's network and fusion belong to the space."""
        return len(schedule) == self.followers + 1 and all(
            self._holds(position, plan) for position, plan in enumerate(schedule.plans)
        )

    @property
    def size(self) -> int:
        """The number of schedules, exact."""
        return int(self.key_space.size * (self.follower_space.size * len(self.fusions)) ** self.followers)

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal space."""
        return {
            "key_space": self.key_space.to_json(),
            "follower_space": self.follower_space.to_json(),
            "followers": self.followers,
            "operations": list(self.operations),
            "fusion_stages": list(self.fusion_stages),
        }

    @staticmethod
    def from_json(data: JsonObject) -> TemporalSpace:
        """The space of a JSON object; SpecError names a wrong field."""
        fields = read_fields("temporal space", data, TemporalSpace)
        return TemporalSpace(
            key_space_from_json(fields["key_space"]),
            SearchSpace.from_json(fields["follower_space"]),
            fields["followers"],
            tuple(read_list("temporal space", fields, "operations")),
            tuple(read_list("temporal space", fields, "fusion_stages")),
        )

    @property
    def key(self) -> str:
        """A short name that equal spaces share in every process."""
        return key_of(self.to_json())

    def _fusion(self, rng: Random) -> FusionSpec:
        operation = rng.choice(self.operations)
        return FusionSpec() if operation == "none" else FusionSpec(operation, rng.choice(self.fusion_stages))

    def _holds(self, position: int, plan: Plan) -> bool:
        if position == 0:
            return self.key_space.contains(plan.arch)
        return self.follower_space.contains(plan.arch) and plan.fusion in self.fusions

    def _check_length(self, schedule: Schedule) -> None:
        if len(schedule) != self.followers + 1:
            raise SpecError(f"a schedule of {len(schedule)} frames does not belong to a space of {self.followers + 1}")


@dataclass(frozen=True)
class CycleSpace:
    """Schedules whose cycle has one of `lengths` frames; with `uniform` all followers of a schedule are the same.

    A key network that is fixed is the space `key_space_of(plan)`; a single network is a cycle of one frame.
    """

    key_space: KeySpace
    follower_space: SearchSpace
    lengths: tuple[int, ...]
    fusions: tuple[FusionSpec, ...] = (FusionSpec(),)
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.lengths or any(type(length) is not int or length < 1 for length in self.lengths):
            raise SpecError(f"cycle space: lengths must list whole numbers of at least 1, not {self.lengths!r:.60}")
        if not self.fusions or set(self._temporal(2).fusions) != set(self.fusions):
            raise SpecError("cycle space: fusions must be all operations at all stages that they name")

    def _temporal(self, length: int) -> TemporalSpace:
        operations = tuple(dict.fromkeys(fusion.operation for fusion in self.fusions))
        stages = tuple(sorted({fusion.stage for fusion in self.fusions} - {0}))
        return TemporalSpace(self.key_space, self.follower_space, length - 1, operations, stages)

    def without(self, dimensions: Collection[str]) -> CycleSpace:
        """The part of the space in which some dimensions do not vary, see `SearchSpace.without`."""
        key = self.key_space.without(dimensions) if isinstance(self.key_space, SearchSpace) else self.key_space
        return replace(self, key_space=key, follower_space=self.follower_space.without(dimensions))

    def sample(self, rng: Random) -> Schedule:
        """A random schedule; lengths are equally likely."""
        length = rng.choice(self.lengths)
        return self._spread(self._temporal(self._free(length)).sample(rng), length)

    def mutate(self, schedule: Schedule, rng: Random, probability: float) -> Schedule:
        """A changed copy: another length, a follower put in another's place, or single choices drawn anew."""
        length, plans = len(schedule), list(schedule.plans)
        if len(self.lengths) > 1 and rng.random() < LENGTH_CHANGE:
            length = rng.choice(self.lengths)
            plans = _fitted(plans, length)
        short = Schedule(tuple(plans[: self._free(length)]))
        if len(short) < self._free(length):
            return self.sample(rng)
        changed = self._temporal(len(short)).mutate(short, rng, probability)
        if not self.uniform and length > 2 and rng.random() < WHOLE_FOLLOWER:
            # After single choices: what is good for one follower is mostly good for all, but only as a whole.
            changed = Schedule(tuple(_moved(list(changed.plans), rng)))
        return self._spread(changed, length)

    def cross(self, a: Schedule, b: Schedule, rng: Random) -> Schedule:
        """A child of the length of one parent that has each position, or its choices, from either one."""
        length = rng.choice((len(a), len(b)))
        if length > 1 and min(len(a), len(b)) == 1:
            return a if len(a) == length else b
        free = self._free(length)
        first, second = (Schedule(tuple(_fitted(list(parent.plans), length)[:free])) for parent in (a, b))
        return self._spread(self._temporal(free).cross(first, second, rng), length)

    def contains(self, schedule: Schedule) -> bool:
        """Whether length, networks and fusions belong to the space."""
        followers = set(schedule.plans[1:])
        return (
            len(schedule) in self.lengths
            and self._temporal(len(schedule)).contains(schedule)
            and (not self.uniform or len(followers) <= 1)
        )

    @property
    def size(self) -> int:
        """The number of schedules, exact."""
        return sum(self._temporal(self._free(length)).size for length in self.lengths)

    def smallest(self, length: int) -> Schedule:
        """The schedule of the smallest networks of a cycle length, without fusion where the space allows it."""
        fusion = min(self.fusions, key=lambda f: (f.operation != "none", f.operation == "cat", -f.stage))
        follower = Plan(self.follower_space.smallest, fusion)
        return Schedule((Plan(self.key_space.smallest), *[follower] * (length - 1)))

    @property
    def corners(self) -> tuple[Schedule, ...]:
        """For every length and input size of followers: all networks as large as they can be, all followers alike."""
        fusion = max(self.fusions, key=lambda f: (f.operation == "cat", f.operation != "none", -f.stage))
        found = []
        for length in self.lengths:
            space = self.follower_space if length > 1 else self.key_space
            if isinstance(space, FixedNetwork):
                found.append(Schedule((Plan(space.network),)))
                continue
            for height, width in sorted(space.sizes):
                arch = replace(space.largest, height=height, width=width)
                if space.contains(arch):
                    key = Plan(arch if length == 1 else self.key_space.largest)
                    found.append(Schedule((key, *[Plan(arch, fusion)] * (length - 1))))
        return tuple(found)

    def _free(self, length: int) -> int:
        """How many positions of a cycle are chosen one by one."""
        return min(length, 2) if self.uniform else length

    @staticmethod
    def _spread(schedule: Schedule, length: int) -> Schedule:
        """The schedule with its last follower repeated up to a length."""
        return Schedule(tuple(_fitted(list(schedule.plans), length)))


def _moved(plans: list[Plan], rng: Random) -> list[Plan]:
    """Two followers exchanged, one in another's place, or one in place of all others."""
    source, target = rng.sample(range(1, len(plans)), 2)
    move = rng.choice(("exchange", "copy", "spread", "spread"))
    if move == "spread":
        return [plans[0], *[plans[source]] * (len(plans) - 1)]
    moved = list(plans)
    moved[target] = plans[source]
    if move == "exchange":
        moved[source] = plans[target]
    return moved


def _fitted(plans: list[Plan], length: int) -> list[Plan]:
    """The plans cut to a length, or the last follower repeated; a key network alone stays alone."""
    if len(plans) == 1:
        return plans
    return [*plans[:length], *[plans[-1]] * (length - len(plans))]
