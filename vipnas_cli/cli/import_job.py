"""What `vipnas import` does: understand a network, write its bundle, tell what was found."""

from __future__ import annotations

from rich.table import Table

from vipnas_cli.cli.console import message_console, print_json, result_console
from vipnas_cli.cli.import_network import ImportOptions
from vipnas_cli.files import check_outputs
from vipnas_cli.foreign.conventions import Given
from vipnas_cli.foreign.importer import Imported, Origin, about_imported, import_network
from vipnas_cli.foreign.pose_graph import Normalisation


def import_job(options: ImportOptions) -> None:
    """Imports a network and prints how it was read and what it costs in each cycle."""
    scaling = options.scaling
    normalisation = None if scaling is None else Normalisation("as stated", *scaling)
    given = Given(
        options.colour.value if options.colour else None, normalisation, options.grid.value if options.grid else None
    )
    size = options.crop
    check_outputs([options.bundle], [options.file], options.overwrite)
    console = message_console(options.json)
    console.print(f"Reading {options.file} and trying it on synthetic people …")
    origin = Origin(options.network_name, options.source, options.licence)
    imported = import_network(options.file, options.bundle, origin, size, given)
    if options.json:
        print_json(about_imported(imported))
    else:
        _print(imported, options)


def _print(imported: Imported, options: ImportOptions) -> None:
    printer = result_console()
    spec, found = imported.spec, imported.understood
    how, grid = found.conventions, found.conventions.grid
    printer.print(
        f"{spec.name}: {imported.signature.head}, {spec.height}×{spec.width}, {spec.macs / 1e9:.3f} GFLOPs, "
        f"{spec.parameters / 1e6:.2f} M parameters"
    )
    nearest = f" (the next best reading: {found.others[0].found:.0%})" if found.others else ""
    printer.print(
        f"read as {how.colour}, normalised {how.normalisation.name}, cells at the {grid}, heatmaps × {how.gain:.3g}: "
        f"finds {found.found:.0%} of the keypoints of synthetic people{nearest}\n"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("pipeline", "cycle", "GFLOPs", "PCK@0.1 on synthetic clips"):
        table.add_column(column, justify="left" if column == "pipeline" else "right")
    for pipeline in imported.pipelines:
        cost = f"{pipeline.macs_per_person_frame / 1e9:.3f}"
        table.add_row(pipeline.name, str(len(pipeline.networks)), cost, f"{pipeline.scores['selection']:.1f}")
    printer.print(table)
    cheapest = min(pipeline.macs_per_person_frame for pipeline in imported.pipelines)
    printer.print(f"\nNext: vipnas run CLIP.mp4 --weights {options.bundle} --budget {1.05 * cheapest / 1e9:.2f}GFLOPs")
