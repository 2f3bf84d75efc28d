"""What tells a search the milliseconds of plans: this machine's clock, or a latency table.

A network of others has layers that no table knows, so it is timed here, as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from vipnas_cli.evaluation.cycles import Networks
from vipnas_cli.inference.frozen import OnnxKey
from vipnas_cli.latency.probe import ProbeOptions, measured_key_ms, measured_ms
from vipnas_cli.latency.table import LatencyTable
from vipnas_cli.spec import ImportedSpec, Plan


def measured_plan_ms(networks: Networks, threads: int) -> Callable[[Plan], float]:
    """Measures plans on this machine."""
    return _with_key(networks, threads, lambda plan: measured_ms(plan, ProbeOptions(threads)))


def table_plan_ms(networks: Networks, threads: int, table: LatencyTable) -> Callable[[Plan], float]:
    """Looks plans up in a table."""
    return _with_key(networks, threads, table.predict)


def _with_key(networks: Networks, threads: int, others: Callable[[Plan], float]) -> Callable[[Plan], float]:
    def plan_ms(plan: Plan) -> float:
        if isinstance(plan.arch, ImportedSpec):
            assert isinstance(networks.key, OnnxKey), "only an imported key network has such a plan"
            return measured_key_ms(networks.key, ProbeOptions(threads))
        return others(plan)

    return plan_ms
