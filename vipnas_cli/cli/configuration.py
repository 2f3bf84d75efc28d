"""The user's configuration file: defaults that are the same in every call."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from vipnas_cli.errors import UsageError


def configuration_file() -> Path:
    """Where the file is looked for: vipnas/config.toml in the folder for configurations."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vipnas" / "config.toml"


def configured_data() -> Path | None:
    """The data folder under `data` in the configuration file; UsageError for a file that says something else."""
    path = configuration_file()
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "correct or remove it") from error
    folder = content.get("data")
    if folder is not None and not isinstance(folder, str):
        raise UsageError(f"{path}: data is {folder!r}", 'write data = "/path/to/folder"')
    return None if folder is None else Path(folder).expanduser()
