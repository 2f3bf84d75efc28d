"""The sinks of a run: what may be written where, and all outputs opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.reader import Pipeline, bundled_weights
from vipnas_cli.cli.run.command import RunOptions
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.files import check_outputs
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.pipeline import Outputs
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.media.inputs import FrameReader
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.writer import CONTAINERS, VideoWriter
from vipnas_cli.metrics.steadiness import SteadinessMeter
from vipnas_cli.report.sink import PageSink
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.kinds import KINDS, output_named
from vipnas_cli.results.sink import STDOUT, ResultSink
from vipnas_cli.tracking.smoothing import SMOOTHING_PRESETS, Smoother

PAGE = ".html"


def check_run_outputs(options: RunOptions) -> None:
    """OutputError before any work if a result cannot be written as named."""
    named = [(path, None if is_video(path) else output_named(path)) for path in options.outputs]
    for path, output in named:
        if output is None and not is_video(path) and not is_page(path):
            known = (*CONTAINERS, PAGE, *(kind.end for kind in KINDS))
            raise OutputError(f"{path} names no kind of result that is known", f"use one of {' '.join(known)}")
    on_stdout = sum(output is not None and output.path == STDOUT for _, output in named) + options.json
    if on_stdout > 1:
        both = "--json and -o -" if options.json else "two outputs"
        raise UsageError(f"{both} both want stdout", "give one of them a file")
    Painter(OnnxEstimator.skeleton, options.picture_style)
    files = [file for path, output in named for file in (output.files if output else (path,))]
    try:
        check_outputs(files, _inputs(options), options.overwrite)
    except OutputError as error:
        if "exists already" in error.what:
            raise OutputError(
                error.what, "choose another name with -o, allow it with --overwrite, or skip it with --skip-existing"
            ) from error
        raise


def is_video(path: Path) -> bool:
    """Whether a result is a video."""
    return path.suffix.lower() in CONTAINERS


def is_page(path: Path) -> bool:
    """Whether a result is a page about the run."""
    return path.suffix.lower() == PAGE


def _inputs(options: RunOptions) -> list[Path]:
    """The files that a run reads."""
    boxes = [] if options.boxes in (None, "whole") else [Path(str(options.boxes))]
    video = [options.video] if isinstance(options.video, Path) else []
    weights = options.weights or bundled_weights()
    return [*video, *boxes, weights, *(weights.iterdir() if weights.is_dir() else ())]


def open_outputs(options: RunOptions, reader: FrameReader, pipeline: Pipeline, stack: ExitStack) -> Outputs:
    """Opens all sinks; they are closed when the stack is left, also after an error."""
    skeleton = OnnxEstimator.skeleton
    info = reader.info
    header = ResultHeader(
        options.video.name, info.width, info.height, info.time_base, pipeline.name, options.smooth_numbers
    )
    numbers: list[ResultSink] = []
    pictures: list[ResultSink] = []
    for path in options.outputs:
        output = None if is_video(path) or is_page(path) else output_named(path)
        if is_page(path):
            numbers.append(stack.enter_context(_page(path, options, pipeline)))
        elif output is None:
            sound = reader.sound if options.audio and info.audio else None
            painter = Painter(skeleton, options.picture_style, _caption(pipeline, options.smooth_pictures))
            writer = VideoWriter(path, painter.info(info), sound, options.start, options.end)
            pictures.append(stack.enter_context(OverlaySink(writer, painter)))
        else:
            numbers.append(stack.enter_context(output.open(skeleton, header)))
    meter = SteadinessMeter(skeleton) if options.steadiness else None
    return Outputs(numbers, pictures, _smoother(options.smooth_numbers), _smoother(options.smooth_pictures), meter)


def _page(path: Path, options: RunOptions, pipeline: Pipeline) -> PageSink:
    settings = (("pipeline", pipeline.name), ("smoothing of the numbers", options.smooth_numbers))
    return PageSink(path, options.video.name, settings, Painter(OnnxEstimator.skeleton, options.picture_style))


def finish_pages(outputs: Outputs, summary: Mapping[str, Any]) -> None:
    """Writes the pages of a run that has ended, with its summary as --json prints it."""
    for sink in outputs.numbers:
        if isinstance(sink, PageSink):
            sink.finish(summary)


def _caption(pipeline: Pipeline, smoothing: str) -> Callable[[FrameResult], str]:
    """The line in the corner of each picture."""
    text = f"{pipeline.name}  {pipeline.macs_per_person_frame / 1e9:.2f} GFLOPs"
    text += "" if smoothing == "off" else f"  smoothed: {smoothing}"
    return lambda result: text + ("  key" if result.key else "")


def _smoother(name: str) -> Smoother | None:
    return None if name == "off" else Smoother(SMOOTHING_PRESETS[name])
