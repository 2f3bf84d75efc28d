"""`vipnas models`: the options; the work is in models_job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.command import command


@dataclass(frozen=True)
class ModelsOptions:
    """Which pipelines to list."""

    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of pipelines instead of the bundled and cached ones.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print the list as one JSON document.")] = False


@command
def models(options: ModelsOptions) -> None:
    """List the pipelines at hand: what they cost, how fast they are on this machine, how good they are.

    Example: vipnas models
    """
    from vipnas_cli.cli.models_job import models_job

    models_job(options)
