"""Settings that are the same in every call: the user's file, that of a project, the environment.

What is typed comes before the environment, that before `vipnas.toml` in the current folder, and that before the user's
file. Each command has a table with its options: `[run]` with `budget = "0.5GFLOPs"`, `[eval.posetrack]`; the variable
of an option is `VIPNAS_RUN_BUDGET`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown

CONFIGURATIONS = DocumentKind("a configuration", UsageError, "correct it, or rename it to go without", 1_000_000)
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
    """Whether a file or a variable may set something; UsageError for a file that cannot be read."""
    return any(name.startswith("VIPNAS_") for name in os.environ) or any(map(_tables, (PROJECT, configuration_file())))


def settings(commands: Mapping[str, frozenset[str]]) -> tuple[Setting, ...]:
    """The settings that hold, in the order of commands; UsageError for one that no command has, or an unreadable file.

    `commands` has the options of each, without dashes in front: {"run": {"budget", …}, "eval posetrack": …}.
    """
    found, faults = usable_settings(commands)
    if faults:
        raise faults[0]
    return found


def usable_settings(commands: Mapping[str, frozenset[str]]) -> tuple[tuple[Setting, ...], list[UsageError]]:
    """The settings as in `settings`, without those of files that cannot be used, and what is wrong with these."""
    found: list[Setting] = []
    faults = []
    for path in (configuration_file(), PROJECT):
        try:
            found += list(_in_file(path, commands))
        except UsageError as error:
            faults.append(error)
    latest = {(setting.command, setting.option): setting for setting in (*found, *_in_environment(commands))}
    return tuple(latest[key] for key in sorted(latest)), faults


def _tables(path: Path) -> dict[str, Any]:
    """What a file holds; UsageError if it cannot be read: a run without it may show faces and write elsewhere."""
    try:
        return CONFIGURATIONS.read_toml(path) if path.exists() else {}
    except OSError as error:  # of a folder that nobody may look into
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror}", CONFIGURATIONS.hint) from error


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


def idle_variables(commands: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What to say of variables that are named after a command and are none of its options."""
    known = {variable(command, option) for command, options in commands.items() for option in options - NEVER}
    # Those of a group, too, as in VIPNAS_EVAL_SPLIT.
    begins = {variable(" ".join(command.split()[:words]), "") for command in commands for words in (1, 2)}
    for name in sorted(set(os.environ) - known):
        begin = max((begin for begin in begins if name.startswith(begin)), key=len, default="")
        if begin and os.environ[name]:
            yield f"{shown(name)} sets nothing: {_instead(name.removeprefix(begin), begin, known)}"


def _instead(word: str, begin: str, known: Iterable[str]) -> str:
    """What to do in place of a variable that ends in a word."""
    option = word.lower().replace("_", "-")
    if option in NEVER:
        return f"--{option} has to be typed."
    near = get_close_matches(word, [name.removeprefix(begin) for name in known if name.startswith(begin)], 1)
    return f"do you mean {begin}{near[0]}?" if near else "no option has this name."


def variable(command: str, option: str) -> str:
    """The variable of an option."""
    return "_".join(("vipnas", *command.split(), option)).replace("-", "_").upper()


def _unknown(path: str, name: str, known: list[str]) -> UsageError:
    near = get_close_matches(name.rpartition(".")[2].strip("[]"), known, 1)
    hint = f"do you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return UsageError(f"{path} sets {shown(name)}, which cannot be set", hint)
