"""The options of the commands that have few: `data check`, `config show`, `models`, `info` and `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


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


@dataclass(frozen=True)
class ModelsOptions:
    """Which pipelines to list."""

    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of pipelines instead of the bundled and cached ones.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print the list as one JSON document.")] = False


@dataclass(frozen=True)
class InfoOptions:
    """What to describe."""

    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|DIR", help="The file or folder; KIND:NAME says the kind of a result.", show_default=False
        ),
    ]
    json: Annotated[bool, typer.Option("--json", help="Print the facts as one JSON document.")] = False


@dataclass(frozen=True)
class ConfigOptions:
    """How settings are told."""

    origin: Annotated[bool, typer.Option("--origin", help="Also tell the file or variable of each.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print them as one JSON document.")] = False


@dataclass(frozen=True)
class DoctorOptions:
    """How findings are told."""

    json: Annotated[bool, typer.Option("--json", help="Print all findings as one JSON document.")] = False
