"""Options of `vipnas run` that say what is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class InputOptions:
    """What to read, and which part of it."""

    video: Annotated[Path, typer.Argument(metavar="INPUT", help="The video.", show_default=False)]
    start: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Begin at this second.", rich_help_panel="Input")
    ] = None
    end: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Stop at this second.", rich_help_panel="Input")
    ] = None
