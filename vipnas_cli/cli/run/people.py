"""Options of `vipnas run` that say who is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from vipnas_cli.inference.bounds import LEAST_DETECTOR_SIZE, MAX_PEOPLE, MOST_DETECTOR_SIZE


@dataclass(frozen=True)
class PeopleOptions:
    """Where people are found, and which of them are followed."""

    boxes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|whole",
            help="Person boxes from a .csv, .json or MOT .txt file instead of the own detector; `whole` takes the "
            "frame as one person.",
            rich_help_panel="Input",
        ),
    ] = None
    detect_every_s: Annotated[
        float | None,
        typer.Option(
            "--detect-every",
            min=0,
            metavar="SECONDS",
            help="Shortest time between two looks for people, on key frames; a cut, a person lost or something new at "
            "the border asks at once. 0: on every key frame. Default: 0.25; in slow video, and while nothing is new, "
            "more, up to a second.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=LEAST_DETECTOR_SIZE,
            max=MOST_DETECTOR_SIZE,
            metavar="PIXELS",
            help="Longer side of the picture that the own detector sees: more finds smaller people and takes longer, "
            "with the square. Default: the detector's own, 416 for the bundled one.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Look again, closely, at each box that the own detector finds: more people, fewer mistakes. Default: "
            "with the bundled detector, not with an imported one.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    max_people: Annotated[
        int,
        typer.Option(
            min=1,
            help="At most so many people: whoever is followed stays so while there, newcomers come by how large and "
            "central they are.",
            rich_help_panel="Input",
        ),
    ] = MAX_PEOPLE
    person: Annotated[
        str | None,
        typer.Option(
            metavar="largest|central|X,Y|ID",
            help="Follow one person: the largest, the one nearest the centre, or the one at a point (pixels, or shares "
            "of the picture as 0.5,0.5); when lost, another is chosen so. A number: tell of this id only.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    roi: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Follow only people whose middle is in this rectangle, in pixels or shares of the picture as "
            "0.25,0,0.5,1.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
