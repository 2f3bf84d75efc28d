"""The options of `vipnas latency-table`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.inference.threads import MOST_THREADS


class Space(StrEnum):
    """The named search spaces."""

    fast = "fast"
    pyramid = "pyramid"
    mobilenetv3 = "mobilenetv3"
    resnet = "resnet"


@dataclass(frozen=True)
class LatencyTableOptions:
    """What to measure, and where the table goes."""

    space: Annotated[
        Space, typer.Option(help="The search space whose networks the table covers; --table knows its own.")
    ] = Space.fast
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The table. [default: in the user's cache folder]"),
    ] = None
    threads: Annotated[
        int, typer.Option(min=1, max=MOST_THREADS, help="Threads per network; --table knows its own.")
    ] = 1
    check: Annotated[
        int, typer.Option(min=0, metavar="N", help="Measure so many random networks whole and compare; 0 for none.")
    ] = 0
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only check this table (with --check); none is made.")
    ] = None
    seed: Annotated[int, typer.Option(help="Draws the networks that are measured whole.")] = 0
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False

    @property
    def path(self) -> Path:
        """Where the table is, or will be."""
        from vipnas_cli.latency.machine import cache_folder

        name = f"latency-{self.space}-{self.threads}.json"
        return self.table or self.out or cache_folder() / name
