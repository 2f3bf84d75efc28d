"""What every network of a search space takes on this machine, predicted from its parts, or measured whole."""

from vipnas_cli.latency_table.measure import TableOptions, check_table, measure_table, random_plans, table_steps
from vipnas_cli.latency_table.probe import OnnxProbe, ProbeOptions, measured_ms
from vipnas_cli.latency_table.table import Agreement, LatencyTable

__all__ = [
    "Agreement",
    "LatencyTable",
    "OnnxProbe",
    "ProbeOptions",
    "TableOptions",
    "check_table",
    "measure_table",
    "measured_ms",
    "random_plans",
    "table_steps",
]
