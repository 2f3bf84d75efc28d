"""Output files that appear whole: written under a partial name, renamed when closed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vipnas_cli.errors import OutputError


def partial_name(path: Path) -> Path:
    """Where an output is written until it is complete: a hidden file beside it."""
    return path.with_name(f".{path.stem}.partial{path.suffix}")


def check_outputs(paths: Iterable[Path], source: Path | None = None, overwrite: bool = False) -> None:
    """OutputError if an output exists and may not be overwritten, is named twice, or is the file that is read."""
    seen: set[Path] = set()
    for path in paths:
        resolved = path.resolve()
        if resolved in seen:
            raise OutputError(f"{path} is named for two outputs", "Give each its own name.")
        if source is not None and resolved == source.resolve():
            raise OutputError(f"{path} is the video that is read", "Choose another name for the output.")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists already", "Choose another name or allow it to be overwritten.")
        seen.add(resolved)


class PartialFile:
    """A name to write to, `partial`, that becomes `path` by `keep` or goes away by `discard`.

    Nothing calls either one when the process is killed: the partial file stays with what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = partial_name(path)
        if path.is_dir():
            raise OutputError(f"{path} is a folder, not a file", "Name a file in it.")
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", "Create it or choose another.")
        try:
            self.partial.write_bytes(b"")
        except OSError as error:
            raise OutputError(
                f"nothing can be written to the folder {path.parent}: {error.strerror}", "Choose another folder."
            ) from error

    def keep(self) -> None:
        """Give the file its name, in place of one that may stand there."""
        try:
            self.partial.replace(self.path)
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be given its name: {error.strerror}", f"The result is in {self.partial}."
            ) from error

    def discard(self) -> None:
        """Remove what was written."""
        self.partial.unlink(missing_ok=True)
