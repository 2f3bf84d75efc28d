"""What `vipnas eval steadiness` does: runs clips as `vipnas run` would, and measures how steady their poses are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from vipnas_cli.api import PoseTracker, read_video
from vipnas_cli.cli.console import message_console, print_json, progress_bar, result_console
from vipnas_cli.cli.eval.options import SteadinessOptions
from vipnas_cli.cli.eval.report import SCHEMA, shown
from vipnas_cli.latency.choice import Workload
from vipnas_cli.metrics.steadiness import Steadiness, SteadinessMeter

COLUMNS = ("clip", "steps", "jump %", "spike %", "exchange %", "acceleration %")


@dataclass(frozen=True)
class _Measured:
    """How steady the poses of one video are, and the pipeline that made them."""

    pipeline: str
    steadiness: Steadiness


def steadiness_job(options: SteadinessOptions) -> None:
    """Measures each clip and prints one row for each; errors are those of `run`."""
    found = {clip: _measured(clip, options) for clip in options.clips}
    pipelines = list(dict.fromkeys(measured.pipeline for measured in found.values()))
    if options.json:
        clips = [
            {"clip": str(clip), "pipeline": measured.pipeline, **measured.steadiness.to_json()}
            for clip, measured in found.items()
        ]
        print_json({"schema": SCHEMA, "pipeline": pipelines[0], "smoothing": options.smooth, "clips": clips})
        return
    printer = result_console()
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "clip" else "right", no_wrap=True)
    for clip, measured in found.items():
        measures = measured.steadiness
        rates = (measures.jumps_per_100, measures.spikes_per_100, measures.exchanges_per_100, measures.acceleration)
        table.add_row(clip.name, str(measures.steps), *map(shown, rates))
    printer.print(table)
    if not options.quiet:
        printer.print(f"of the steps; pipeline {', '.join(pipelines)}, smoothing {options.smooth}")


def _measured(clip: Path, options: SteadinessOptions) -> _Measured:
    """The steadiness of the poses of one video."""
    with read_video(clip) as frames:
        tracker = PoseTracker(
            options.budget,
            weights=options.weights,
            smooth=options.smooth,
            threads=options.threads,
            provider=options.provider,
            workload=Workload(clip, None, pictures=False, frame_rate=float(frames.info.average_rate)),
        )
        meter = SteadinessMeter(tracker.tracker.propagator.estimator.skeleton)
        console = message_console(options.quiet or options.json)
        with progress_bar(console, clip.name, frames.info.frames) as bar:
            for index, frame in enumerate(frames):
                meter.add(index, tracker(frame.image, frame.time_s))
                bar.advance()
    return _Measured(tracker.choice.pipeline.name, meter.result)
