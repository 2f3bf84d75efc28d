"""Options of `vipnas run` that say what is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from vipnas_cli.errors import UsageError
from vipnas_cli.media.address import Origin, origin_of

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


def seconds_of(text: str) -> float:
    """Seconds of a time as people write it: 90, 1.5, 1:30 or 0:01:30; UsageError for anything else."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no time", "write seconds, m:ss or h:mm:ss, as in 90, 1:30 or 0:01:30.5")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


@dataclass(frozen=True)
class Shard:
    """One of several parts of a list: every `count`-th entry, beginning with number `part`, from 1."""

    part: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard for "3/16"; UsageError for anything else."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        shard = Shard(int(found[1]), int(found[2])) if found else Shard(0)
        if not 1 <= shard.part <= shard.count:
            raise UsageError(f"--shard {text} is no part of a whole", "for example 3/16; parts count from 1")
        return shard


@dataclass(frozen=True)
class InputOptions:
    """What to read, and which part of it."""

    inputs: Annotated[
        tuple[str, ...],
        typer.Argument(
            metavar="INPUT",
            help="Videos and pictures: files, folders, patterns such as 'clips/**/*.mp4', - for stdin, 0 for the first "
            "camera, URLs (rtsp, rtmp, srt, udp, tcp, http). A folder stands for the videos in and below it; pictures "
            "that lie in one folder are the frames of one video.",
            show_default=False,
        ),
    ]
    start: Annotated[
        float | None,
        typer.Option(
            parser=seconds_of, metavar="TIME", help="Begin here: 90, 1:30 or 0:01:30.", rich_help_panel="Input"
        ),
    ] = None
    end: Annotated[
        float | None, typer.Option(parser=seconds_of, metavar="TIME", help="Stop here.", rich_help_panel="Input")
    ] = None
    stride: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Take every N-th frame; frames keep their numbers.", rich_help_panel="Input"
        ),
    ] = 1
    picture_rate: Annotated[
        float,
        typer.Option(metavar="FPS", help="How many pictures of a folder make a second.", rich_help_panel="Input"),
    ] = 25.0
    live: Annotated[
        bool | None,
        typer.Option(
            "--live/--no-live",
            help="Pictures that come too fast are left out, and a connection that breaks is made again. Default: so it "
            "is for cameras and streams, not for http and pipes.",
            rich_help_panel="Input",
            show_default=False,
        ),
    ] = None
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=64, help="Inputs at a time.", rich_help_panel="Several inputs")
    ] = 1
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Leave out inputs that have all their results; what is interrupted or fails leaves none.",
            rich_help_panel="Several inputs",
        ),
    ] = False
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Take the I-th of N equal parts of the inputs, for array jobs on many machines.",
            rich_help_panel="Several inputs",
        ),
    ] = None

    @property
    def video(self) -> Origin:
        """What one run reads."""
        return origin_of(self.inputs[0])
