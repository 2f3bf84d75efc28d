"""Makes a latency table, and compares what it predicts with networks that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random

from vipnas_cli.errors import InputError
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.probe import OnnxProbe, Probe, ProbeOptions
from vipnas_cli.latency.table import Agreement, LatencyTable, fit_correction
from vipnas_cli.latency.units import Unit, plan_units, space_units
from vipnas_cli.spec import FusionSpec, Plan, SearchSpace, TemporalSpace

# Whole networks that the sum of parts is fitted to, beside the smallest and the largest.
FITTED = 16


@dataclass(frozen=True)
class TableOptions:
    """Threads per network, keypoints, how many whole networks the table is fitted to, and the seed that draws them."""

    threads: int = 1
    keypoints: int = 17
    fitted: int = FITTED
    seed: int = 0

    @property
    def probe(self) -> ProbeOptions:
        """How to measure."""
        return ProbeOptions(self.threads, self.keypoints)


def _silent() -> None:
    """Nobody watches."""


def table_steps(what: SearchSpace | Sequence[Plan], options: TableOptions = TableOptions()) -> int:
    """How many measurements `measure_table` will take."""
    units, plans = _units(what, options), _fitted(what, options)
    return len(units) + len(plans)


def measure_table(
    what: SearchSpace | Sequence[Plan],
    options: TableOptions = TableOptions(),
    probe: Probe | None = None,
    on_step: Callable[[], None] = _silent,
) -> LatencyTable:
    """The table of every network of a space with every fusion, or of the networks of a list.

    `on_step` is called after each of `table_steps` measurements.
    """
    probe = probe or OnnxProbe(options.probe)
    units, plans = _units(what, options), _fitted(what, options)
    unit_ms = {unit.key: ms for unit, ms in zip(units, probe.unit_ms(units, on_step), strict=True)}
    draft = LatencyTable(this_machine("cpu"), options.threads, date.today().isoformat(), options.keypoints, unit_ms)
    measured = probe.plan_ms(plans, on_step)
    correction = fit_correction([draft.parts_ms(plan) for plan in plans], measured)
    return LatencyTable(draft.machine, draft.threads, draft.date, draft.keypoints, unit_ms, correction)


def random_plans(space: SearchSpace, count: int, rng: Random) -> list[Plan]:
    """Networks of a space, every second one with a random fusion."""
    fusions = [fusion for fusion in all_fusions(space) if fusion.operation != "none"]
    return [Plan(space.sample(rng), rng.choice(fusions) if index % 2 else FusionSpec()) for index in range(count)]


def all_fusions(space: SearchSpace) -> tuple[FusionSpec, ...]:
    """Every fusion that a follower may have."""
    return TemporalSpace(space, space, 1).fusions


def check_table(
    table: LatencyTable, plans: Sequence[Plan], probe: Probe, on_step: Callable[[], None] = _silent
) -> Agreement:
    """Prediction and measurement of networks; `on_step` is called after each."""
    predicted = tuple(table.predict(plan) for plan in plans)
    return Agreement(predicted, tuple(probe.plan_ms(plans, on_step)))


def _units(what: SearchSpace | Sequence[Plan], options: TableOptions) -> list[Unit]:
    if isinstance(what, SearchSpace):
        return space_units(what, all_fusions(what), options.keypoints)
    return list(dict.fromkeys(unit for plan in what for unit in plan_units(plan, options.keypoints)))


def _fitted(what: SearchSpace | Sequence[Plan], options: TableOptions) -> list[Plan]:
    """The whole networks that are measured for the correction."""
    rng = Random(options.seed)
    if isinstance(what, SearchSpace):
        extremes = [Plan(what.largest), Plan(what.smallest)]
        return extremes + random_plans(what, options.fitted, rng)
    if not what:
        raise InputError("there are no networks to measure", "name at least one")
    return rng.sample(list(what), min(options.fitted, len(what)))
