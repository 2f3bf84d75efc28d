"""The options of `vipnas report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class ReportOptions:
    """What a page is made of, and where it goes."""

    results: Annotated[
        tuple[Path, ...],
        typer.Argument(
            metavar="RESULT...",
            help="Poses that `run` wrote; for pictures, with their videos, photos or folders of frames; what `run "
            "--json` printed, for times, settings and the number of frames. A video beside its results is found by "
            "itself; KIND:NAME says the kind of a result.",
            show_default=False,
        ),
    ]
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The page. Default: RESULT.html in the current folder."),
    ] = None
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Show frames of the video.")] = True
    blur_faces: Annotated[
        bool,
        typer.Option(
            "--blur-faces",
            help="Make faces in the pictures unrecognisable, of all people in the results: those whom a run with "
            "--person, --roi or --max-people left out stay visible.",
        ),
    ] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page that exists.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False
