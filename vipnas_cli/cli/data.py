"""`vipnas data`: the options of its commands; the work is in data_check_job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.command import command

data_app = typer.Typer(no_args_is_help=True, help="Look through labelled data before training or scoring with it.")


@dataclass(frozen=True)
class CheckOptions:
    """What to look through."""

    path: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|FILE", help="A COCO keypoint file, a PoseTrack18 file, or a folder with annotations/."
        ),
    ]
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Read every picture, too.")] = True
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False


@data_app.command()
@command
def check(options: CheckOptions) -> None:
    """Find unreadable pictures and impossible labels, with their ids; exit code 3 if there are any.

    Example: vipnas data check coco/annotations/person_keypoints_val2017.json
    """
    from vipnas_cli.cli.data_check_job import check_job

    check_job(options)
