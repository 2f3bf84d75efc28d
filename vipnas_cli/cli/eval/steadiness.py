"""What `vipnas eval steadiness` does: runs clips as `vipnas run` would, and measures how steady their poses are."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from vipnas_cli.api import PoseTracker, read_video
from vipnas_cli.cli.console import message_console, print_json, progress_bar, result_console
from vipnas_cli.cli.eval.options import SteadinessOptions
from vipnas_cli.cli.eval.report import SCHEMA, shown
from vipnas_cli.metrics.steadiness import Steadiness, SteadinessMeter

COLUMNS = ("clip", "steps", "jumps / 100", "spikes / 100", "exchanges / 100", "acceleration %")


def steadiness_job(options: SteadinessOptions) -> None:
    """Measures each clip and prints one row for each; errors are those of `run`."""
    tracker = PoseTracker(
        options.budget,
        weights=options.weights,
        smooth=options.smooth,
        threads=options.threads,
        provider=options.provider,
    )
    found = {clip: _measured(tracker, clip, options) for clip in options.clips}
    pipeline = tracker.choice.pipeline.name
    if options.json:
        clips = [{"clip": str(clip), **measures.to_json()} for clip, measures in found.items()]
        print_json({"schema": SCHEMA, "pipeline": pipeline, "smoothing": options.smooth, "clips": clips})
        return
    printer = result_console()
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "clip" else "right", no_wrap=True)
    for clip, measures in found.items():
        rates = (measures.jumps_per_100, measures.spikes_per_100, measures.exchanges_per_100, measures.acceleration)
        table.add_row(clip.name, str(measures.steps), *map(shown, rates))
    printer.print(table)
    if not options.quiet:
        printer.print(f"pipeline {pipeline}, smoothing {options.smooth}")


def _measured(tracker: PoseTracker, clip: Path, options: SteadinessOptions) -> Steadiness:
    """The steadiness of the poses of one video."""
    meter = SteadinessMeter(tracker.tracker.propagator.estimator.skeleton)
    tracker.reset()
    with read_video(clip) as frames:
        console = message_console(options.quiet or options.json)
        with progress_bar(console, clip.name, frames.info.frames) as bar:
            for index, frame in enumerate(frames):
                meter.add(index, tracker(frame.image, frame.time_s))
                bar.advance()
    return meter.result
