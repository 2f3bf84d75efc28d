"""What `vipnas search` writes and tells: spec files of the front, a summary, the allocation over the cycle."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vipnas_cli.cli.console import command_line, print_json, result_console
from vipnas_cli.cli.search.options import SearchOptions
from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.files import make_folder, write_json
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.comparison import Checked, Entry, Level, levels_of
from vipnas_cli.search.setup import Files
from vipnas_cli.search.task import Outcome
from vipnas_cli.spec import ArchSpec, Budget, ImportedSpec, Plan
from vipnas_cli.spec.cost import plan_cost

SCHEMA = 1
# How a search names the schedules of its front.
SPEC_NAME = re.compile(r"\d{2,}-[0-9a-f]{12}\.json")


@dataclass(frozen=True)
class Compared:
    """A trained network on every frame, beside the search: macs and measured milliseconds of one crop."""

    name: str
    macs: int
    ms: float
    score: Score

    def cost(self, unit: str) -> float:
        """What it costs in a budget's unit."""
        return self.macs if unit == "macs" else self.ms


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search; `winner_ms` are measured at each position of the best schedule.

    `correlation` is the rank correlation of the predictor on held-out candidates. `at_equal_latency` is empty unless
    the search knows milliseconds. `checked` are the winners on clips that did not choose them, if asked for. `data` is
    the folder that the clips are from.
    """

    options: SearchOptions
    budget: Budget
    outcome: Outcome
    front: list[Evaluation]
    winner_ms: tuple[float, ...]
    at_equal_latency: tuple[Level, ...]
    compared: tuple[Compared, ...]
    checked: Checked | None
    correlation: float
    files: Files
    data: Path | None
    seconds: float

    @property
    def synthetic(self) -> bool:
        """Whether synthetic people scored it, for want of a data folder."""
        return self.data is None

    @property
    def winner(self) -> Evaluation:
        """The best schedule within the budget."""
        return self.front[-1]

    @property
    def at_equal_cost(self) -> tuple[Level, ...]:
        """What each method reached within shares of the budget."""
        return levels_of(self.outcome, self.budget.unit, self.budget.value)

    @property
    def unit(self) -> str:
        """Milliseconds or GFLOPs, as a budget states them."""
        return "GFLOPs" if self.budget.unit == "macs" else "ms"

    def amount(self, cost: float) -> float:
        """A cost in that unit."""
        return cost / 1e9 if self.budget.unit == "macs" else cost


def write_specs(folder: Path, result: SearchResult) -> None:
    """The schedules of the front, from cheap to dear, as files that `vipnas export --spec` takes.

    Those of an earlier front go; whatever else lies beside them stays.
    """
    pareto = folder / "pareto"
    make_folder(pareto)
    written = {spec_name(number, evaluation): evaluation for number, evaluation in enumerate(result.front, 1)}
    for name, evaluation in written.items():
        write_json(pareto / name, evaluation.schedule.to_json())
    for old in pareto.iterdir():
        if SPEC_NAME.fullmatch(old.name) and old.name not in written:
            old.unlink()


def spec_name(number: int, evaluation: Evaluation) -> str:
    """The file of a schedule of the front."""
    return f"{number:02d}-{evaluation.schedule.key}.json"


def document_of(result: SearchResult, problem: dict[str, Any], path: Path) -> dict[str, Any]:
    """Writes the summary and returns it."""
    winner = result.winner
    document = {
        "schema": SCHEMA,
        "problem": problem,
        "synthetic_clips": result.synthetic,
        "evaluations": {name: len(rows) for name, rows in result.outcome.found.items()},
        "scored_anew": len({e.schedule for rows in result.outcome.found.values() for e in rows}),
        "seconds": round(result.seconds, 1),
        "seconds_scoring": round(sum(e.seconds for rows in result.outcome.found.values() for e in rows), 1),
        "predictor_rank_correlation": None if math.isnan(result.correlation) else round(result.correlation, 3),
        "winner": _row(winner) | {"spec": f"pareto/{spec_name(len(result.front), winner)}"},
        "allocation": [
            _position(position, plan, ms, score)
            for position, (plan, ms, score) in enumerate(
                zip(winner.schedule.plans, result.winner_ms, winner.score.positions, strict=True)
            )
        ],
        "measured_ms": round(sum(result.winner_ms) / len(result.winner_ms), 3),
        "front": [_row(e) | {"spec": f"pareto/{spec_name(n, e)}"} for n, e in enumerate(result.front, 1)],
        "at_equal_cost": [
            {"cost": level.cost, **{name: e and e.evaluation.score.mean for name, e in level.entries.items()}}
            for level in result.at_equal_cost
        ],
        "at_equal_latency": [
            {"ms": level.cost, **{name: e and e.to_json() for name, e in level.entries.items()}}
            for level in result.at_equal_latency
        ],
        "checked": _checks(result),
        "compared": [{"name": c.name, "macs": c.macs, "ms": c.ms, "score": c.score.mean} for c in result.compared],
    }
    write_json(path, document)
    return document


def _checks(result: SearchResult) -> dict[str, Any] | None:
    checked = result.checked
    if checked is None:
        return None
    return {
        "clips": checked.about,
        "winner": checked.scores[result.winner.schedule].mean,
        "at_equal_cost": [
            {"cost": level.cost, **{name: checked.score(entry) for name, entry in level.entries.items()}}
            for level in result.at_equal_cost
        ],
    }


def _row(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "key": evaluation.schedule.key,
        "frames": len(evaluation.schedule),
        "macs": evaluation.macs,
        "ms": evaluation.ms,
        "score": evaluation.score.mean,
        "positions": list(evaluation.score.positions),
    }


def _position(position: int, plan: Plan, ms: float, score: float) -> dict[str, Any]:
    return {
        "position": position,
        "network": summary_of(plan.arch),
        "fusion": fusion_text(plan),
        "macs": plan_cost(plan).macs,
        "measured_ms": round(ms, 3),
        "score": score,
    }


def summary_of(arch: ArchSpec | ImportedSpec) -> str:
    """An architecture in one line, a network of others by its name."""
    if isinstance(arch, ImportedSpec):
        return f"{arch.height}×{arch.width}, {arch.name} (imported)"
    stages = arch.stages
    parts = [
        f"depth {_joined(s.depth for s in stages)}",
        f"width {_joined(s.width for s in stages)}",
        f"kernel {_joined(s.kernel for s in stages)}",
        f"expansion {_joined(s.expansion for s in stages)}",
        f"head {arch.head.width}",
    ]
    return f"{arch.height}×{arch.width}, " + ", ".join(parts)


def fusion_text(plan: Plan) -> str:
    """A fusion in one word."""
    return "–" if plan.fusion.operation == "none" else f"{plan.fusion.operation} F{plan.fusion.stage}"


def _joined(values: Iterable[int]) -> str:
    return "-".join(map(str, values))


def tell(result: SearchResult, document: dict[str, Any], options: SearchOptions, console: Console) -> None:
    """The allocation, the front and the comparison on stdout, or the summary as JSON; the next command on stderr."""
    if options.json:
        print_json(document)
        return
    out = result_console()
    winner = result.winner
    out.print(
        f"Best within {result.budget}: PCK@0.1 {winner.score.mean:.2f} at "
        f"{result.amount(winner.cost(result.budget.unit)):.4g} {result.unit} per person and frame, "
        f"measured {document['measured_ms']:.2f} ms; cycle of {len(winner.schedule)}."
    )
    out.print(_allocation(result))
    out.print(_front(result))
    if len(result.outcome.found) > 1 or result.compared:
        out.print(_comparison(result))
        if result.at_equal_latency:
            out.print(_latency_comparison(result))
    if result.checked is not None:
        out.print(_check_table(result, result.checked))
    correlation = document["predictor_rank_correlation"]
    if correlation is not None:
        out.print(f"Rank correlation of the predictor on held-out candidates: {correlation:.3f}.")
    evaluations = ", ".join(f"{name} {count}" for name, count in document["evaluations"].items())
    out.print(f"Candidates: {evaluations}; {result.seconds:.0f} s.")
    console.print(f"Written: {options.folder}.", highlight=False, soft_wrap=True)
    for line in next_steps(result):
        console.print(line, highlight=False, soft_wrap=True)


def next_steps(result: SearchResult) -> list[str]:
    """What to do next: the winner's networks as the super-networks have them, or trained on, which is better.

    Both need data: statistics that all networks of a super-network shared make poses worse than they need be.
    """
    options, files, winner = result.options, result.files, result.winner
    spec, pipelines = options.folder / "pareto" / spec_name(len(result.front), winner), options.folder / "pipelines"
    data: tuple[str | Path, ...] = ("--data", result.data or "DATA")
    end = ("--name", "searched", "-o", pipelines)
    steps = [f"Next, at once: {command_line('export', *dict.fromkeys(files.paths), '--spec', spec, *data, *end)}"]
    if len(winner.schedule) > 1 and files.followers is not None and not files.key_is_super_net:
        cycle = options.folder / "cycle.safetensors"
        start = ("--key", files.key, "--spec", spec, "--init", files.followers, "-o", cycle)
        steps += [
            f"Or, better by points and slower by hours: {command_line('train', 'cycle', *data, *start)}",
            f"  and then: {command_line('export', files.key, cycle, *end)}",
        ]
    if result.synthetic:
        steps.append("DATA: a folder of labelled pictures. This search had none, and synthetic people scored it.")
    return steps


def _allocation(result: SearchResult) -> Table:
    table = Table("frame", "network", "fusion", "MMACs", "share", "ms", "PCK@0.1", title="Allocation over the cycle")
    plans = result.winner.schedule.plans
    total = sum(plan_cost(plan).macs for plan in plans)
    for position, plan in enumerate(plans):
        macs = plan_cost(plan).macs
        table.add_row(
            "key" if position == 0 else f"+{position}",
            summary_of(plan.arch),
            fusion_text(plan),
            f"{macs / 1e6:.1f}",
            f"{macs / total:.0%}",
            f"{result.winner_ms[position]:.2f}",
            f"{result.winner.score.positions[position]:.1f}",
        )
    return table


def _front(result: SearchResult) -> Table:
    table = Table("file", result.unit, "PCK@0.1", "cycle", "fusions", title="Pareto front")
    rows = list(enumerate(result.front, 1))
    for number, evaluation in rows:
        table.add_row(
            spec_name(number, evaluation),
            f"{result.amount(evaluation.cost(result.budget.unit)):.4f}",
            f"{evaluation.score.mean:.2f}",
            str(len(evaluation.schedule)),
            " ".join(fusion_text(plan) for plan in evaluation.schedule.plans[1:]),
        )
    return table


def _comparison(result: SearchResult) -> Table:
    """Best scores within shares of the budget, by method, and trained networks on every frame."""
    heads = [f"≤ {result.amount(level.cost):.3g} {result.unit}" for level in result.at_equal_cost]
    table = Table("PCK@0.1", *heads, title="At equal cost")
    for name in result.outcome.found:
        table.add_row(name, *(_score(level.entries[name]) for level in result.at_equal_cost))
    for other in result.compared:
        cost = f"{result.amount(other.cost(result.budget.unit)):.3g} {result.unit}"
        table.add_row(f"{other.name} on every frame ({cost})", *[""] * (len(heads) - 1), f"{other.score.mean:.2f}")
    return table


def _latency_comparison(result: SearchResult) -> Table:
    """Best scores within shares of the winner's milliseconds, and in brackets what was measured."""
    heads = [f"≤ {level.cost:.3g} ms" for level in result.at_equal_latency]
    table = Table("PCK@0.1 (measured ms)", *heads, title="At equal latency")
    for name in result.outcome.found:
        table.add_row(name, *(_score(level.entries[name]) for level in result.at_equal_latency))
    for other in result.compared:
        row = f"{other.score.mean:.2f} ({other.ms:.2f})"
        table.add_row(f"{other.name} on every frame", *[""] * (len(heads) - 1), row)
    return table


def _check_table(result: SearchResult, checked: Checked) -> Table:
    """The same candidates as at equal cost, on clips that did not choose them."""
    heads = [f"≤ {result.amount(level.cost):.3g} {result.unit}" for level in result.at_equal_cost]
    table = Table("PCK@0.1", *heads, title=f"The same candidates on {checked.about} that chose none of them")
    for name in result.outcome.found:
        scores = [checked.score(level.entries[name]) for level in result.at_equal_cost]
        table.add_row(name, *("–" if score is None else f"{score:.2f}" for score in scores))
    return table


def _score(entry: Entry | None) -> str:
    if entry is None:
        return "–"
    measured = "" if entry.measured_ms is None else f" ({entry.measured_ms:.2f})"
    return f"{entry.evaluation.score.mean:.2f}{measured}"
