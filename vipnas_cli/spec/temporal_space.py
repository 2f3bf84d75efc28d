"""The temporal search space: schedules of a key network and T followers, each with its own network and fusion."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import get_args

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import JsonObject, key_of, read_fields, read_list
from vipnas_cli.spec.operations import FusionOperation
from vipnas_cli.spec.schedule import FusionSpec, Plan, Schedule
from vipnas_cli.spec.space import SearchSpace


@dataclass(frozen=True)
class TemporalSpace:
    """Schedules with `followers` followers: archs from two spatial spaces, fusions from operations × stages F1 … F4.

    A key network that is already trained and fixed is the space `SearchSpace.of(arch)`.
    """

    key_space: SearchSpace
    follower_space: SearchSpace
    followers: int
    operations: tuple[FusionOperation, ...] = ("none", "add", "mul", "cat")
    fusion_stages: tuple[int, ...] = (1, 2, 3, 4)

    def __post_init__(self) -> None:
        if not isinstance(self.followers, int) or isinstance(self.followers, bool) or self.followers < 0:
            raise SpecError(f"temporal space: followers must be a whole number of at least 0, not {self.followers!r}")
        known = get_args(FusionOperation)
        if not self.operations or any(operation not in known for operation in self.operations):
            raise SpecError(f"temporal space: operations must be some of {known}, not {self.operations!r}")
        if set(self.operations) != {"none"} and not self.fusion_stages:
            raise SpecError("temporal space: fusion_stages must list at least one stage")
        if any(type(stage) is not int or stage not in (1, 2, 3, 4) for stage in self.fusion_stages):
            raise SpecError(f"temporal space: fusion_stages must be some of 1, 2, 3, 4, not {self.fusion_stages!r}")
        for name in ("operations", "fusion_stages"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise SpecError(f"temporal space: {name} lists a value twice: {values!r}")

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
        plans = [Plan(self.key_space.mutate(key.arch, rng, probability))]
        for plan in followers:
            arch = self.follower_space.mutate(plan.arch, rng, probability)
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
            mixed = space.cross(plan_a.arch, plan_b.arch, rng)
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
            SearchSpace.from_json(fields["key_space"]),
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
