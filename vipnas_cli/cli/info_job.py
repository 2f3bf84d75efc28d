"""What `vipnas info` does: find out what a file is, and print its facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vipnas_cli.bundle.archive import SUFFIX
from vipnas_cli.bundle.reader import MANIFEST
from vipnas_cli.cli.console import print_json, result_console
from vipnas_cli.cli.info_networks import describe_bundle, describe_checkpoint, describe_onnx
from vipnas_cli.cli.info_search import SUMMARY_ENTRIES, describe_lines, describe_summary
from vipnas_cli.cli.info_texts import (
    DOCUMENTS_READ,
    Description,
    describe_document,
    describe_facts,
    describe_recipe,
    describe_results,
    describe_video,
    describe_written,
    folder_kind,
)
from vipnas_cli.cli.options import InfoOptions
from vipnas_cli.errors import InputError, VideoError
from vipnas_cli.results.kinds import output_named
from vipnas_cli.results.sink import FACTS_END

SCHEMA = 1


def describe_json(path: Path) -> Description:
    """The facts of labels, of a specification, or of the summary of a search."""
    data = DOCUMENTS_READ.read_any(path)
    if isinstance(data, dict) and data.keys() >= SUMMARY_ENTRIES:
        return describe_summary(path, data)
    return describe_document(path, data)


DESCRIBERS: dict[str, Callable[[Path], Description]] = {
    SUFFIX: describe_bundle,
    ".onnx": describe_onnx,
    ".safetensors": describe_checkpoint,
    ".toml": describe_recipe,
    ".json": describe_json,
    ".csv": describe_results,
    ".jsonl": describe_lines,
    ".parquet": describe_results,
}


def info_job(options: InfoOptions) -> None:
    """Prints what a file or folder is; a typed error says why it is nothing that vipnas knows."""
    found = describe(options.path)
    if options.json:
        about = {"schema": SCHEMA, "path": str(options.path)}
        print_json({**about, "kind": found.kind, "facts": found.facts, "next": found.next})
    else:
        _print(options.path, found, result_console())


def describe(path: Path) -> Description:
    """The facts about a file or folder; InputError for what is missing or unknown."""
    written = output_named(path)
    place = written.path if written is not None and not path.exists() else path
    if not place.exists():
        raise InputError(f"{path} does not exist", "check the path")
    if written is not None and written.kind.read is None and written.kind.name != "angles":
        return describe_written(place, written.kind)
    if written is not None and place != path:
        of_json = written.kind.end.endswith(".json")
        return describe_json(place) if of_json else describe_results(place, written.kind)
    if path.name.endswith(FACTS_END):
        return describe_facts(path)
    if path.is_dir():
        kind = folder_kind(path)
        return describe_written(path, kind, "the names of its files") if kind else describe_bundle(path)
    if path.name == MANIFEST:
        return describe_bundle(path.parent)
    describer = DESCRIBERS.get(path.suffix.lower())
    if describer is not None:
        return describer(path)
    try:
        return describe_video(path)
    except VideoError as error:
        raise InputError(
            f"{path} is neither a video that can be read nor a file of vipnas",
            f"known are videos, folders of pipelines, and files ending in {' '.join(DESCRIBERS)}",
        ) from error


def _print(path: Path, found: Description, console: Console) -> None:
    console.print(f"{path}: {found.kind}")
    table = Table.grid(padding=(0, 2))
    for name, value in found.facts.items():
        if isinstance(value, list):
            for index, item in enumerate(value):
                table.add_row(name if index == 0 else "", str(item))
        elif value not in (None, ""):
            table.add_row(name, str(value))
    console.print(table)
    if found.next:
        console.print(f"Next: {found.next}")
