"""What `vipnas config show` does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from rich.table import Table

from vipnas_cli.cli.configuration import PROJECT, Setting, configuration_file, usable_settings
from vipnas_cli.cli.console import print_json, result_console
from vipnas_cli.cli.failures import sentences
from vipnas_cli.cli.options import ConfigOptions
from vipnas_cli.files import shown
from vipnas_cli.media.address import hidden

# What no option says.
VARIABLES = ("VIPNAS_CACHE", "VIPNAS_MAX_PIXELS", "VIPNAS_DEBUG", "NO_COLOR")


def config_job(options: ConfigOptions, known: Mapping[str, frozenset[str]]) -> None:
    """Tells what is set by files and the environment, where, and which files cannot be used.

    `known` has the options of each command.
    """
    usable, faults = usable_settings(known)
    found = [*usable, *_variables()]
    files = (PROJECT.absolute(), configuration_file())
    looked = [shown(path) + ("" if path.exists() else " (not there)") for path in files]
    problems = [sentences(fault) for fault in faults]
    if options.json:
        rows = [{"name": one.name, "value": _text(one), "origin": one.origin} for one in found]
        print_json({"schema": 1, "settings": rows, "files": looked, "problems": problems})
        return
    table = Table.grid(padding=(0, 2))
    for one in found:
        table.add_row(one.name, _text(one), *([one.origin] if options.origin else []))
    console = result_console()
    console.print(table if found else "Nothing is set.")
    for line in ("", "Looked at:", *looked, *(["", "Not usable:", *problems] if problems else [])):
        console.print(line)


def _variables() -> Iterator[Setting]:
    for name in VARIABLES:
        if os.environ.get(name):
            yield Setting("", name, os.environ[name], "environment")


def _text(setting: Setting) -> str:
    values = setting.value if isinstance(setting.value, list) else [setting.value]
    return " ".join(shown(hidden(str(value))) for value in values)
