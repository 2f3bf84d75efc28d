"""How settings become the defaults of options, and errors name those that are wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vipnas_cli.cli.configuration import Setting, anything_set, idle_variables, settings
from vipnas_cli.cli.console import message_console
from vipnas_cli.cli.failures import sentences
from vipnas_cli.errors import UsageError, VipnasError
from vipnas_cli.files import shown

# A shorter value may be part of anything.
LONG_ENOUGH = 4
# Commands that tell what is wrong with settings, and go without.
ABOUT_SETTINGS = ("doctor", "config show")


def defaults_of(group: Any) -> dict[str, Any]:
    """What Typer takes as defaults: by command, in groups of commands by both, the values by the names of parameters.

    An option that may be given several times takes a list; in a variable its values are separated as paths are. A
    variable that no option knows is told.
    """
    found: dict[str, Any] = {}
    if not anything_set():  # so that the options of the other commands need not be known
        return found
    parameters = {name: dict(_options(command)) for name, command in _commands(group)}
    known = {name: frozenset(options) for name, options in parameters.items()}
    for note in idle_variables(known):
        message_console().print(note, style="yellow")
    for setting in settings(known):
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


def take_settings(context: Any) -> None:
    """Makes settings the defaults of a call, Click's context; `heed_settings` ends it where they cannot be used."""
    try:
        context.default_map = defaults_of(context.command)
    except UsageError as error:
        context.obj = error


def heed_settings(context: Any, asks_for_help: bool = False) -> None:
    """UsageError where a command would go without settings; --help tells it, and commands about settings do later."""
    fault = unusable(context)
    if fault is None:
        return
    if asks_for_help:
        message_console().print(sentences(fault), style="yellow")
    elif _command_of(context) not in ABOUT_SETTINGS:
        raise fault


def unusable(context: Any) -> UsageError | None:
    """Why there are no settings, if a file of them cannot be used."""
    fault = context.find_root().obj
    return fault if isinstance(fault, UsageError) else None


def settings_taken(context: Any) -> dict[str, Setting]:
    """The settings by the names of the parameters of a call, Click's context, that took them."""
    command, parameters = _command_of(context), dict(_options(context.command))
    found = {}
    for setting in settings(options_of(context.find_root().command)) if anything_set() else ():
        parameter = parameters.get(setting.option) if setting.command == command else None
        if parameter is not None and _is_configured(context, parameter.name):
            found[parameter.name] = setting
    return found


def _command_of(context: Any) -> str:
    """The command of a call as settings name it, whatever the program is called: python -m vipnas_cli, for one."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return " ".join(words)


def _is_configured(context: Any, name: str) -> bool:
    # By its name, as Typer has the enumeration in one place or another.
    source = context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def say_where_set(error: Exception, context: Any) -> None:
    """Adds to an error of a call, Click's context, which file or variable has the value that is told of, if any has."""
    if isinstance(error, VipnasError):
        guilty = [one for one in settings_taken(context).values() if _told(one, error.what)]
        if guilty:
            error.hint = f"{error.hint} ({_places(guilty)})".strip()
        return
    # Typer's own: a parameter that cannot be read.
    wrong: Any = error
    parameter = getattr(wrong, "param", None)
    setting = None if parameter is None else settings_taken(context).get(parameter.name)
    if setting is not None:
        wrong.message = f"{wrong.message} ({_places([setting])})"


def _told(setting: Setting, what: str) -> bool:
    """Whether a sentence tells of the value, be it with a space before its unit."""
    value = shown(str(setting.value))
    return bool(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", what)) or (
        len(value) >= LONG_ENOUGH and value.replace(" ", "") in what.replace(" ", "")
    )


def _places(found: list[Setting]) -> str:
    return ", ".join(one.origin if one.from_environment else f"{one.name} in {one.origin}" for one in found)


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
