"""What `vipnas bench` does: measure, remember, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from vipnas_cli.bundle.pipelines import Bundle, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle, with_detector
from vipnas_cli.cli.bench import BenchOptions
from vipnas_cli.cli.bench_report import HALF_BUSY, BenchReport, print_bench, write_csv
from vipnas_cli.cli.console import message_console, per_network, print_json, result_console
from vipnas_cli.cli.example import example_clip
from vipnas_cli.errors import OutputError, UsageError
from vipnas_cli.files import check_outputs
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.threads import usable_cores
from vipnas_cli.latency.bench import Row, detector_rows, network_rows, run_rows, share_of_core, stage_rows
from vipnas_cli.latency.clock import pipeline_times, sample_frames
from vipnas_cli.latency.machine import (
    ByThreads,
    Measurements,
    PipelineTimes,
    load_measurements,
    measurements_file,
    pipeline_key,
    remember,
    this_machine,
)


def bench_job(options: BenchOptions) -> None:
    """Measures, remembers what `run` needs, prints; OutputError, after all is told, if nothing can be remembered."""
    if options.csv is not None:
        check_outputs([options.csv], overwrite=options.overwrite, tried=True)
    console = message_console(options.json)
    bundle = with_detector(open_bundle(options.weights or bundled_weights()))
    pipelines = _wanted(bundle, options.pipeline)
    share = share_of_core()
    rows, measured = _measure(options, bundle, pipelines, lambda text: console.print(text))
    share = min(share, share_of_core())
    machine = this_machine(options.provider)
    # What was measured beside other programs would mislead `run` for a long time.
    failure: OutputError | None = None
    if share >= HALF_BUSY:
        try:
            remember(measurements_file(), machine, measured)
        except OutputError as error:
            failure = error
    measurements = load_measurements(measurements_file(), machine)
    report = BenchReport(
        machine=machine,
        rows=tuple(rows),
        fastest=_fastest(measurements, bundle, pipelines),
        core_share=share,
        memory=measurements_file(),
        weights=options.weights,
        trained=all(pipeline.trained for pipeline in pipelines),
    )
    if options.csv is not None:
        write_csv(report, options.csv)
    if options.json:
        print_json(report.to_json())
    else:
        print_bench(report, result_console())
    if failure is not None:
        raise failure


def default_threads(cores: int) -> tuple[int, ...]:
    """Settings worth trying on a machine with so many cores: one, two, and what `run` takes unasked."""
    return tuple(sorted({1, min(2, cores), min(RuntimeOptions().resolved_threads, cores)}))


def _wanted(bundle: Bundle, name: str | None) -> tuple[Pipeline, ...]:
    """The pipelines to measure, from cheap to dear."""
    found = tuple(pipeline for pipeline in bundle.by_cost if name in (None, pipeline.name))
    if not found:
        known = ", ".join(pipeline.name for pipeline in bundle.by_cost)
        raise UsageError(f"there is no pipeline {name!r} in {bundle.folder}", f"known are {known}")
    return found


def _measure(
    options: BenchOptions, bundle: Bundle, pipelines: Sequence[Pipeline], tell: Callable[[str], None]
) -> tuple[list[Row], dict[str, ByThreads]]:
    """All rows, and for each pipeline's key its times by threads."""
    clip = options.clip or example_clip()
    info, frames, _ = sample_frames(clip)
    images, rate = [frame.image for frame in frames], float(info.average_rate)
    rows: list[Row] = []
    measured: dict[str, ByThreads] = {pipeline_key(pipeline, bundle.detector): {} for pipeline in pipelines}
    for threads in options.thread_counts or default_threads(usable_cores()):
        tell(f"Measuring with {per_network(threads)} …")
        runtime = RuntimeOptions(threads, options.provider)
        rows += network_rows(pipelines, runtime, options.seconds)
        if bundle.detector is not None:
            rows += detector_rows(bundle.detector, runtime, options.seconds)
        rows += stage_rows(clip, bundle.detector, pipelines[-1], runtime, options.seconds)
        runs = list(run_rows(bundle, pipelines, runtime, clip, options.seconds))
        for pipeline in pipelines:
            times = pipeline_times(pipeline, bundle.detector, runtime, images, frame_rate=rate)
            numbers, video = (_value(runs, f"{pipeline.name} {kind}") for kind in ("csv", "csv+video"))
            times = replace(times, numbers_fps=numbers, video_fps=video)
            measured[pipeline_key(pipeline, bundle.detector)][threads] = times
            rows += _pipeline_rows(pipeline.name, threads, times)
        rows += runs
    return rows, measured


def _pipeline_rows(name: str, threads: int, times: PipelineTimes) -> Iterator[Row]:
    """The networks alone, and everything that inference does with a frame."""
    for what, value in (("networks", times.network_ms), ("whole step", times.step_ms)):
        yield Row("pipeline", f"{name} {what}", threads, 1, "ms", value, value, value)


def _value(rows: Sequence[Row], name: str) -> float:
    return next(row.value for row in rows if row.name == name)


def _fastest(measurements: Measurements, bundle: Bundle, pipelines: Sequence[Pipeline]) -> dict[str, int]:
    """The fastest thread setting of each pipeline that is known now."""
    found = {
        pipeline.name: measurements.fastest_threads(pipeline_key(pipeline, bundle.detector), pictures=False)
        for pipeline in pipelines
    }
    return {name: threads for name, threads in found.items() if threads is not None}
