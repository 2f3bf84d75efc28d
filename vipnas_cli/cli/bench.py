"""The options of `vipnas bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.run.model import Provider
from vipnas_cli.errors import UsageError
from vipnas_cli.inference.threads import MOST_THREADS


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and where figures go."""

    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Measure this pipeline only.", show_default=False)
    ] = None
    threads: Annotated[
        str | None,
        typer.Option(metavar="1,2", help="Most threads per network to try. Default: one, two, and what run takes."),
    ] = None
    provider: Annotated[Provider, typer.Option(help="What the networks run on; auto: CUDA if there, else the CPU.")] = (
        Provider.auto
    )
    seconds: Annotated[float, typer.Option(min=0.01, help="How long each single measurement lasts.")] = 1.0
    weights: Annotated[Path | None, typer.Option(metavar="DIR", help="A folder of pipelines.")] = None
    clip: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A video for the whole runs instead of the bundled one.")
    ] = None
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures to this table.")] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a table that exists.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print all figures as one JSON document.")] = False

    @property
    def thread_counts(self) -> tuple[int, ...]:
        """Thread settings as typed, each once; () for those that `bench` chooses."""
        if self.threads is None:
            return ()
        try:
            found = tuple(dict.fromkeys(int(part) for part in self.threads.split(",")))
        except ValueError:
            found = (0,)
        if min(found) < 1 or max(found) > MOST_THREADS:
            what = f"--threads {self.threads[:60]} is no list of numbers from 1 to {MOST_THREADS}"
            raise UsageError(what, "for example --threads 1,2")
        return found
