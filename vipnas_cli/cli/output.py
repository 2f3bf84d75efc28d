"""Where results go: tables to stdout, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

# Wide enough for a long name where stdout is no terminal.
WIDTH = 140


def print_json(document: Mapping[str, Any]) -> None:
    """One document on stdout."""
    sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def result_console() -> Console:
    """Where results go: stdout, in one width wherever it leads."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, markup=False, soft_wrap=True, width=WIDTH)
