"""Facts about what `vipnas search` writes: its log, its summary, the times that it measured; torch is not needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from vipnas_cli.cli.console import command_line
from vipnas_cli.cli.info_texts import Description, describe_results, plain
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind
from vipnas_cli.errors import InputError
from vipnas_cli.files import inside, shown
from vipnas_cli.spec import Budget

SEARCHES = DocumentKind("what a search wrote", InputError, "use one that `vipnas search` wrote", LARGEST_LABELS)
SUMMARY = "summary.json"
# What tells a summary from other documents.
SUMMARY_ENTRIES = frozenset({"problem", "winner", "front"})


class _Problem(TypedDict):
    """What was searched for, as far as it is read."""

    mode: str
    frames: str
    budget: str
    method: str
    predictor: bool
    seed: int


class _Head(TypedDict):
    """The first line of a log."""

    problem: _Problem


class _Candidate(TypedDict):
    """Every other line of a log, as far as it is read."""

    method: str
    macs: float
    ms: float | None
    score: float


class _Found(TypedDict):
    """A schedule of the front, as far as it is read."""

    macs: float
    ms: float | None
    score: float
    spec: str


class _Summary(TypedDict):
    """A summary, as far as it is read."""

    problem: _Problem
    synthetic_clips: bool
    evaluations: dict[str, int]
    winner: _Found
    front: list[_Found]


class _Measured(TypedDict):
    """A line of measured times, as far as it is read."""

    ms: float


def describe_lines(path: Path) -> Description:
    """The facts of JSON Lines: the log or the measured times of a search, or else poses that `run` wrote."""
    first = _first_entries(path)
    if "problem" in first:
        return _log(path)
    if first == {"plan", "ms"}:
        rows = SEARCHES.read_lines(path, _Measured)
        return Description("times of networks that a search measured", {"networks": len(rows)})
    return describe_results(path)


def describe_summary(path: Path, data: dict[str, Any]) -> Description:
    """The facts of a search that is done, and how its winner is exported."""
    found = SEARCHES.convert(data, path, _Summary)
    problem, winner = found["problem"], found["winner"]
    with SEARCHES.told(path):
        unit = Budget.parse(problem["budget"]).unit
        facts = {
            **_about(problem),
            "candidates": _counts(found["evaluations"]),
            "scored on": "synthetic people" if found["synthetic_clips"] else "labelled clips",
            "best": _place(winner, unit),
            "front": [f"{_place(row, unit)}, {shown(row['spec'])}" for row in found["front"]],
        }
        spec = inside(path.parent, winner["spec"])
    networks = ("KEY",) if problem["mode"] == "spatial" else ("KEY", "FOLLOWERS")
    end = ("--data", "DATA", "--name", "searched", "-o", path.parent / "pipelines")
    return Description("summary of a search", facts, command_line("export", *networks, "--spec", spec, *end))


def _log(path: Path) -> Description:
    """The facts of a log, which may still grow."""
    with SEARCHES.told(path):
        lines = SEARCHES.read_lines(path, dict[str, Any])
        if not lines:
            raise ValueError("its first line is cut off")
        problem = SEARCHES.convert(lines[0], path, _Head)["problem"]
        rows = [SEARCHES.convert(line, path, _Candidate) for line in lines[1:]]
        budget = Budget.parse(problem["budget"])
        # Presets are scored beside a search, also those that cost more.
        affordable = [row for row in rows if _cost(row, budget.unit) <= budget.value]
        best = max(affordable, key=lambda row: row["score"], default=None)
        facts = {
            **_about(problem),
            "candidates": _counts(Counter(row["method"] for row in rows)),
            "best": best and _place(best, budget.unit),
        }
        return Description("log of a search: its candidates in their order", facts, _after_log(path, problem))


def _after_log(path: Path, problem: _Problem) -> str:
    """The summary if the search came to its end, else how it goes on."""
    summary = path.with_name(SUMMARY)
    if summary.is_file():
        return command_line("info", summary)
    frames = () if problem["mode"] == "spatial" else ("--frames", problem["frames"])
    more = () if problem["predictor"] else ("--no-predictor",)
    words = (problem["mode"], *frames, "--budget", problem["budget"], "--method", problem["method"], *more)
    end = ("--seed", str(problem["seed"]), "--out", path.parent, "--resume")
    return f"{command_line('search', *words, *end)}, with the other options that it had"


def _first_entries(path: Path) -> set[str]:
    """The names of the entries of the first line, none if it is no object."""
    first = SEARCHES.read_bytes(path).split(b"\n", 1)[0]
    try:
        found = SEARCHES.parse_any(first, path)
    except InputError:
        return set()
    return set(found) if isinstance(found, dict) else set()


def _about(problem: _Problem) -> dict[str, Any]:
    cycle = "" if problem["mode"] == "spatial" else f", cycle of {problem['frames']} frames"
    return {
        "searched": plain(f"{problem['mode']}{cycle}"),
        "budget": plain(problem["budget"]),
        "method": plain(problem["method"]),
        "seed": plain(problem["seed"]),
    }


def _counts(candidates: Mapping[str, int]) -> list[str]:
    """How many candidates each method scored."""
    return [f"{shown(name)}: {count}" for name, count in candidates.items()] or ["none yet"]


def _cost(row: _Candidate | _Found, unit: str) -> float:
    """What a candidate costs in the budget's unit; ValueError for one without milliseconds where those count."""
    value = row["ms"] if unit == "ms" else row["macs"]
    if value is None:
        raise ValueError("a candidate of a budget in ms has none")
    return value


def _place(row: _Candidate | _Found, unit: str) -> str:
    """Cost and score in a line."""
    cost = _cost(row, unit)
    return f"PCK@0.1 {row['score']:.4g} at {f'{cost:.4g} ms' if unit == 'ms' else f'{cost / 1e9:.4g} GFLOPs'}"
