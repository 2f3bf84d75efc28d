"""The options of `vipnas export`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from vipnas_cli.errors import UsageError


class ExportFormat(StrEnum):
    """Kinds of network files."""

    onnx = "onnx"


@dataclass(frozen=True)
class ExportJobOptions:
    """What to export, and where it goes."""

    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR|FILE",
            help="A folder of pipelines to write or add to, or one file ending in .vipnas.",
            show_default=False,
            rich_help_panel="Output",
        ),
    ]
    networks: Annotated[
        tuple[str, ...],
        typer.Argument(
            metavar="[CHECKPOINT|SPEC]...",
            help="Checkpoints: the key network, then that of each follower (`cycle.safetensors:1,2,2` names followers "
            "of a trained cycle by place); or super-networks with --spec. The first may be a bundle, also an imported "
            "one, or an exported ONNX file: its key network is taken as it is. Or a preset or JSON file of an "
            "architecture or schedule: it is exported untrained, to be timed.",
            show_default=False,
        ),
    ] = ()
    spec: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The architecture or schedule (JSON) to take out of super-networks: one, or one (or a key network) "
            "for key frames and one for followers.",
            rich_help_panel="Networks",
        ),
    ] = None
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Pictures and labels that renew batch-norm statistics of networks out of super-networks.",
            rich_help_panel="Networks",
        ),
    ] = None
    detector: Annotated[
        Path | None, typer.Option(help="A checkpoint of the person detector.", rich_help_panel="Networks")
    ] = None
    threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Score from which the detector is believed.", rich_help_panel="Networks"),
    ] = 0.3
    verifier: Annotated[
        Path | None,
        typer.Option(help="A checkpoint of the verifier of the detector's boxes.", rich_help_panel="Networks"),
    ] = None
    verifier_threshold: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Score from which detector and verifier are believed.", rich_help_panel="Networks"
        ),
    ] = 0.4
    fp16_weights: Annotated[
        bool | None,
        typer.Option(
            "--fp16-weights/--fp32-weights",
            help="How weights are stored; arithmetic is fp32. Default: fp16, half the size, where points stay.",
            show_default=False,
            rich_help_panel="Files",
        ),
    ] = None
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="8-bit arithmetic, calibrated and judged on --calibrate; refused where it is slower or worse.",
            rich_help_panel="Files",
        ),
    ] = False
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="A COCO keypoint file, or a folder of such, for --int8.",
            show_default=False,
            rich_help_panel="Files",
        ),
    ] = None
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Give points and scores too, for other runtimes.", rich_help_panel="Files"),
    ] = False
    name: Annotated[
        str | None,
        typer.Option(
            help="The pipeline's name. Default: that of the first network.",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None
    score: Annotated[
        tuple[str, ...],
        typer.Option(
            metavar="NAME=NUMBER",
            help="A score to record; `selection` ranks pipelines.",
            rich_help_panel="Output",
        ),
    ] = ()
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="The kind of network file.", rich_help_panel="Files")
    ] = ExportFormat.onnx
    json: Annotated[
        bool, typer.Option("--json", help="Print what was written as one JSON document.", rich_help_panel="Output")
    ] = False

    @property
    def pipeline_name(self) -> str:
        """The name given, or that of the spec or of the first network."""
        return self.name or Path(self.spec or self.networks[0]).stem

    @property
    def weights(self) -> Literal["auto", "fp16", "fp32"]:
        """How weights are stored."""
        return "auto" if self.fp16_weights is None else "fp16" if self.fp16_weights else "fp32"

    @property
    def scores(self) -> dict[str, float]:
        """The scores to record, by name; UsageError for what is no number."""
        return dict(_score(text) for text in self.score)

    def check(self) -> None:
        """UsageError for options that contradict each other or say nothing together."""
        if self.int8 != (self.calibrate is not None):
            raise UsageError("--int8 and --calibrate go together", "name a COCO keypoint file with --calibrate")
        if self.int8 and self.fp16_weights is not None:
            raise UsageError("--int8 says already how weights are stored", "leave out --fp16-weights or --fp32-weights")
        if not self.networks and self.detector is None and self.verifier is None:
            raise UsageError(
                "there is nothing to export", "name checkpoints, a spec, or a detector with --detector, --verifier"
            )
        if (self.spec or self.data) and not self.networks:
            raise UsageError("--spec and --data go with super-networks, and none is named", "name its checkpoint")
        if self.data is not None and self.spec is None:
            raise UsageError("--data goes with --spec", "checkpoints of single networks need no data")
        _ = self.scores  # refuses what is no number before anything is read


def _score(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        score = float(value)
    except ValueError:
        score = math.nan
    if not key or not math.isfinite(score):
        raise UsageError(f"--score {text} is not NAME=NUMBER", "for example --score selection=61.5")
    return key, score
