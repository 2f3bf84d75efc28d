"""Options of `vipnas run` that say where results go, and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer


class Smooth(StrEnum):
    """Strength of the smoothing; auto leaves numbers raw and smooths pictures a little."""

    auto = "auto"
    off = "off"
    low = "low"
    high = "high"


@dataclass(frozen=True)
class OutputOptions:
    """Where results go."""

    out: Annotated[
        tuple[str, ...],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE|FOLDER/",
            help="Where results go, several allowed; the ending says what: .mp4 .mov .mkv draws the poses, "
            "and .jpg .png those of a picture; .csv "
            ".wide.csv .jsonl .parquet .json (COCO) .posetrack.json .openpose .trc .dlc.csv .dlc.h5 .mot.txt "
            ".angles.csv hold numbers; .html is a page with pictures and curves. KIND:NAME says it for any name "
            "(jsonl:-); - is CSV on stdout. {name} stands for the name of the input, as in 'out/{name}.csv', with its "
            "ending where another input of its folder has the same name. A folder gets NAME_pose.mp4 and "
            "NAME_pose.csv, as the current folder does without -o.",
            rich_help_panel="Output",
        ),
    ] = ()
    angles: Annotated[
        bool,
        typer.Option(
            "--angles",
            help="Also write a table of joint angles, NAME.angles.csv beside the first result.",
            rich_help_panel="Output",
        ),
    ] = False
    smooth: Annotated[
        Smooth,
        typer.Option(help="Smoothing in real seconds; auto: numbers raw, pictures low.", rich_help_panel="Output"),
    ] = Smooth.auto
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel="Output")
    ] = False
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Keep the sound in videos.", rich_help_panel="Output")
    ] = True
    steadiness: Annotated[
        bool,
        typer.Option(
            "--steadiness",
            help="Say how steady the numbers are: of 100 steps those with a jump or exchanged sides; acceleration.",
            rich_help_panel="Output",
        ),
    ] = False
