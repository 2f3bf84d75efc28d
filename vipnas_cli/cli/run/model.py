"""Options of `vipnas run` that choose the networks and what they run on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.inference.threads import MOST_THREADS


class Provider(StrEnum):
    """What ONNX Runtime computes with."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    openvino = "openvino"
    coreml = "coreml"


@dataclass(frozen=True)
class ModelOptions:
    """Which pipeline runs, and on what."""

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
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE", help="A folder of pipelines or one exported network.", rich_help_panel="Model"
        ),
    ] = None
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_THREADS,
            help="Most threads per network, and people at the same time; 0: what `vipnas bench` found, and all cores.",
            rich_help_panel="Speed",
        ),
    ] = 0
    provider: Annotated[
        Provider,
        typer.Option(help="What the networks run on; auto: CUDA if there, else the CPU.", rich_help_panel="Speed"),
    ] = Provider.auto
