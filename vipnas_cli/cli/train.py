"""`vipnas train`: the options; the work is in train_job, which loads torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A bundled recipe (key-128, key-256, followers-128, detector) or a .toml file.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(envvar="VIPNAS_DATA", help="The folder that the recipe's paths start from.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The checkpoint to write.", show_default=False)],
    init: Annotated[Path | None, typer.Option(help="A checkpoint whose fitting weights are the start.")] = None,
    key: Annotated[Path | None, typer.Option(help="The frozen key network, for followers.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where --out stopped.")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; the schedule stays the recipe's.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Threads of torch; 0 leaves its choice.")] = 0,
    compile_: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the network first.")] = True,
    cache: Annotated[Path, typer.Option(help="Where decoded images are kept.")] = Path("cache"),
) -> None:
    """Train a network from a recipe; Ctrl-C saves first, --resume goes on.

    Example: vipnas train key-128 --data DATA --out key.safetensors
    """
    from vipnas_cli.cli.train_job import TrainOptions, train_job

    train_job(TrainOptions(recipe, data, out, init, key, resume, steps, threads, compile_, cache))
