"""The sinks of a run: what may be written where, and all outputs opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from vipnas_cli.bundle.reader import Pipeline
from vipnas_cli.cli.run.command import RunOptions
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.files import check_outputs
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.pipeline import Outputs
from vipnas_cli.media.coco_results import CocoSink
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.media.inputs import FrameReader
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.results import CsvSink, JsonlSink, ResultHeader, ResultSink
from vipnas_cli.media.writer import CONTAINERS, VideoWriter
from vipnas_cli.metrics.steadiness import SteadinessMeter
from vipnas_cli.tracking.smoothing import SMOOTHING_PRESETS, Smoother

STDOUT = Path("-")
# What holds numbers, by the end of its name.
TABLES: dict[str, type[CsvSink | JsonlSink | CocoSink]] = {".csv": CsvSink, ".jsonl": JsonlSink, ".json": CocoSink}


def check_run_outputs(options: RunOptions) -> None:
    """OutputError before any work if a result cannot be written as named."""
    known = (*CONTAINERS, *TABLES)
    for path in options.outputs:
        if path != STDOUT and path.suffix.lower() not in known:
            raise OutputError(f"{path} names no kind of result that is known", f"use one of {' '.join(known)}")
    if options.json and STDOUT in options.outputs:
        raise UsageError("--json and -o - both want stdout", "give one of them a file")
    Painter(OnnxEstimator.skeleton, options.picture_style)
    files = [path for path in options.outputs if path != STDOUT]
    try:
        check_outputs(files, _inputs(options), options.overwrite)
    except OutputError as error:
        if "exists already" in error.what:
            raise OutputError(
                error.what, "choose another name with -o, allow it with --overwrite, or skip it with --skip-existing"
            ) from error
        raise


def _inputs(options: RunOptions) -> list[Path]:
    """The files that a run reads."""
    if options.boxes is None or options.boxes == "whole":
        return [options.video]
    return [options.video, Path(options.boxes)]


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
        suffix = path.suffix.lower()
        if suffix in CONTAINERS:
            sound = reader.sound if options.audio and info.audio else None
            painter = Painter(skeleton, options.picture_style, _caption(pipeline, options.smooth_pictures))
            writer = VideoWriter(path, painter.info(info), sound, options.start, options.end)
            sink = OverlaySink(writer, painter)
            pictures.append(stack.enter_context(sink))
        else:
            name = "-" if path == STDOUT else path
            table = TABLES.get(suffix, CsvSink)(name, skeleton, header)
            stack.enter_context(table)
            numbers.append(table)
    meter = SteadinessMeter(skeleton) if options.steadiness else None
    return Outputs(numbers, pictures, _smoother(options.smooth_numbers), _smoother(options.smooth_pictures), meter)


def _caption(pipeline: Pipeline, smoothing: str) -> Callable[[FrameResult], str]:
    """The line in the corner of each picture."""
    text = f"{pipeline.name}  {pipeline.macs_per_person_frame / 1e9:.2f} GFLOPs"
    text += "" if smoothing == "off" else f"  smoothed: {smoothing}"
    return lambda result: text + ("  key" if result.key else "")


def _smoother(name: str) -> Smoother | None:
    return None if name == "off" else Smoother(SMOOTHING_PRESETS[name])
