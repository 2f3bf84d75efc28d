"""The space of whole schedules that a search draws from: one or several cycle lengths, followers free or all alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from vipnas_cli.errors import SpecError
from vipnas_cli.spec import FusionSpec, Plan, Schedule, SearchSpace, TemporalSpace

# How often a mutation changes the cycle's length, or moves whole followers instead of changing single choices.
LENGTH_CHANGE = 0.15
WHOLE_FOLLOWER = 0.4


@dataclass(frozen=True)
class CycleSpace:
    """Schedules whose cycle has one of `lengths` frames; with `uniform` all followers of a schedule are the same.

    A key network that is fixed is the space `SearchSpace.of(arch)`; a single network is a cycle of one frame.
    """

    key_space: SearchSpace
    follower_space: SearchSpace
    lengths: tuple[int, ...]
    fusions: tuple[FusionSpec, ...] = (FusionSpec(),)
    uniform: bool = False

    def __post_init__(self) -> None:
        if not self.lengths or any(type(length) is not int or length < 1 for length in self.lengths):
            raise SpecError(f"cycle space: lengths must list whole numbers of at least 1, not {self.lengths!r}")
        if not self.fusions or set(self._temporal(2).fusions) != set(self.fusions):
            raise SpecError("cycle space: fusions must be all operations at all stages that they name")

    def _temporal(self, length: int) -> TemporalSpace:
        operations = tuple(dict.fromkeys(fusion.operation for fusion in self.fusions))
        stages = tuple(sorted({fusion.stage for fusion in self.fusions} - {0}))
        return TemporalSpace(self.key_space, self.follower_space, length - 1, operations, stages)

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
