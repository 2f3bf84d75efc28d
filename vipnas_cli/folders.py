"""Results that are folders: filled under a partial name, there as a whole or not at all."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, TextIO, cast

from vipnas_cli.errors import OutputError
from vipnas_cli.files import cannot_name, cannot_write, no_link, partial_names, resolved, shown


class PartialFolder:
    """A folder to fill, `partial`, that becomes `path` by `keep` or goes away by `discard`.

    It may take the place of a folder whose files all have such `names` as its own will have; OutputError for any other.
    """

    def __init__(self, path: Path, names: re.Pattern[str]) -> None:
        self.path, self._names = path, names
        self._target = resolved(path)
        if not self._target.parent.is_dir():
            raise OutputError(f"the folder {shown(path.parent)} does not exist", "Create it or choose another.")
        self._check_replaced()
        self.partial = _folder_created(self._target, path)

    def text(self, name: str, mode: Literal["x", "a"] = "x") -> TextIO:
        """Opens a new file in it, or one to add to, as UTF-8; signs that have none are replaced."""
        return open(self.partial / name, mode, encoding="utf-8", errors="replace", newline="\n", opener=no_link)

    def keep(self) -> None:
        """Gives the folder its name, in place of one that may stand there."""
        aside = None
        try:
            self._check_replaced()
            if self._target.is_dir():
                aside = _folder_created(self._target, self.path)
                self._target.replace(aside)
            self.partial.replace(self._target)
        except OSError as error:
            raise cannot_name(self.path, self.partial, error) from error
        if aside is not None:
            remove(aside)

    def discard(self) -> None:
        """Removes what was written."""
        remove(self.partial)

    def _check_replaced(self) -> None:
        if self._target.exists() and not self._target.is_dir():
            raise OutputError(f"{shown(self.path)} is a file, not a folder", "Choose another name.")
        entries = self._target.iterdir() if self._target.is_dir() else ()
        other = next((entry.name for entry in entries if not self._names.fullmatch(entry.name)), None)
        if other is not None:
            what = f"{shown(self.path)} holds other files than this result has, such as {shown(other)}"
            raise OutputError(what, "Choose another name.")


def remove(path: Path) -> None:
    """Removes a result, be it a file or a folder, if it is there and can be removed."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def scratch_file(folder: Path | None) -> BinaryIO:
    """A file without a name in a folder, by default that for temporary files, which goes away when it is closed.

    OutputError if there can be none.
    """
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(dir=folder))
    except OSError as error:
        raise cannot_write(folder or Path(tempfile.gettempdir()), error) from error


def _folder_created(target: Path, path: Path) -> Path:
    """Creates a hidden folder beside a target, as no other process can."""
    for partial in partial_names(target):
        try:
            partial.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(path, error) from error
        return partial
    raise OutputError(f"{shown(path)} cannot be written: its partial names are all taken", "Choose another folder.")
