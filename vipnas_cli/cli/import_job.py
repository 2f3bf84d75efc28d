"""What `vipnas import` does: understand a pose network, a detector, or both, write the bundle, tell what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vipnas_cli.bundle.pipelines import Pipeline
from vipnas_cli.cli.console import command_line, message_console, naming, print_json, result_console
from vipnas_cli.cli.import_authors import print_preset, read_authors
from vipnas_cli.cli.import_network import ImportOptions
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import check_outputs
from vipnas_cli.foreign.around import Normalisation
from vipnas_cli.foreign.authors import SUFFIX
from vipnas_cli.foreign.authors_importer import ImportedPreset
from vipnas_cli.foreign.conventions import Given
from vipnas_cli.foreign.detector_importer import (
    ForeignDetector,
    about_detector,
    add_detector,
    bundled_with,
    read_detector,
)
from vipnas_cli.foreign.detector_trials import DetectorGiven
from vipnas_cli.foreign.importer import SYNTHETIC, Imported, Origin, about_imported, import_network


def import_job(options: ImportOptions) -> None:
    """Imports what is named, and prints how it was read and what it costs."""
    options.check()
    _ = options.crop, options.scaling
    if options.into is None:
        check_outputs([options.bundle], [p for p in (options.file, options.detector) if p], options.overwrite)
    elif not options.into.exists():
        raise WeightsError(f"{options.into} does not exist", "name a bundle, or a new one with --out")
    console, printer = message_console(options.json), result_console()
    detector = _detector(options, console)
    imported: Imported | ImportedPreset | None = None
    if options.file is not None:
        imported = _network(options.file, options, console)
    if detector is not None:
        place = add_detector if imported is not None or options.into is not None else bundled_with
        place(detector, options.bundle)
    if options.json:
        print_json(_document(imported, detector))
        return
    if isinstance(imported, ImportedPreset):
        print_preset(imported, options, printer)
    elif imported is not None:
        _print_network(imported, printer)
    if imported is not None:
        _print_pipelines(imported.pipelines, printer)
    if detector is not None:
        _print_detector(detector, printer)
    _print_next(options, imported, printer)


def _network(file: Path, options: ImportOptions, console: Console) -> Imported | ImportedPreset:
    """The pose network that is named, written to the bundle."""
    if file.suffix == SUFFIX:
        return read_authors(file, options, console)
    console.print(f"Reading {file} and trying it on synthetic people …")
    origin = Origin(options.network_name, options.source, options.licence)
    return import_network(file, options.bundle, origin, options.crop, _given(options))


def _given(options: ImportOptions) -> Given:
    colour, grid = options.colour, options.grid
    normalisation, padding = _normalisation(options), options.padding
    return Given(colour.value if colour else None, normalisation, grid.value if grid else None, padding)


def _normalisation(options: ImportOptions) -> Normalisation | None:
    scaling = options.scaling
    return None if scaling is None else Normalisation("as stated", *scaling)


def _detector(options: ImportOptions, console: Console) -> ForeignDetector | None:
    """The detector that is named; what is stated of a file is said of the pose network if there is one."""
    if options.detector is None:
        return None
    console.print(f"Reading {options.detector} and trying it on synthetic people …")
    fit, colour = options.letterbox, options.colour
    given = DetectorGiven(
        fit=fit.value if fit else None,
        side=options.detector_size,
        person=options.person_class,
        believed=options.threshold,
    )
    if options.file is not None:
        return read_detector(options.detector, Origin(options.detector.name.removesuffix(".onnx")), given)
    given = replace(given, colour=colour.value if colour else None, normalisation=_normalisation(options))
    return read_detector(options.detector, Origin(options.network_name, options.source, options.licence), given)


def _document(imported: Imported | ImportedPreset | None, detector: ForeignDetector | None) -> dict[str, object]:
    """What was imported; of a detector alone its own facts."""
    if imported is None:
        return {} if detector is None else about_detector(detector)
    about = imported.to_json() if isinstance(imported, ImportedPreset) else about_imported(imported)
    return {**about, "detector": None if detector is None else about_detector(detector)}


def _print_network(imported: Imported, printer: Console) -> None:
    spec, found = imported.spec, imported.understood
    how, grid = found.conventions, found.conventions.grid
    printer.print(
        f"{spec.name}: {imported.signature.head}, {spec.height}×{spec.width}, {spec.macs / 1e9:.3f} GFLOPs, "
        f"{spec.parameters / 1e6:.2f} M parameters"
    )
    nearest = f" (the next best reading: {found.others[0].found:.0%})" if found.others else ""
    printer.print(
        f"read as {how.colour}, normalised {how.normalisation.name}, cells at the {grid}, heatmaps × {how.gain:.3g}, "
        f"crops {how.padding:g} × the box: finds {found.found:.0%} of the keypoints of synthetic people{nearest}\n"
    )


def _print_pipelines(pipelines: tuple[Pipeline, ...], printer: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("pipeline", "cycle", "GFLOPs", "PCK@0.1", "ranked by"):
        table.add_column(column, justify="left" if column == "pipeline" else "right")
    for pipeline in pipelines:
        cost = f"{pipeline.macs_per_person_frame / 1e9:.3f}"
        table.add_row(
            pipeline.name,
            str(len(pipeline.networks)),
            cost,
            f"{pipeline.scores[SYNTHETIC]:.1f}",
            f"{pipeline.selection:.1f}",
        )
    printer.print(table)
    printer.print(
        "PCK@0.1 on synthetic clips; --budget ranks by the network's own, less what the followers lose on real clips "
        "behind bundled networks\n"
    )


def _print_detector(found: ForeignDetector, printer: Console) -> None:
    height, width = found.size
    how, others = found.understood.conventions, found.understood.others
    printer.print(
        f"{found.origin.name}: person detector, {height}×{width}, {found.cost.macs / 1e9:.3f} GFLOPs, "
        f"{found.cost.parameters / 1e6:.2f} M parameters"
    )
    nearest = f" (the next best reading: {others[0].found:.2f})" if others else ""
    place = {"corner": "at the top left", "centre": "in the middle", "stretch": "stretched"}[how.letterbox.fit]
    printer.print(
        f"read as {how.colour}, normalised {how.normalisation.name}, frame {place}, {how.reading}, believed from "
        f"{how.believed:.2f}: average precision {found.understood.found:.2f} on synthetic people{nearest}\n"
    )


def _print_next(options: ImportOptions, imported: Imported | ImportedPreset | None, printer: Console) -> None:
    budget: tuple[str, ...] = ()
    if imported is not None:
        cheapest = min(imported.pipelines, key=lambda pipeline: pipeline.macs_per_person_frame)
        budget = ("--budget", f"{cheapest.least_gflops}GFLOPs")
    printer.print(f"Next: {command_line('run', 'CLIP.mp4', *naming(options.bundle), *budget)}")
