"""What `vipnas import --list` prints: public networks, with what their publishers say of them."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from vipnas_cli.cli.console import print_json, result_console
from vipnas_cli.foreign.known import KNOWN


def list_known(json: bool) -> None:
    """Prints the table, or one JSON document."""
    if json:
        print_json({"schema": 1, "networks": [asdict(network) for network in KNOWN]})
        return
    printer = result_console()
    table = Table(box=None, pad_edge=False)
    for column in ("network", "what", "size", "COCO AP", "GFLOPs", "licence", "imported", "sha256"):
        table.add_column(column, justify="right" if column in ("COCO AP", "GFLOPs") else "left", no_wrap=True)
    for network in KNOWN:
        cost = "–" if network.gflops is None else f"{network.gflops:.2f}"
        row = (network.name, network.kind, network.size, f"{network.average_precision:.1f}", cost, network.licence)
        table.add_row(*row, network.imported, f"{network.sha256[:8]}…" if network.sha256 else "–")
    printer.print(table)
    printer.print("\nWhere their publishers offer them (nothing is downloaded):")
    for network in KNOWN:
        printer.print(f"{network.name}: {network.address}", soft_wrap=True)
    printer.print("\nFigures are the publishers', on COCO val2017; of detectors the average precision of person boxes.")
