"""The commands of few options, `data check`, `config show`, `models`, `info` and `doctor`; their work is in *_job."""

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


config_app = typer.Typer(no_args_is_help=True, help="What is set by configuration files and the environment.")


@dataclass(frozen=True)
class ConfigOptions:
    """How settings are told."""

    origin: Annotated[bool, typer.Option("--origin", help="Also tell the file or variable of each.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print them as one JSON document.")] = False


@config_app.command()
@command
def show(options: ConfigOptions) -> None:
    """List what files and the environment set; all else is as --help of each command says.

    Example: vipnas config show --origin
    """
    from vipnas_cli.cli.config_job import config_job

    config_job(options)


@dataclass(frozen=True)
class DoctorOptions:
    """How findings are told."""

    json: Annotated[bool, typer.Option("--json", help="Print all findings as one JSON document.")] = False


@command
def doctor(options: DoctorOptions) -> None:
    """Check that everything vipnas needs is there and works; exit code 1 if something does not.

    Example: vipnas doctor
    """
    from vipnas_cli.cli.doctor_job import doctor_job

    raise typer.Exit(doctor_job(options))
