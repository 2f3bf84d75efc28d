"""The options of `vipnas train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.inference.threads import MOST_THREADS


@dataclass(frozen=True)
class TrainOptions:
    """What to train, from what, on what."""

    recipe: Annotated[
        str | None,
        typer.Argument(help="A bundled recipe or a .toml file; without it the recipes are listed.", show_default=False),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="VIPNAS_DATA",
            help="The folder that the recipe's paths start from; without it a short rehearsal on synthetic people.",
            show_default=False,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The checkpoint to write, a .safetensors.", show_default="RECIPE.safetensors"),
    ] = None
    init: Annotated[
        tuple[Path, ...],
        typer.Option(help="A checkpoint whose fitting weights are the start; of several the later ones win."),
    ] = ()
    key: Annotated[
        tuple[Path, ...],
        typer.Option(
            help="The frozen key network, for followers: a checkpoint, an ONNX file, or a bundle, also an imported "
            "one; may be repeated, then every clip has one of them."
        ),
    ] = ()
    teacher: Annotated[
        tuple[Path, ...],
        typer.Option(
            help="A frozen network whose heatmaps a key network learns besides the labels, such as a larger one or "
            "itself as it was: as --key; of several the mean."
        ),
    ] = ()
    detector: Annotated[
        Path | None,
        typer.Option(help="The detector whose boxes a verifier judges, a checkpoint. Default: the bundled one's."),
    ] = None
    spec: Annotated[Path | None, typer.Option(help="A searched schedule whose networks are trained.")] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on where --out stopped.")] = False
    steps: Annotated[int | None, typer.Option(min=1, help="Stop at this step; the schedule stays the recipe's.")] = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto"
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="Threads of torch; 0 leaves its choice.")] = 0
    compile: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the network first.")] = True
    cache: Annotated[Path, typer.Option(help="Where decoded images are kept.")] = Path("cache")
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for TensorBoard to read.")] = None
