"""What tells a search the milliseconds of plans: this machine's clock, or latency tables.

A key network that the search does not vary may be of any size or of others, so that no table knows it: it is timed
here, as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.inference.frozen import OnnxKey
from vipnas_cli.latency.probe import ProbeOptions, measured_key_ms, measured_ms
from vipnas_cli.latency.table import LatencyTables
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ImportedSpec, Plan


def measured_plan_ms(networks: Networks, threads: int) -> Callable[[Plan], float]:
    """Measures plans on this machine."""

    def plan_ms(plan: Plan) -> float:
        if isinstance(plan.arch, ImportedSpec):
            assert isinstance(networks.key, OnnxKey), "only an imported key network has such a plan"
            return measured_key_ms(networks.key, ProbeOptions(threads))
        return measured_ms(plan, ProbeOptions(threads))

    return plan_ms


def table_plan_ms(
    networks: Networks, tables: LatencyTables, measure: Callable[[Plan], float]
) -> Callable[[Plan], float]:
    """Looks plans up in tables, and has the key network measured if it is fixed."""
    fixed = None if isinstance(networks.key, SuperNet) else networks.key.plan

    def plan_ms(plan: Plan) -> float:
        return measure(plan) if plan == fixed else tables.predict(plan)

    return plan_ms
