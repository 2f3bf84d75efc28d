"""`vipnas convert`: the options; the work is in job, which loads the heavy libraries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from vipnas_cli.cli.command import command


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
            "jsonl:- writes to stdout.",
        ),
    ]
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not say what a kind cannot hold.")] = False


@command
def convert(options: ConvertOptions) -> None:
    """Turn poses of `run` into other kinds of files; what a kind cannot hold is told.

    Example: vipnas convert clip.jsonl -o clip.trc -o clip.dlc.csv
    """
    from vipnas_cli.cli.convert.job import convert_job

    convert_job(options)
