"""The part of `vipnas import` for checkpoints of the paper's authors: a bundle, and a checkpoint of ours beside it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from vipnas_cli.cli.import_network import ImportOptions
from vipnas_cli.errors import UsageError
from vipnas_cli.files import check_outputs
from vipnas_cli.foreign.authors_importer import ImportedPreset, import_authors
from vipnas_cli.foreign.importer import Origin

CHECKPOINT = ".safetensors"


def checkpoint_beside(options: ImportOptions) -> Path:
    """The checkpoint to train on and to search behind, beside the bundle."""
    return options.bundle.with_suffix(CHECKPOINT)


def read_authors(file: Path, options: ImportOptions, console: Console) -> ImportedPreset:
    """Imports a checkpoint; UsageError for options on how it is read, which is known."""
    stated = {"--size": options.size, "--grid": options.grid, "--padding": options.padding}
    stated |= {} if options.detector else {"--colour": options.colour, "--mean": options.mean, "--std": options.std}
    for name, value in stated.items():
        if value is not None:
            raise UsageError(f"{name} has no use for {file}", "how checkpoints of the authors are read is known")
    checkpoint = checkpoint_beside(options)
    check_outputs([checkpoint], [file], options.overwrite)
    console.print(f"Reading {file} and scoring it on synthetic people …")
    origin = Origin(options.network_name, options.source, options.licence)
    return import_authors(file, options.bundle, checkpoint, origin)


def print_preset(imported: ImportedPreset, options: ImportOptions, printer: Console) -> None:
    """Which preset it is, what it costs, and what the checkpoint is for."""
    cost, checkpoint = imported.cost, checkpoint_beside(options)
    printer.print(
        f"{imported.found.preset}: {cost.macs / 1e9:.3f} GFLOPs, {cost.parameters / 1e6:.2f} M parameters\n"
        f"{checkpoint}: for vipnas train --init, vipnas search --key and vipnas export\n"
    )
