"""What a search knows about a candidate: its schedule, what it costs, and how well it scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypedDict

from vipnas_cli.errors import BudgetError
from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.spec import Budget, CycleSpace, Plan, Schedule
from vipnas_cli.spec.budget import least_budget
from vipnas_cli.spec.cost import plan_cost, schedule_macs

JsonObject = dict[str, Any]
PlanMs = Callable[[Plan], float]


class EvaluationRow(TypedDict):
    """An evaluation as a JSON object, as far as it is read."""

    order: int
    method: str
    macs: float
    ms: float | None
    score: float
    positions: list[float]
    seconds: float
    worker: int
    schedule: JsonObject


@dataclass(frozen=True)
class Evaluation:
    """One scored candidate in the order of the search; macs and ms are means per person and frame over the cycle."""

    order: int
    method: str
    schedule: Schedule
    macs: float
    ms: float | None
    score: Score
    seconds: float = 0.0
    worker: int = 0

    def cost(self, unit: str) -> float:
        """What the candidate costs in a budget's unit, "macs" or "ms"."""
        value = self.macs if unit == "macs" else self.ms
        assert value is not None, "a search in milliseconds prices every candidate in milliseconds"
        return value

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal evaluation."""
        return {
            "order": self.order,
            "method": self.method,
            "key": self.schedule.key,
            "macs": self.macs,
            "ms": self.ms,
            "score": self.score.mean,
            "positions": list(self.score.positions),
            "seconds": self.seconds,
            "worker": self.worker,
            "schedule": self.schedule.to_json(),
        }

    @staticmethod
    def from_json(data: EvaluationRow) -> Evaluation:
        """The evaluation of a JSON object; SpecError for a schedule that is none."""
        return Evaluation(
            data["order"],
            data["method"],
            Schedule.from_json(data["schedule"]),
            data["macs"],
            data["ms"],
            Score(data["score"], tuple(data["positions"])),
            data["seconds"],
            data["worker"],
        )


@dataclass
class Prices:
    """What schedules cost: multiply-accumulates always, milliseconds where something tells those of a plan.

    `plan_ms` is asked once per plan. It may measure, so its answers are kept; `measured` says that a budget in
    milliseconds is measured, which takes about a second for each plan.
    """

    budget: Budget
    plan_ms: PlanMs | None = None
    keypoints: int = 17
    measured: bool = False
    _known_ms: dict[Plan, float] = field(default_factory=dict)

    def macs(self, schedule: Schedule) -> float:
        """Mean multiply-accumulates per person and frame."""
        return schedule_macs(schedule, self.keypoints)

    def ms(self, schedule: Schedule) -> float | None:
        """Mean milliseconds per person and frame, None where nothing tells them."""
        if self.plan_ms is None:
            return None
        for plan in schedule.plans:
            if plan not in self._known_ms:
                self._known_ms[plan] = self.plan_ms(plan)
        return sum(self._known_ms[plan] for plan in schedule.plans) / len(schedule)

    def cost(self, schedule: Schedule) -> float:
        """What the schedule costs in the budget's unit."""
        if self.budget.unit == "macs":
            return self.macs(schedule)
        found = self.ms(schedule)
        assert found is not None, "a budget in milliseconds comes with something that tells them"
        return found

    def forecast(self, schedule: Schedule) -> float:
        """The cost where it takes no measuring; otherwise a guess at the least that it can be."""
        if not self.measured or not self._known_ms:
            return self.cost(schedule)
        # The best rate so far: a guess that is too high would keep a schedule out that is affordable.
        rate = min(ms / max(self._macs(plan), 1) for plan, ms in self._known_ms.items())
        guesses = (self._known_ms.get(plan, rate * self._macs(plan)) for plan in schedule.plans)
        return sum(guesses) / len(schedule)

    def affordable(self, schedule: Schedule) -> bool:
        """Whether the schedule costs at most the budget; one whose forecast is above it is not measured."""
        limit = self.budget.value
        return self.forecast(schedule) <= limit and (not self.measured or self.cost(schedule) <= limit)

    def cheapest(self, space: CycleSpace) -> Schedule:
        """The cheapest schedule of smallest networks; BudgetError if even that one exceeds the budget."""
        cheapest = min((space.smallest(length) for length in space.lengths), key=self.cost)
        if not self.affordable(cheapest):
            least = least_budget(self.cost(cheapest), self.budget.unit)
            raise BudgetError(
                f"no schedule of this space costs at most {self.budget} per person and frame",
                f"the cheapest has a cycle of {len(cheapest)} frames and costs {least}",
            )
        return cheapest

    def _macs(self, plan: Plan) -> int:
        return plan_cost(plan, self.keypoints).macs
