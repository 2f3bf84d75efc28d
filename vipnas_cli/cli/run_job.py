"""What `vipnas run` does: choose a pipeline, open input and outputs, stream the frames, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from vipnas_cli.api import PoseTracker, read_video
from vipnas_cli.bundle.reader import Pipeline
from vipnas_cli.cli.console import frame_progress, message_console
from vipnas_cli.cli.run import RunOptions
from vipnas_cli.cli.run_report import RunReport, print_report
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.files import check_outputs
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.pipeline import Outputs, RunStatistics, process
from vipnas_cli.latency.choice import Choice, Workload, default_budget
from vipnas_cli.media.audio import left_out
from vipnas_cli.media.coco_results import CocoSink
from vipnas_cli.media.frames import FrameResult
from vipnas_cli.media.reader import VideoReader
from vipnas_cli.media.results import CsvSink, JsonlSink, OverlaySink, ResultHeader, ResultSink
from vipnas_cli.media.writer import CONTAINERS, VideoWriter
from vipnas_cli.tracking.smoothing import SMOOTHING_PRESETS, Smoother

DAMAGED, INTERRUPTED = 5, 130
STDOUT = Path("-")
# What holds numbers, by the end of its name.
TABLES: dict[str, type[CsvSink | JsonlSink | CocoSink]] = {".csv": CsvSink, ".jsonl": JsonlSink, ".json": CocoSink}


def run_job(options: RunOptions) -> int:
    """Runs a video through a pipeline; returns the exit code."""
    console = message_console(options.quiet)
    _check_outputs(options)
    _check_boxes(options)
    with read_video(options.video, options.start, options.end) as reader:
        found = _tracker(options)
        choice = found.choice
        if not options.quiet and not options.json:
            console.print(_introduction(options, choice))
        statistics = RunStatistics()
        try:
            with ExitStack() as stack:
                outputs = _open_outputs(options, reader, choice.pipeline, stack)
                with frame_progress(console, reader.info.frames) as on_frame:
                    statistics = process(reader, found.tracker.propagator, outputs, on_frame, reader.stop)
                if statistics.interrupted:
                    raise KeyboardInterrupt  # makes all outputs end here, the sound with the pictures
        except KeyboardInterrupt:
            if not statistics.frames:
                raise
        notes = (*reader.info.notes, *_sound_notes(options, outputs))
        report = RunReport(statistics, choice, found.tracker, options.outputs, reader.damaged, notes)
    _tell(options, report, console)
    if statistics.interrupted:
        return INTERRUPTED
    return DAMAGED if reader.damaged else 0


def _sound_notes(options: RunOptions, outputs: Outputs) -> tuple[str, ...]:
    """What became of sound tracks that are in no output."""
    writers = [sink.writer for sink in outputs.pictures if isinstance(sink, OverlaySink)]
    return tuple(dict.fromkeys(note for writer in writers for note in left_out(writer.audio, options.video)))


def _check_outputs(options: RunOptions) -> None:
    """OutputError before any work if a result cannot be written as named."""
    known = (*CONTAINERS, *TABLES)
    for path in options.outputs:
        if path != STDOUT and path.suffix.lower() not in known:
            raise OutputError(f"{path} names no kind of result that is known", f"use one of {' '.join(known)}")
    if options.json and STDOUT in options.outputs:
        raise UsageError("--json and -o - both want stdout", "give one of them a file")
    files = [path for path in options.outputs if path != STDOUT]
    try:
        check_outputs(files, _inputs(options), options.overwrite)
    except OutputError as error:
        if "exists already" in error.what:
            raise OutputError(error.what, "choose another name with -o, or allow it with --overwrite") from error
        raise


def _inputs(options: RunOptions) -> list[Path]:
    """The files that a run reads."""
    if options.boxes is None or options.boxes == "whole":
        return [options.video]
    return [options.video, Path(options.boxes)]


def _check_boxes(options: RunOptions) -> None:
    """Options of the detector make no sense without it."""
    own = {"--detector-size": options.detector_size, "--detect-every": options.detect_every_s}
    for name, value in own.items():
        if options.boxes is not None and value is not None:
            raise UsageError(f"{name} has no use with --boxes, which replaces the detector", "leave one of them out")


def _tracker(options: RunOptions) -> PoseTracker:
    return PoseTracker(
        options.budget,
        weights=options.weights,
        boxes=options.boxes,
        max_people=options.max_people,
        detector_size=options.detector_size,
        detect_every_s=options.detect_every_s,
        verify=options.verify,
        threads=options.threads,
        provider=options.provider,
        workload=Workload(options.video, options.start, options.pictures),
    )


def _open_outputs(options: RunOptions, reader: VideoReader, pipeline: Pipeline, stack: ExitStack) -> Outputs:
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
            audio = options.video if options.audio and info.audio else None
            writer = VideoWriter(path, info, audio, options.start, options.end)
            sink = OverlaySink(writer, skeleton, caption=_caption(pipeline, options.smooth_pictures))
            pictures.append(stack.enter_context(sink))
        else:
            name = "-" if path == STDOUT else path
            table = TABLES.get(suffix, CsvSink)(name, skeleton, header)
            stack.enter_context(table)
            numbers.append(table)
    return Outputs(numbers, pictures, _smoother(options.smooth_numbers), _smoother(options.smooth_pictures))


def _caption(pipeline: Pipeline, smoothing: str) -> Callable[[FrameResult], str]:
    """The line in the corner of each picture."""
    text = f"{pipeline.name}  {pipeline.macs_per_person_frame / 1e9:.2f} GFLOPs"
    text += "" if smoothing == "off" else f"  smoothed: {smoothing}"
    return lambda result: text + ("  key" if result.key else "")


def _smoother(name: str) -> Smoother | None:
    return None if name == "off" else Smoother(SMOOTHING_PRESETS[name])


def _introduction(options: RunOptions, choice: Choice) -> str:
    pipeline = choice.pipeline
    cost = f"{pipeline.macs_per_person_frame / 1e9:.3f} GFLOPs per person and frame"
    stated = options.budget or f"{default_budget(options.weights)} (default)"
    measured = f" ({choice.figure})" if choice.figure else ""
    note = f"\n{choice.note}" if choice.note else ""
    return f"Pipeline {pipeline.name}: {cost}, cycle of {len(pipeline.networks)}; budget {stated}{measured}{note}"


def _tell(options: RunOptions, report: RunReport, console: Console) -> None:
    if options.json:
        print(json.dumps(report.to_json(), indent=2))
    elif not options.quiet:
        print_report(report, console)
