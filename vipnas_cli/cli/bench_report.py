"""What `vipnas bench` says: tables, one JSON document, one CSV."""

from __future__ import annotations

import csv
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import cv2
from rich.console import Console
from rich.table import Table

from vipnas_cli.cli.console import command_line, naming, plural
from vipnas_cli.files import whole_file
from vipnas_cli.latency.bench import Row
from vipnas_cli.latency.machine import Machine

SCHEMA = 1
# Below these shares of a core the figures are doubtful, or of no use for later runs.
DOUBTFUL, HALF_BUSY = 0.9, 0.5
# Budgets that people state.
FAIR_FPS = (60, 50, 30, 25, 20, 15, 10, 5)
TITLES = {
    "network": "Networks: milliseconds of one call",
    "detector": "Person detector: milliseconds of one picture",
    "verifier": "Verifier of its boxes: milliseconds of one call",
    "stage": "Stages of a run: milliseconds per frame, each alone",
    "pipeline": "Pipelines: milliseconds of the networks per person and frame",
    "run": "Whole runs with one person: frames per second",
}


@dataclass(frozen=True)
class BenchReport:
    """All figures, the machine they are from, what is remembered and where; `core_share` tells a busy machine.

    `weights` are those that were named, if any; `trained` says that all pipelines are.
    """

    machine: Machine
    rows: tuple[Row, ...]
    fastest: dict[str, int]
    core_share: float
    memory: Path
    weights: Path | None
    trained: bool

    def facts(self) -> dict[str, str]:
        """What the figures depend on."""
        return {
            "date": date.today().isoformat(),
            "cpu": self.machine.cpu,
            "cores": str(self.machine.cores),
            "os": platform.platform(),
            "python": platform.python_version(),
            "onnxruntime": self.machine.runtime,
            "av": av.__version__,
            "cv2": cv2.__version__,
            "numpy": version("numpy"),
            "core_share": f"{self.core_share:.2f}",
        }

    def to_json(self) -> dict[str, Any]:
        """One JSON document with a schema version."""
        return {
            "schema": SCHEMA,
            **self.facts(),
            "fastest_threads": self.fastest,
            "remembered_in": str(self.memory),
            "rows": [asdict(row) for row in self.rows],
        }


def write_csv(report: BenchReport, path: Path) -> None:
    """All figures as a table, each row with what it depends on; the file appears whole."""
    facts = report.facts()
    with whole_file(path) as file, file.text() as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = [field.name for field in fields(Row)]
        writer.writerow([*facts, *names])
        for row in report.rows:
            values = (getattr(row, name) for name in names)
            shown = (f"{value:.3f}" if isinstance(value, float) else value for value in values)
            writer.writerow([*facts.values(), *shown])


def print_bench(report: BenchReport, console: Console) -> None:
    """The figures for people."""
    facts = report.facts()
    console.print(
        f"{facts['cpu']}, {plural(report.machine.cores, 'core')}, {facts['os']}, ONNX Runtime {facts['onnxruntime']}, "
        f"PyAV {facts['av']}, OpenCV {facts['cv2']}\n"
    )
    for kind, title in TITLES.items():
        rows = [row for row in report.rows if row.kind == kind]
        if rows:
            console.print(_table(title, rows))
            console.print("")
    if report.fastest:
        settings = ", ".join(f"{name} {threads}" for name, threads in report.fastest.items())
        console.print(f"Fastest threads per network, as run takes them: {settings} ({report.memory}).")
    if report.core_share < DOUBTFUL:
        share = f"{100 * report.core_share:.0f} % of a core"
        forgotten = " Nothing of this is remembered." if report.core_share < HALF_BUSY else ""
        console.print(
            f"Other programs were at work, this one got {share}.{forgotten} Measure again on an idle machine."
        )
    if report.trained:
        following = command_line("run", "clip.mp4", *naming(report.weights), *_budget(report.rows))
        console.print(f"Next: {following}")


def _budget(rows: Sequence[Row]) -> tuple[str, ...]:
    """A budget in frames per second that the fastest pipeline meets with room to spare, nothing if none was run."""
    fps = max((row.low for row in rows if row.kind == "run"), default=0.0)
    fair = next((step for step in FAIR_FPS if step <= 0.8 * fps), 0)
    return ("-o", "poses.csv", "--budget", f"{fair}fps") if fair else ()


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    columns = ("", "threads", "people", rows[0].unit, "low", "high")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        counts = (str(count) if count else "–" for count in (row.threads, row.people))
        table.add_row(row.name, *counts, *(f"{value:.2f}" for value in (row.value, row.low, row.high)))
    return table
