"""The user's configuration file: defaults that are the same in every call."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path

from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown

CONFIGURATIONS = DocumentKind("a configuration", UsageError, "correct or remove it", 1_000_000)


def configuration_file() -> Path:
    """Where the file is looked for: vipnas/config.toml in the folder for configurations."""
    return user_config_path("vipnas", appauthor=False) / "config.toml"


def configured_data() -> Path | None:
    """The data folder under `data` in the configuration file; UsageError for a file that says something else."""
    path = configuration_file()
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise UsageError(f"{shown(path)} cannot be read: {error.strerror}", CONFIGURATIONS.hint) from error
    folder = CONFIGURATIONS.read_toml(path).get("data")
    if folder is not None and not isinstance(folder, str):
        raise UsageError(f"{shown(path)}: data is {brief(folder)}", 'write data = "/path/to/folder"')
    return None if folder is None else Path(folder).expanduser()
