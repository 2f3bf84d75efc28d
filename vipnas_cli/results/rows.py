"""Rows of CSV files, which spreadsheets and people write again in ways of their own."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from vipnas_cli.documents import brief
from vipnas_cli.errors import InputError
from vipnas_cli.files import shown

# What stands between cells where the decimal sign is a comma, or in tables that were copied.
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
UNQUOTED = "Write numbers with points, and put cells that hold commas into quotes."
SEPARATED = "Save it with commas between the cells and points in the numbers."
SPELT = "Write the names of columns in small letters, without spaces around them."


def check_columns(head: Sequence[str], wanted: Sequence[str]) -> None:
    """ValueError for a column that is missing or there twice, InputError if it seems to be there."""
    if twice := next((name for name in wanted if head.count(name) > 1), None):
        raise ValueError(f"it has the column {shown(twice)} twice")
    missing = next((name for name in wanted if name not in head), None)
    if missing is None:
        return
    for sign, word in SEPARATORS.items():
        if any(missing.lower() in map(_plain, cell.split(sign)) for cell in head if sign in cell):
            raise InputError(f"its cells are separated by {word}, expected commas", SEPARATED)
    for cell in head:
        if _plain(cell) == missing.lower():
            raise InputError(f"it has the column {brief(cell)}, expected {brief(missing)}", SPELT)
    raise ValueError(f"it has no column {shown(missing)}")


def _plain(name: str) -> str:
    return name.strip().lower()


def numbered(rows: csv.DictReader[str], last: str, skipped: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line; InputError for one that has more cells than the header, or ends before column `last`."""
    head = len(rows.fieldnames or ())
    for row in rows:
        line, more = rows.line_num + skipped, row.get(None, ())  # where csv puts cells without a column
        if any(map(str.strip, more)):
            raise InputError(f"line {line} has {head + len(more)} cells, the header {head}", UNQUOTED)
        if row[last] is None:
            cells = sum(cell is not None for cell in row.values())
            raise ValueError(f"line {line} has {cells} cells, the header {head}")
        yield line, row
