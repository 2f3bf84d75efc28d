"""`vipnas export`: checkpoints to a folder of ONNX pipelines; needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.errors import UsageError, VipnasError


def export(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder of pipelines.", show_default=False)
    ],
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CHECKPOINT]...", help="The key network, then the network of each follower.", show_default=False
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The pipeline's name.", show_default=False)] = None,
    detector: Annotated[Path | None, typer.Option(help="A checkpoint of the person detector.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Score from which the detector is believed.")] = 0.3,
    score: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="A score to record; `selection` ranks pipelines.")
    ] = None,
) -> None:
    """Write a pipeline, or the detector, as ONNX files that `vipnas run --weights DIR` takes.

    Example: vipnas export key.safetensors f.safetensors f.safetensors --name mine -o pipelines
    """
    try:
        from vipnas_cli.bundle_writer import DetectorParts, PipelineParts, add_pipeline, set_detector
    except ImportError as error:
        raise VipnasError(f"exporting needs {error.name}", "pip install 'vipnas[train]'") from error
    if not checkpoints and detector is None:
        raise UsageError("there is nothing to export", "name checkpoints, or a detector with --detector")
    scores = dict(_score(text) for text in score or ())
    if detector is not None:
        set_detector(out, DetectorParts(detector, threshold, {} if checkpoints else scores))
    if checkpoints:
        if name is None:
            raise UsageError("the pipeline has no name", "give one with --name")
        add_pipeline(out, PipelineParts(name, tuple(checkpoints), scores))
    typer.echo(f"Written to {out}. Next: vipnas run clip.mp4 --weights {out}", err=True)


def _score(text: str) -> tuple[str, float]:
    key, _, value = text.partition("=")
    try:
        return key, float(value)
    except ValueError:
        raise UsageError(f"--score {text} is not NAME=NUMBER", "for example --score selection=61.5") from None
