"""`vipnas info`: the options; the work is in info_job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.command import command


@dataclass(frozen=True)
class InfoOptions:
    """What to describe."""

    path: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="The file or folder.", show_default=False)]
    json: Annotated[bool, typer.Option("--json", help="Print the facts as one JSON document.")] = False


@command
def info(options: InfoOptions) -> None:
    """Say what a file is: pipelines, a network, a checkpoint, a recipe, a specification, results, or a video.

    Example: vipnas info key-256.safetensors
    """
    from vipnas_cli.cli.info_job import info_job

    info_job(options)
