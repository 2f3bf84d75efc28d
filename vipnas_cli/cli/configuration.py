"""Settings that are the same in every call: the user's file, that of a project, the environment.

What is typed comes before the environment, that before `vipnas.toml` in the current folder, and that before the user's
file. Each command has a table with its options: `[run]` with `budget = "0.5GFLOPs"`, `[eval.posetrack]`; the variable
of an option is `VIPNAS_RUN_BUDGET`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from vipnas_cli.cli.console import message_console
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown

CONFIGURATIONS = DocumentKind("a configuration", UsageError, "correct or remove it", 1_000_000)
PROJECT = Path("vipnas.toml")
# What holds for all commands, as an entry without a table, and as VIPNAS_DATA.
SHARED = ("data",)
# What a file or the environment must not decide: whoever replaces a file says so.
NEVER = frozenset({"overwrite", "help"})
Value = bool | int | float | str | list[Any]


@dataclass(frozen=True)
class Setting:
    """A value for an option of a command ("" for all), and where it is from: a file or a variable."""

    command: str
    option: str
    value: Value
    origin: str

    @property
    def from_environment(self) -> bool:
        """Whether it is a variable, which is text."""
        return self.origin.startswith("VIPNAS_")

    @property
    def name(self) -> str:
        """As it stands in a file."""
        return ".".join((*self.command.split(), self.option))


def configuration_file() -> Path:
    """The user's file: vipnas/config.toml in the folder for configurations."""
    return user_config_path("vipnas", appauthor=False) / "config.toml"


def configured_data() -> Path | None:
    """The data folder that a file names; UsageError for a file that says something else."""
    for path in (PROJECT, configuration_file()):
        folder = _tables(path).get("data")
        if folder is not None and not isinstance(folder, str):
            raise UsageError(f"{shown(path)}: data is {brief(folder)}", 'write data = "/path/to/folder"')
        if folder is not None:
            return Path(folder).expanduser()
    return None


def anything_set() -> bool:
    """Whether a file or a variable may set something."""
    return any(name.startswith("VIPNAS_") for name in os.environ) or any(map(_tables, (PROJECT, configuration_file())))


def settings(commands: Mapping[str, frozenset[str]]) -> tuple[Setting, ...]:
    """The settings that hold, in the order of commands; UsageError for one that no command has.

    `commands` has the options of each, without dashes in front: {"run": {"budget", …}, "eval posetrack": …}.
    """
    found: dict[tuple[str, str], Setting] = {}
    for path in (configuration_file(), PROJECT):
        for setting in _in_file(path, commands):
            found[setting.command, setting.option] = setting
    for setting in _in_environment(commands):
        found[setting.command, setting.option] = setting
    return tuple(found[key] for key in sorted(found))


def _tables(path: Path) -> dict[str, Any]:
    """What a file holds; nothing, with a note, if it cannot be read."""
    try:
        return CONFIGURATIONS.read_toml(path) if path.exists() else {}
    except (OSError, UsageError) as error:
        _leave_aside(error.what if isinstance(error, UsageError) else f"{shown(path)} cannot be read: {error.strerror}")
        return {}


@cache  # several ask for the same file, and once is enough
def _leave_aside(what: str) -> None:
    message_console().print(f"{what}: the configuration is left aside.", style="yellow", soft_wrap=True)


def _in_file(path: Path, commands: Mapping[str, frozenset[str]]) -> Iterator[Setting]:
    for name, value in _tables(path).items():
        if isinstance(value, dict):
            yield from _in_table(path, name, value, commands)
        elif name in SHARED:
            yield Setting("", name, value, shown(path))
        else:
            raise _unknown(shown(path), name, [*SHARED, *commands])


def _in_table(
    path: Path, command: str, table: dict[str, Any], commands: Mapping[str, frozenset[str]]
) -> Iterator[Setting]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _in_table(path, f"{command} {name}", value, commands)
            continue
        if command not in commands:
            raise _unknown(shown(path), f"[{command.replace(' ', '.')}]", [*commands])
        option = name.replace("_", "-")
        if option not in commands[command] or option in NEVER:
            raise _unknown(shown(path), f"{command.replace(' ', '.')}.{name}", [*commands[command] - NEVER])
        if not isinstance(value, bool | int | float | str | list):
            raise UsageError(f"{shown(path)}: {command}.{name} is {brief(value)}", "write a text, a number or a list")
        yield Setting(command, option, value, shown(path))


def _in_environment(commands: Mapping[str, frozenset[str]]) -> Iterator[Setting]:
    for command, options in {"": frozenset(SHARED), **commands}.items():
        for option in options - NEVER:
            name = variable(command, option)
            if os.environ.get(name):
                yield Setting(command, option, os.environ[name], name)


def variable(command: str, option: str) -> str:
    """The variable of an option."""
    return "_".join(("vipnas", *command.split(), option)).replace("-", "_").upper()


def _unknown(path: str, name: str, known: list[str]) -> UsageError:
    near = get_close_matches(name.rpartition(".")[2].strip("[]"), known, 1)
    hint = f"do you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return UsageError(f"{path} sets {shown(name)}, which cannot be set", hint)
