"""The options of `vipnas search`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.errors import UsageError
from vipnas_cli.inference.threads import MOST_THREADS

LONGEST_CYCLE = 16
CYCLE = "4"


class Mode(StrEnum):
    """What is searched: the key network, the followers of a fixed key network, or both."""

    spatial = "spatial"
    temporal = "temporal"
    joint = "joint"


class SearchMethod(StrEnum):
    """How candidates are chosen."""

    evolution = "evolution"
    random = "random"


class Dimension(StrEnum):
    """What may be elastic in a stage."""

    width = "width"
    depth = "depth"
    kernel = "kernel"
    groups = "groups"
    attention = "attention"


@dataclass(frozen=True)
class SearchOptions:
    """What to search for, and how."""

    mode: Annotated[
        Mode, typer.Argument(help="The key network, the followers of a fixed key network, or both together.")
    ] = Mode.temporal
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="N|A..B",
            help="Length of the cycle, one key frame and N − 1 followers; a range leaves it to the search.",
            rich_help_panel="Search",
            show_default=CYCLE,
        ),
    ] = None
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            "-b",
            metavar="0.2GFLOPs|4ms",
            help="Mean cost per person and frame over the cycle. FLOPs are multiply-adds.",
            rich_help_panel="Search",
        ),
    ] = "0.2GFLOPs"
    evaluations: Annotated[
        int, typer.Option("--evaluations", "-n", min=1, help="Candidates to score.", rich_help_panel="Search")
    ] = 144
    alike: Annotated[
        bool,
        typer.Option(
            "--alike",
            help="One network for all followers: fewer weights to train and to ship.",
            rich_help_panel="Search",
        ),
    ] = False
    without: Annotated[
        tuple[Dimension, ...],
        typer.Option(
            help="Leave a dimension out: groups and attention are off then, the others at their largest; may be "
            "repeated.",
            rich_help_panel="Search",
        ),
    ] = ()
    method: Annotated[SearchMethod, typer.Option(help="How candidates are chosen.", rich_help_panel="Search")] = (
        SearchMethod.evolution
    )
    predictor: Annotated[
        bool,
        typer.Option(help="Score only children that a fitted model favours.", rich_help_panel="Search"),
    ] = True
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also run random search and the best uniform allocation, each with as many evaluations.",
            rich_help_panel="Search",
        ),
    ] = False
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.", rich_help_panel="Search")] = 0
    weights: Annotated[
        tuple[Path, ...],
        typer.Option(
            metavar="FILE",
            help="A super-network; twice for joint: the spatial and the temporal one. Default: the bundled ones.",
            rich_help_panel="Networks",
        ),
    ] = ()
    space: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="The family of key networks to search in, such as pyramid, where several super-networks are at hand.",
            rich_help_panel="Networks",
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The fixed key network of temporal: a checkpoint, an ONNX file, or a bundle, also an imported one. "
            "Default: the bundled one.",
            rich_help_panel="Networks",
        ),
    ] = None
    compare: Annotated[
        tuple[Path, ...],
        typer.Option(
            metavar="FILE",
            help="A trained network to score on every frame beside the search; may be repeated.",
            rich_help_panel="Networks",
        ),
    ] = ()
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="VIPNAS_DATA",
            metavar="DIR",
            help="Labelled stills and clips. Without it (and without `data` in the configuration file) synthetic "
            "clips are made.",
            rich_help_panel="Scores",
            show_default=False,
        ),
    ] = None
    clips: Annotated[int, typer.Option(min=1, help="Clips that score a candidate.", rich_help_panel="Scores")] = 96
    check_clips: Annotated[
        int,
        typer.Option(
            min=0,
            help="Score the winners again on so many other clips: those that chose them flatter them.",
            rich_help_panel="Scores",
        ),
    ] = 0
    latency_table: Annotated[
        tuple[Path, ...],
        typer.Option(
            metavar="FILE",
            help="Milliseconds from `vipnas latency-table`; repeated where key networks and followers of two families "
            "are searched. A fixed key network is measured here.",
            rich_help_panel="Latency",
        ),
    ] = ()
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure the milliseconds of each candidate here; so it is for a budget in ms without a table.",
            rich_help_panel="Latency",
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="The folder to write. Default: search-MODE-FRAMES.",
            rich_help_panel="Output",
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where the search in --out stopped; one that measures milliseconds goes on only on the same "
            "machine with the same --threads.",
            rich_help_panel="Output",
        ),
    ] = False
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_THREADS,
            help="Processes that score candidates; 0 takes one per core.",
            rich_help_panel="Speed",
        ),
    ] = 0
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            max=MOST_THREADS,
            help="Threads of each process, and of networks whose time is measured. Scores differ in the last digits "
            "with other numbers.",
            rich_help_panel="Speed",
        ),
    ] = 1
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel="Output")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The result only.", rich_help_panel="Output")] = False

    @property
    def cycle(self) -> str:
        """Length of the cycle as typed, or its default."""
        return CYCLE if self.frames is None else self.frames

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths of the cycle that the search may choose; one frame for the key network alone."""
        if self.mode == "spatial":
            return (1,)
        found = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", self.cycle)
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else 0
        if not 2 <= first <= last <= LONGEST_CYCLE:
            raise UsageError(
                f"--frames {self.cycle} is no length of a cycle", f"for example 4 or 2..8, at most {LONGEST_CYCLE}"
            )
        return tuple(range(first, last + 1))

    @property
    def folder(self) -> Path:
        """Where the search writes."""
        frames = "" if self.mode == "spatial" else f"-{self.cycle.replace('..', '-')}"
        return self.out or Path(f"search-{self.mode}{frames}")
