"""`vipnas run`: the options; the work is in run_job, which loads the heavy libraries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.command import command


class Smooth(StrEnum):
    """Strength of the smoothing; auto leaves numbers raw and smooths pictures a little."""

    auto = "auto"
    off = "off"
    low = "low"
    high = "high"


class Provider(StrEnum):
    """What ONNX Runtime computes with."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    openvino = "openvino"
    coreml = "coreml"


@dataclass(frozen=True)
class RunOptions:
    """What to run, and where results go."""

    video: Annotated[Path, typer.Argument(metavar="INPUT", help="The video.", show_default=False)]
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            "-b",
            metavar="0.5GFLOPs|12ms|60fps",
            help="Mean cost per person and frame over a cycle. FLOPs are multiply-accumulates, as pose papers print "
            "them; ms are measured on this machine. fps: the whole run with one person. Default: 0.2GFLOPs.",
            rich_help_panel="Model",
        ),
    ] = None
    out: Annotated[
        tuple[Path, ...],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where results go, several allowed: .mp4 .mov .mkv draws the poses; .csv, .jsonl and .json (COCO "
            "keypoints) hold the numbers; - writes CSV to stdout. Default: INPUT_pose.mp4 and INPUT_pose.csv in the "
            "current folder.",
            rich_help_panel="Output",
        ),
    ] = ()
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE", help="A folder of pipelines or one exported network.", rich_help_panel="Model"
        ),
    ] = None
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
            "the border asks at once. 0: on every key frame. Default: 0.25.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            metavar="PIXELS",
            help="Longer side of the picture that the own detector sees: more finds smaller people and takes longer, "
            "with the square. Default: the detector's own, 416 for the bundled one.",
            show_default=False,
            rich_help_panel="Input",
        ),
    ] = None
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Look again, closely, at each box that the own detector finds: more people, fewer mistakes.",
            rich_help_panel="Input",
        ),
    ] = True
    max_people: Annotated[int, typer.Option(min=1, help="At most so many people.", rich_help_panel="Input")] = 20
    smooth: Annotated[
        Smooth,
        typer.Option(help="Smoothing in real seconds; auto: numbers raw, pictures low.", rich_help_panel="Output"),
    ] = Smooth.auto
    threads: Annotated[
        int,
        typer.Option(
            min=0, help="Threads of the networks; 0 takes what `vipnas bench` found.", rich_help_panel="Speed"
        ),
    ] = 0
    provider: Annotated[
        Provider,
        typer.Option(help="What the networks run on; auto: CUDA if there, else the CPU.", rich_help_panel="Speed"),
    ] = Provider.auto
    start: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Begin at this second.", rich_help_panel="Input")
    ] = None
    end: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Stop at this second.", rich_help_panel="Input")
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel="Output")
    ] = False
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Keep the sound in videos.", rich_help_panel="Output")
    ] = True
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one JSON document.", rich_help_panel="Output")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.", rich_help_panel="Output")] = (
        False
    )

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where results go; by default a video and a table named after the input, in the current folder."""
        stem = self.video.stem
        return self.out or (Path(f"{stem}_pose.mp4"), Path(f"{stem}_pose.csv"))

    @property
    def pictures(self) -> bool:
        """Whether a video is written."""
        from vipnas_cli.media.writer import CONTAINERS

        return any(path.suffix.lower() in CONTAINERS for path in self.outputs)

    @property
    def smooth_numbers(self) -> str:
        """The smoothing of the numbers."""
        return "off" if self.smooth == "auto" else self.smooth

    @property
    def smooth_pictures(self) -> str:
        """The smoothing of the pictures."""
        return "low" if self.smooth == "auto" else self.smooth


@command
def run(options: RunOptions) -> None:
    """Find the poses of all people in a video, at a compute budget.

    Example: vipnas run clip.mp4 --budget 0.5GFLOPs -o out.mp4 -o out.csv
    """
    from vipnas_cli.cli.run_job import run_job

    raise typer.Exit(run_job(options))
