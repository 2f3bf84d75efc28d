"""The sinks of a run: what may be written where, and all outputs opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from vipnas_cli.bundle.pipelines import Pipeline
from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.errors import OutputError, UsageError, VipnasError
from vipnas_cli.files import check_outputs, shown
from vipnas_cli.inference.onnx import OnnxEstimator
from vipnas_cli.inference.pipeline import Outputs
from vipnas_cli.media.frames import FrameResult, VideoInfo
from vipnas_cli.media.inputs import FrameReader
from vipnas_cli.media.overlay import OverlaySink
from vipnas_cli.media.painter import Painter
from vipnas_cli.media.picture_writer import STILLS, PictureWriter
from vipnas_cli.media.pictures import PictureReader
from vipnas_cli.media.writer import CONTAINERS, VideoWriter
from vipnas_cli.metrics.steadiness import SteadinessMeter
from vipnas_cli.report.sink import PageSink
from vipnas_cli.results.facts import ResultHeader
from vipnas_cli.results.kinds import KINDS, check_stdout, output_named
from vipnas_cli.results.sink import ResultFile, ResultSink
from vipnas_cli.tracking.smoothing import SMOOTHING_PRESETS, Smoother

PAGE = ".html"


def check_run_outputs(options: RunOptions) -> None:
    """OutputError before any work if a result cannot be written as named."""
    known = (*CONTAINERS, *sorted(STILLS), PAGE, *(kind.end for kind in KINDS))
    named = {text: output_named(text) for text in options.out if not is_drawn(text) and not is_page(text)}
    for text, output in named.items():
        if output is None:
            raise UsageError(f"{shown(text)} names no kind of result that is known", f"use one of {' '.join(known)}")
        output.kind.check()
    check_stdout([output for output in named.values() if output], options.json)
    Painter(OnnxEstimator.skeleton, options.picture_style)
    try:
        check_outputs(options.files, _inputs(options), options.overwrite)
    except OutputError as error:
        if "exists already" in error.what:
            raise OutputError(
                error.what, "choose another name with -o, allow it with --overwrite, or skip it with --skip-existing"
            ) from error
        raise


def is_drawn(text: str) -> bool:
    """Whether a result is a video or a picture."""
    return Path(text).suffix.lower() in {*CONTAINERS, *STILLS}


def is_page(text: str) -> bool:
    """Whether a result is a page about the run."""
    return Path(text).suffix.lower() == PAGE


def shows_pictures(options: RunOptions) -> bool:
    """Whether a result shows frames of the video."""
    return any(is_drawn(text) or is_page(text) for text in options.out)


def idle_options(options: RunOptions) -> tuple[str, ...]:
    """A note on options for pictures, if none are written."""
    if not options.typed or shows_pictures(options):
        return ()
    verb = "change" if len(options.typed) > 1 else "changes"
    return (f"no pictures are written: {', '.join(options.typed)} {verb} nothing",)


def _inputs(options: RunOptions) -> list[Path]:
    """The files that a run reads."""
    boxes = [] if options.boxes in (None, "whole") else [Path(str(options.boxes))]
    video = [options.video] if isinstance(options.video, Path) else []
    weights = options.weights or bundled_weights()
    return [*video, *boxes, weights, *(weights.iterdir() if weights.is_dir() else ())]


def open_outputs(options: RunOptions, reader: FrameReader, pipeline: Pipeline, stack: ExitStack) -> Outputs:
    """Opens all sinks; they are closed when the stack is left, also after an error unless it is --skip-existing."""
    skeleton = OnnxEstimator.skeleton
    info = reader.info
    # A name that is no text would be none in a document either.
    source = shown(options.video.name)
    size = info.width, info.height
    about = source, *size, info.time_base, pipeline.name, options.smooth_numbers, options.stride
    header = ResultHeader(*about, dict(enumerate(reader.names)) if isinstance(reader, PictureReader) else {})
    numbers: list[ResultSink] = []
    pictures: list[ResultSink] = []
    for text in options.out:
        output = None if is_drawn(text) or is_page(text) else output_named(text)
        if is_page(text):
            page = _page(Path(text), options, pipeline)
            # An error makes it write what there is.
            numbers.append(page if options.skip_existing else stack.enter_context(page))
        elif output is None:
            painter = Painter(skeleton, options.picture_style, _caption(pipeline, options.smooth_pictures))
            writer = _writer(text, painter.info(info), options, reader)
            pictures.append(overlay := OverlaySink(writer, painter))
            stack.enter_context(_ended(overlay, options))
        else:
            numbers.append(file := output.open(skeleton, header))
            stack.enter_context(_ended(file, options))
    meter = SteadinessMeter(skeleton) if options.steadiness else None
    smoothers = _smoother(options.smooth_numbers), _smoother(options.smooth_pictures)
    return Outputs(numbers, pictures, *smoothers, meter, options.stride)


def _ended(sink: ResultFile | OverlaySink, options: RunOptions) -> AbstractContextManager[object]:
    """What ends a sink: with --skip-existing what is not whole must never have its name, however the run ends."""
    return _whole_or_none(sink) if options.skip_existing else sink


@contextmanager
def _whole_or_none(sink: ResultFile | OverlaySink) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(VipnasError):  # the exception on its way says what went wrong first
            sink.abandon()
        raise
    sink.close()


def _writer(text: str, info: VideoInfo, options: RunOptions, reader: FrameReader) -> VideoWriter | PictureWriter:
    """What takes the painted frames."""
    if Path(text).suffix.lower() in STILLS:
        return PictureWriter(text, info)
    sound = reader.sound if options.audio and info.audio else None
    return VideoWriter(text, info, sound, options.start, options.end, drawn=True)


def _page(path: Path, options: RunOptions, pipeline: Pipeline) -> PageSink:
    settings = (("pipeline", pipeline.name), ("smoothing of the numbers", options.smooth_numbers))
    return PageSink(path, shown(options.video.name), settings, Painter(OnnxEstimator.skeleton, options.picture_style))


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
