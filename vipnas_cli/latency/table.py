"""A latency table: what each part of a network costs on one machine, and what whole networks cost by it. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import InputError
from vipnas_cli.files import make_parent, shown, write_json
from vipnas_cli.latency.machine import Machine, this_machine
from vipnas_cli.spec import Plan
from vipnas_cli.spec.layers import (
    BottleneckEnd,
    Convolution,
    Deconvolutions,
    FinalConvolution,
    Fusion,
    Layer,
    Stem,
    Upsampling,
)
from vipnas_cli.spec.networks import plan_layers
from vipnas_cli.spec.spaces import SPACES

KIND = "vipnas latency table"
SCHEMA = 1
MAKE_ONE = "make one with `vipnas latency-table`"
TABLES = DocumentKind("a latency table", InputError, MAKE_ONE)
# Written in tables, so they stay as they are.
KINDS: dict[type[Layer], str] = {
    Stem: "stem",
    Convolution: "conv",
    BottleneckEnd: "tail",
    Upsampling: "upsampling",
    Deconvolutions: "deconvolutions",
    FinalConvolution: "last",
    Fusion: "fusion",
}
Conditions = Mapping[str, str | int]


def measuring(threads: int, family: str = "") -> str:
    """The command that measures a table, for networks of a family if one is named."""
    space = f" --space {family}" if family else ""
    return f"vipnas latency-table{space}{f' --threads {threads}' if threads > 1 else ''}"


def layer_key(layer: Layer) -> str:
    """Kind and sizes in one line, the name of a layer in a table; equal layers have equal keys."""
    return " ".join([KINDS[type(layer)], *map(str, vars(layer).values())])


def _conditions(machine: Machine, threads: int) -> Conditions:
    """What must be the same where milliseconds are compared, by its name in a sentence.

    How many cores a process may use is left aside: it says nothing about a network on a fixed number of threads.
    """
    return {"processor": machine.cpu, "system": machine.system, "ONNX Runtime": machine.runtime, "threads": threads}


def _differences(first: Conditions, second: Conditions, between: str) -> str:
    """Each condition that differs, as "threads 1 instead of 2" where `between` is "instead of"; empty for none."""
    differing = (name for name in first if first[name] != second[name])
    return ", ".join(f"{name} {first[name]!r} {between} {second[name]!r}" for name in differing)


@dataclass(frozen=True)
class Correction:
    """Milliseconds of a network from those of its parts: their sum times `scale`, and `fixed` once per call.

    `scale` holds what passes between the nodes of a graph. `fixed` is below 0 where small networks are quicker than
    their parts, because they stay in the processor's caches; it never takes off more than half.
    """

    scale: float = 1.0
    fixed: float = 0.0

    def apply(self, layers_ms: Sequence[float]) -> float:
        """Milliseconds of a network."""
        scaled = self.scale * sum(layers_ms)
        return max(scaled + self.fixed, scaled / 2)


@dataclass(frozen=True)
class _Table:
    """A latency table as a file holds it."""

    kind: str
    schema: int
    machine: Machine
    threads: int
    date: str
    keypoints: int
    correction: Correction
    unit_ms: dict[str, float]

    def __post_init__(self) -> None:
        if self.kind != KIND:
            raise ValueError(f"its kind is {brief(self.kind)}")
        if self.schema != SCHEMA:
            raise ValueError(f"its schema is {self.schema}, not {SCHEMA}")
        if not self.unit_ms or not all(math.isfinite(value) and value > 0 for value in self.unit_ms.values()):
            raise ValueError("it lists no times above 0")
        correction = self.correction
        if not (math.isfinite(correction.fixed) and math.isfinite(correction.scale) and correction.scale > 0):
            raise ValueError("its correction is no number")


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of layers by their key, measured on `machine` with `threads` for one crop."""

    machine: Machine
    threads: int
    date: str
    keypoints: int
    layer_ms: Mapping[str, float]
    correction: Correction = Correction()

    def layers_ms(self, plan: Plan) -> list[float]:
        """Milliseconds of each layer of a network; InputError for one that was not measured."""
        missing = self.lacking(plan)
        if missing:
            raise InputError(
                f"the latency table lacks a part of this network: {missing[0]}",
                f"measure its family with `{measuring(self.threads, plan.arch.family)}`; a search takes several tables",
            )
        return [self.layer_ms[layer_key(layer)] for layer in plan_layers(plan, self.keypoints)]

    def lacking(self, plan: Plan) -> list[str]:
        """The keys of a network's layers that were not measured."""
        return [key for layer in plan_layers(plan, self.keypoints) if (key := layer_key(layer)) not in self.layer_ms]

    @property
    def family(self) -> str:
        """The family of the named search space whose networks were measured; empty if they are of none of them."""
        covered = (name for name, space in SPACES.items() if not self.lacking(Plan(space.smallest)))
        return next(covered, "")

    def predict(self, plan: Plan) -> float:
        """Milliseconds of one position of a cycle for one crop; InputError if a part of it was not measured."""
        return self.correction.apply(self.layers_ms(plan))

    def check_machine(self, threads: int | None = None, machine: Machine | None = None) -> None:
        """InputError unless the table holds for this machine (or the given one) and, if told, so many threads."""
        here = _conditions(machine or this_machine(), threads or self.threads)
        differences = _differences(_conditions(self.machine, self.threads), here, "instead of")
        if differences:
            raise InputError(
                f"the latency table was measured elsewhere: {differences}",
                f"make one with `{measuring(threads or self.threads, self.family)}`",
            )

    def check_alike(self, other: LatencyTable) -> None:
        """InputError unless another table was measured on the same machine, in the same way."""
        own, others = (
            {**_conditions(table.machine, table.threads), "provider": table.machine.provider} for table in (self, other)
        )
        differences = _differences(own, others, "and")
        if differences:
            raise InputError(
                f"the latency tables were measured differently: {differences}",
                "measure all of them on this machine with the same --threads",
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` turns back into an equal table."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "machine": asdict(self.machine),
            "threads": self.threads,
            "date": self.date,
            "keypoints": self.keypoints,
            "correction": asdict(self.correction),
            "unit_ms": dict(self.layer_ms),
        }

    @staticmethod
    def from_json(data: object, origin: Path | str = "the document") -> LatencyTable:
        """The table of a JSON object; InputError tells what is wrong with it."""
        found = TABLES.convert(data, origin, _Table)
        return LatencyTable(found.machine, found.threads, found.date, found.keypoints, found.unit_ms, found.correction)

    @staticmethod
    def read(path: Path) -> LatencyTable:
        """The table of a file; InputError if it is missing, damaged or something else."""
        if not path.exists():
            raise InputError(f"the latency table {shown(path)} does not exist", MAKE_ONE)
        return LatencyTable.from_json(TABLES.read(path, dict[str, Any]), path)

    def write(self, path: Path) -> None:
        """Writes the table to a file that appears whole; OutputError if that is impossible."""
        make_parent(path)
        write_json(path, self.to_json())


@dataclass(frozen=True)
class LatencyTables:
    """At least one table, all measured alike: each tells the milliseconds of the networks of its own search space."""

    tables: tuple[LatencyTable, ...]

    def __post_init__(self) -> None:
        for table in self.tables[1:]:
            self.tables[0].check_alike(table)

    @staticmethod
    def read(paths: Sequence[Path]) -> LatencyTables:
        """The tables of files; InputError if one of them is no table, or if they were measured differently."""
        return LatencyTables(tuple(LatencyTable.read(path) for path in paths))

    @property
    def threads(self) -> int:
        """Threads per network, in all of the tables."""
        return self.tables[0].threads

    def check_machine(self, threads: int) -> None:
        """InputError unless the tables hold for this machine and so many threads."""
        self.tables[0].check_machine(threads)

    def predict(self, plan: Plan) -> float:
        """Milliseconds of one position of a cycle for one crop; InputError if no table has all parts of it."""
        # Networks of different families share parts but have corrections of their own, so that one table tells all.
        return min(self.tables, key=lambda table: len(table.lacking(plan))).predict(plan)


@dataclass(frozen=True)
class Agreement:
    """How well predicted milliseconds meet measured ones, network by network."""

    predicted: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """Prediction over measurement, less one."""
        return tuple(p / m - 1 for p, m in zip(self.predicted, self.measured, strict=True))

    @property
    def worst(self) -> float:
        """The largest relative error."""
        return max(abs(error) for error in self.errors)

    @property
    def mean_error(self) -> float:
        """The mean size of the relative errors."""
        return mean(abs(error) for error in self.errors)

    @property
    def r2(self) -> float:
        """The share of the measurements' variance that the predictions explain."""
        measured = np.array(self.measured)
        spread = float(((measured - measured.mean()) ** 2).sum())
        missed = float(((measured - np.array(self.predicted)) ** 2).sum())
        return 1 - missed / spread if spread else math.nan

    @property
    def spearman(self) -> float:
        """The correlation of the ranks."""
        if len(set(self.measured)) < 2 or len(set(self.predicted)) < 2:
            return math.nan
        # Slow to import, and wanted only where a table is checked.
        from scipy.stats import spearmanr

        return float(spearmanr(self.predicted, self.measured).statistic)


def fit_correction(layers_ms: Sequence[Sequence[float]], measured: Sequence[float]) -> Correction:
    """The correction with the smallest relative errors; nothing but the scale where there are fewer than 4 networks."""
    wanted = np.array(measured)
    columns = np.stack([np.array([sum(parts) for parts in layers_ms]), np.ones(len(wanted))], 1) / wanted[:, None]
    if len(wanted) >= 4:
        scale, fixed = _least_deviations(columns)
        if scale > 0:
            return Correction(float(scale), float(fixed))
    return Correction(float(_least_deviations(columns[:, :1])[0]))


def _least_deviations(columns: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Factors (C,) that bring the sum of columns (N, C) to 1, so that a few disturbed rows of N hardly matter."""
    weights = np.ones(len(columns))
    for _ in range(20):
        # Reweighted least squares: the squares of errors, each over its own size.
        root = np.sqrt(weights)
        found: NDArray[np.floating[Any]] = np.linalg.lstsq(columns * root[:, None], root, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(columns @ found - 1), 1e-3)
    return found
