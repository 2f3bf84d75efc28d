"""The user's configuration file: defaults that are the same in every call."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path

from vipnas_cli.cli.console import message_console
from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown

CONFIGURATIONS = DocumentKind("a configuration", UsageError, "correct or remove it", 1_000_000)


def configuration_file() -> Path:
    """Where the file is looked for: vipnas/config.toml in the folder for configurations."""
    return user_config_path("vipnas", appauthor=False) / "config.toml"


def configured_data() -> Path | None:
    """The data folder under `data` in the configuration file; UsageError if that is no path.

    A file that cannot be read is left aside with a note.
    """
    path = configuration_file()
    try:
        if not path.exists():
            return None
        found = CONFIGURATIONS.read_toml(path)
    except (OSError, UsageError) as error:
        what = error.what if isinstance(error, UsageError) else f"{shown(path)} cannot be read: {error.strerror}"
        message_console().print(f"{what}: the configuration is left aside.", style="yellow", soft_wrap=True)
        return None
    folder = found.get("data")
    if folder is not None and not isinstance(folder, str):
        raise UsageError(f"{shown(path)}: data is {brief(folder)}", 'write data = "/path/to/folder"')
    return None if folder is None else Path(folder).expanduser()
