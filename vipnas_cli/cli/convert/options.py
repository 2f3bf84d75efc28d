"""The options of `vipnas convert`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class ConvertOptions:
    """What is read, and what it becomes."""

    poses: Annotated[
        str,
        typer.Argument(
            metavar="POSES",
            help="A file that `run` wrote: .csv .wide.csv .jsonl .json .posetrack.json or .parquet.",
            show_default=False,
        ),
    ]
    out: Annotated[
        tuple[str, ...],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="What it becomes, several allowed, named as for `run`: .csv .wide.csv .angles.csv .dlc.csv .dlc.h5 "
            ".jsonl .json .posetrack.json .openpose .trc .parquet .mot.txt; KIND:NAME says the kind for any name, "
            "jsonl:- writes to stdout. {name} stands for the name of POSES without its ending, and a folder gets "
            "NAME.csv.",
        ),
    ]
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not say what a kind cannot hold.")] = False
