"""What `vipnas latency-table` does: measure the parts of a space, write the table, compare it with whole networks."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vipnas_cli.cli.console import command_line, counted, message_console, plural, print_json
from vipnas_cli.cli.latency_table import LatencyTableOptions
from vipnas_cli.errors import OutputError, UsageError, VipnasError
from vipnas_cli.spec.spaces import space_of

if TYPE_CHECKING:
    from vipnas_cli.latency.probe import ProbeOptions
    from vipnas_cli.latency.table import Agreement, LatencyTable

SCHEMA = 1
# Which search is for networks of a space: bundled followers are fast, bundled key networks pyramid.
SEARCHES = {
    "fast": "temporal",
    "pyramid": "spatial",
    "mobilenetv3": "spatial --weights FILE",
    "resnet": "spatial --weights FILE",
}


@dataclass(frozen=True)
class Found:
    """The table, the seconds it took to measure (0 if it was read), and the comparison if there was one."""

    table: LatencyTable
    seconds: float
    agreement: Agreement | None


def latency_table_job(options: LatencyTableOptions) -> None:
    """Writes a table, or reads one, and says how well it predicts."""
    try:
        from vipnas_cli.latency.probe import ProbeOptions
        from vipnas_cli.latency.table import LatencyTable
    except ImportError as error:
        raise VipnasError(f"measuring a table needs {error.name}", "pip install 'vipnas[train]'") from error
    _check(options)
    console = message_console(options.quiet)
    if options.table is not None:
        table, seconds = LatencyTable.read(options.table), 0.0
        table.check_machine()
    else:
        table, seconds = _measure(options, console)
    agreement = _compare(table, options, ProbeOptions(table.threads, table.keypoints), console)
    found = Found(table, seconds, agreement)
    if options.json:
        print_json(_document(options, found))
    elif not options.quiet:
        _tell(options, found, console)


def _check(options: LatencyTableOptions) -> None:
    """An error before any work if the options contradict each other or the table may not be written."""
    if options.table is not None:
        if options.out is not None:
            raise UsageError("--table checks a table and writes none, so -o has no use", "leave one of them out")
        if not options.check:
            raise UsageError("--table without --check does nothing", "say how many networks to measure with --check 20")
    elif options.path.exists() and not options.overwrite:
        raise OutputError(
            f"{options.path} exists already", "choose another name with -o, or measure anew with --overwrite"
        )


def _measure(options: LatencyTableOptions, console: Console) -> tuple[LatencyTable, float]:
    from vipnas_cli.latency.measure import TableOptions, measure_table, table_steps

    space = space_of(options.space)
    settings = TableOptions(options.threads, seed=options.seed)
    started = time.perf_counter()
    with counted(console, "measuring", table_steps(space, settings)) as on_step:
        table = measure_table(space, settings, on_step=on_step)
    table.write(options.path)
    return table, time.perf_counter() - started


def _compare(
    table: LatencyTable, options: LatencyTableOptions, probe: ProbeOptions, console: Console
) -> Agreement | None:
    """Predictions for random networks, others than the table was fitted to, beside their measurements."""
    from vipnas_cli.latency.measure import check_table, random_plans
    from vipnas_cli.latency.probe import OnnxProbe

    if not options.check:
        return None
    plans = random_plans(space_of(table.family or options.space), options.check, Random(f"check {options.seed}"))
    with counted(console, "comparing", len(plans)) as on_step:
        return check_table(table, plans, OnnxProbe(probe), on_step)


def _document(options: LatencyTableOptions, found: Found) -> dict[str, Any]:
    table = found.table
    return {
        "schema": SCHEMA,
        "table": str(options.path),
        "space": table.family or options.space,
        "entries": len(table.layer_ms),
        "threads": table.threads,
        "date": table.date,
        "machine": asdict(table.machine),
        "correction": asdict(table.correction),
        "seconds": round(found.seconds, 1),
        "check": None if found.agreement is None else _agreement_json(found.agreement),
    }


def _agreement_json(agreement: Agreement) -> dict[str, Any]:
    defined = {"r2": agreement.r2, "spearman": agreement.spearman}
    return {
        "networks": len(agreement.measured),
        **{name: None if math.isnan(value) else round(value, 4) for name, value in defined.items()},
        "worst_error": round(agreement.worst, 4),
        "mean_error": round(agreement.mean_error, 4),
        "predicted_ms": [round(value, 4) for value in agreement.predicted],
        "measured_ms": [round(value, 4) for value in agreement.measured],
    }


def _tell(options: LatencyTableOptions, found: Found, console: Console) -> None:
    table, agreement = found.table, found.agreement
    threads = plural(table.threads, "thread")
    what = f"{len(table.layer_ms)} parts of networks, {threads}, ONNX Runtime {table.machine.runtime}"
    console.print(what)
    if agreement is not None:
        fastest, slowest = min(agreement.measured), max(agreement.measured)
        console.print(
            f"{len(agreement.measured)} other networks of {fastest:.1f} to {slowest:.1f} ms: R² {agreement.r2:.3f}, "
            f"rank correlation {agreement.spearman:.3f}, error {agreement.mean_error:.1%} on average and "
            f"{agreement.worst:.1%} at worst",
            highlight=False,
        )
    if options.table is None:
        took = f"Written in {found.seconds:.0f} s: {options.path}."
        console.print(f"{took} Next: {_next(options)}", soft_wrap=True)


def _next(options: LatencyTableOptions) -> str:
    """The search that this table alone is enough for."""
    threads = ("--threads", str(options.threads)) if options.threads > 1 else ()
    words = (*SEARCHES[options.space].split(), "--budget", "4ms", *threads, "--latency-table", options.path)
    return command_line("search", *words)
