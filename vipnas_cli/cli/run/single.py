"""One input through a pipeline: opened, streamed, written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from vipnas_cli.api import PoseTracker, read_video
from vipnas_cli.cli.console import Messages, frame_progress
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import make_folders
from vipnas_cli.cli.run.sinks import finish_pages, idle_options, open_outputs
from vipnas_cli.cli.run.summary import Made, RunReport, details, typed_words
from vipnas_cli.folders import remove
from vipnas_cli.inference.pipeline import AHEAD, Outputs, RunStatistics, process
from vipnas_cli.latency.choice import Choice, Workload, default_budget, stated_budget
from vipnas_cli.media.frames import VideoInfo
from vipnas_cli.media.live import LiveReader
from vipnas_cli.media.overlay import OverlaySink


def run_input(
    run: RunOptions,
    options: RunOptions,
    console: Messages,
    label: str = "frames",
    heard: Callable[[RunStatistics], None] = lambda _statistics: None,
) -> RunReport:
    """Runs one input of those that were typed; `label` stands before its progress, `heard` is called after each frame,
    too.

    With --skip-existing nothing stays of what is not done: it would be taken for done the next time.
    """
    with read_video(run.video, run.start, run.end, run.stride, run.picture_rate, run.live) as reader, _all_or_none(run):
        found = _tracker(run, reader.info)
        choice = found.choice
        # Before a file is begun.
        found.tracker.propagator.options.check((reader.info.height, reader.info.width))
        if not options.json:
            console.once(_introduction(run, choice, reader.info))
        for line in details(reader.info, found):
            console.detail(line)
        make_folders(run, options)
        # What is decoded ahead of a live stream is late already.
        ahead = 1 if isinstance(reader, LiveReader) else AHEAD
        statistics = RunStatistics()
        try:
            with ExitStack() as stack:
                outputs = open_outputs(run, reader, choice.pipeline, stack)
                with frame_progress(console, reader.info.frames, label, options.progress) as shown:
                    on_frame = _both(shown, heard)
                    statistics = process(reader, found.tracker.propagator, outputs, on_frame, reader.stop, ahead)
                if statistics.interrupted:
                    raise KeyboardInterrupt  # makes all outputs end here, the sound with the pictures
        except KeyboardInterrupt:
            # One that comes while results of all frames end costs some of them.
            if not statistics.frames or not statistics.interrupted or run.skip_existing:
                raise
        notes = (*reader.info.notes, *_sound_notes(outputs), *idle_options(run))
        budget = stated_budget(options.budget, options.weights)
        made = Made(reader.info, run, typed_words())
        report = RunReport(statistics, choice, found.tracker, run.outputs, reader.damaged, made, notes, budget)
        finish_pages(outputs, report.to_json())
        return report


@contextmanager
def _all_or_none(run: RunOptions) -> Iterator[None]:
    """With --skip-existing, removes whole results that are new where another one of the same run failed at its end."""
    new = [path for path in run.files if not path.exists()] if run.skip_existing else []
    try:
        yield
    except BaseException:
        for path in new:
            remove(path)
        raise


def _both(*listeners: Callable[[RunStatistics], None]) -> Callable[[RunStatistics], None]:
    def tell(statistics: RunStatistics) -> None:
        for listener in listeners:
            listener(statistics)

    return tell


def _sound_notes(outputs: Outputs) -> tuple[str, ...]:
    """What became of sound tracks that are in no output."""
    writers = [sink.writer for sink in outputs.pictures if isinstance(sink, OverlaySink)]
    return tuple(dict.fromkeys(note for writer in writers for note in writer.notes))


def _tracker(options: RunOptions, info: VideoInfo) -> PoseTracker:
    return PoseTracker(
        options.budget,
        weights=options.weights,
        boxes=options.boxes,
        max_people=options.max_people,
        person=options.person,
        region=options.roi,
        detector_size=options.detector_size,
        detect_every_s=options.detect_every_s,
        verify=options.verify,
        threads=options.threads,
        provider=options.provider,
        workload=Workload.of(info, options.video, options.start, options.stride, options.pictures),
    )


def _introduction(options: RunOptions, choice: Choice, info: VideoInfo) -> str:
    pipeline = choice.pipeline
    cost = f"{pipeline.macs_per_person_frame / 1e9:.3f} GFLOPs per person and frame"
    stated = options.budget or f"{default_budget(options.weights)} (default)"
    measured = f" ({choice.figure})" if choice.figure else ""
    note = f"\n{choice.note}" if choice.note else ""
    if choice.every_frame and info.frames != 1:
        note += "\nEvery frame is a key frame, as followers need less time between frames."
    if not pipeline.trained:
        note += "\nIts networks are untrained: its speed means something, its poses are noise."
    return f"Pipeline {pipeline.name}: {cost}, cycle of {len(pipeline.networks)}; budget {stated}{measured}{note}"
