"""What `vipnas export` does: find the networks, write them if they pass, say what each costs and how it compares."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.bundle.pipelines import Pipeline
from vipnas_cli.bundle.reader import open_bundle
from vipnas_cli.cli.console import command_line, message_console, naming, plural
from vipnas_cli.cli.export import ExportJobOptions
from vipnas_cli.export.bundle_writer import (
    DetectorParts,
    PipelineParts,
    VerifierParts,
    add_pipeline,
    set_detector,
    set_verifier,
)
from vipnas_cli.export.int8 import calibration_people
from vipnas_cli.export.networks import PLAIN, Exported, ExportOptions
from vipnas_cli.export.sources import Cycle, find_networks
from vipnas_cli.nets.checkpoints import load_detector, load_verifier
from vipnas_cli.onnx.parity import OUTPUT_TOLERANCE, POINT_TOLERANCE
from vipnas_cli.spec import Schedule

SCHEMA = 1


def export_job(options: ExportJobOptions) -> None:
    """Writes a pipeline, a detector and its verifier, as far as they are named."""
    options.check()
    console = message_console()
    # Read before anything is written, so that a wrong file leaves nothing behind.
    cycle = find_networks(options.networks, options.spec, options.data) if options.networks else None
    _check_files(options, cycle)
    settings = _export_options(options) if cycle else PLAIN
    for warning in cycle.warnings if cycle else ():
        console.print(f"Warning: {warning}", style="yellow")
    with bundle_folder(options.out) as folder:
        written = _write(folder, options, cycle, settings)
    pipeline = None
    if cycle:
        pipeline = next(p for p in open_bundle(options.out).pipelines if p.name == options.pipeline_name)
    if options.json:
        print(json.dumps(_document(options, pipeline, written), indent=2))
    else:
        _tell(options, pipeline, written, console)


def _check_files(options: ExportJobOptions, cycle: Cycle | None) -> None:
    """WeightsError or SpecError for networks that are not what they are named for."""
    if options.detector is not None:
        load_detector(options.detector)
    if options.verifier is not None:
        load_verifier(options.verifier)
    if cycle:
        Schedule(tuple(source.plan for source in cycle.sources))


def _write(
    folder: Path, options: ExportJobOptions, cycle: Cycle | None, settings: ExportOptions
) -> tuple[Exported, ...]:
    given = options.scores
    written: tuple[Exported, ...] = ()
    if options.detector is not None:
        parts = DetectorParts(options.detector, options.threshold, {} if cycle else given)
        written += (set_detector(folder, parts, options.weights),)
    if options.verifier is not None:
        found = VerifierParts(options.verifier, options.verifier_threshold, {} if cycle or options.detector else given)
        written += (set_verifier(folder, found, options.weights),)
    if cycle:
        pipeline = PipelineParts(options.pipeline_name, cycle.sources, {**cycle.scores, **given})
        written += add_pipeline(folder, pipeline, settings)
    return written


def _export_options(options: ExportJobOptions) -> ExportOptions:
    if options.calibrate is None:
        return ExportOptions(options.weights, options.decode)
    return ExportOptions("int8", options.decode, calibration_people(options.calibrate))


def _document(options: ExportJobOptions, pipeline: Pipeline | None, written: tuple[Exported, ...]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "out": str(options.out),
        "pipeline": pipeline.name if pipeline else None,
        "macs_per_person_frame": round(pipeline.macs_per_person_frame) if pipeline else None,
        "scores": pipeline.scores if pipeline else {},
        "files": [
            {
                "file": file.path.name,
                "bytes": file.size,
                "sha256": file.sha256,
                "weights": file.weights,
                "parity": asdict(file.parity),
                "rounding": asdict(file.rounding),
                "ms": asdict(file.speed),
                "int8": asdict(file.int8) if file.int8 else None,
            }
            for file in written
        ],
    }


def _tell(
    options: ExportJobOptions, pipeline: Pipeline | None, written: tuple[Exported, ...], console: Console
) -> None:
    for file in written:
        console.print(f"{file.path.name}: {file.size / 1e6:.2f} MB, {file.weights} weights")
        for line in _figures(file):
            console.print(f"  {line}")
    if pipeline is None:
        console.print(f"Written to {options.out}. Next: add a pipeline to it")
        return
    networks = len(dict.fromkeys(pipeline.networks))
    known = networks - len({network.path.name for network in pipeline.networks} & {file.path.name for file in written})
    if known:
        stay = "was there already and stays" if known == 1 else "were there already and stay"
        console.print(f"{plural(known, 'network')} of it {stay} as before")
    console.print(
        f"Pipeline {pipeline.name}: cycle of {len(pipeline.networks)}, {plural(networks, 'network')}, "
        f"{pipeline.macs_per_person_frame / 1e9:.3f} GFLOPs per person and frame",
    )
    budget = f"{pipeline.least_gflops}GFLOPs"
    weights = naming(options.out)
    run = ("run", "clip.mp4", *weights, "--budget", budget) if pipeline.trained else ("bench", *weights)
    console.print(f"Written to {options.out}. Next: {command_line(*run)}", soft_wrap=True)


def _figures(file: Exported) -> list[str]:
    """How a file compares with torch, line by line."""
    parity, speed = file.parity, file.speed
    places = f", {parity.compared} points to {parity.places:.1g} px" if parity.compared else ""
    lines = [
        f"torch's outputs to {parity.outputs:.1g} (allowed {OUTPUT_TOLERANCE:g}){places}",
        f"one thread, one crop: {speed.onnx_ms:.1f} ms, torch {speed.torch_ms:.1f} ms",
    ]
    if file.rounding.compared:
        moved = f"fp16 weights move 19 of 20 points by less than {file.rounding.usually:.2g} px"
        kept = "" if file.weights == "fp16" else f", more than {POINT_TOLERANCE:g}: fp32 it is"
        lines.insert(1, moved + kept)
    if file.int8:
        found = file.int8
        lines.append(
            f"8 bits: PCK@0.1 {found.pck_int8:.1f} after {found.pck_fp32:.1f} on {found.people} people, "
            f"{found.ms_int8:.1f} ms after {found.ms_fp32:.1f} ms"
        )
    return lines
