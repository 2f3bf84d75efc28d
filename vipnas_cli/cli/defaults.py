"""How settings become the defaults of options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vipnas_cli.cli.configuration import anything_set, settings


def defaults_of(group: Any) -> dict[str, Any]:
    """What Typer takes as defaults: by command, in groups of commands by both, the values by the names of parameters.

    An option that may be given several times takes a list; in a variable its values are separated as paths are.
    """
    found: dict[str, Any] = {}
    if not anything_set():  # so that the options of the other commands need not be known
        return found
    parameters = {name: dict(_options(command)) for name, command in _commands(group)}
    for setting in settings({name: frozenset(options) for name, options in parameters.items()}):
        if not setting.command:
            continue
        parameter = parameters[setting.command][setting.option]
        value = setting.value
        if parameter.multiple and not isinstance(value, list):
            value = value.split(os.pathsep) if isinstance(value, str) and setting.from_environment else [value]
        if isinstance(value, str) and value.startswith("~/"):
            value = str(Path(value).expanduser())
        place = found
        for word in setting.command.split():
            place = place.setdefault(word, {})
        place[parameter.name] = value
    return found


def options_of(group: Any) -> dict[str, frozenset[str]]:
    """The names of the options of every command, without dashes in front."""
    return {name: frozenset(dict(_options(command))) for name, command in _commands(group)}


def _commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from _commands(one, f"{before}{name} ")
        else:
            yield before + name, one


def _options(command: Any) -> Iterator[tuple[str, Any]]:
    for parameter in command.params:
        if parameter.param_type_name == "option":
            yield max(parameter.opts, key=len).lstrip("-"), parameter
