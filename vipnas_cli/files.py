"""The one place that writes files: each under a partial name of its own, whole or not at all.

A partial file is created exclusively, so no link that lies in wait is followed and no two runs share one; the last run
to finish wins. A link that is named as an output is written through: its target is replaced, the link stays.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO
from uuid import uuid4

from vipnas_cli.errors import InputError, OutputError, UsageError, VipnasError

# The longest name of a file on the usual file systems, in bytes.
LONGEST_NAME = 255
_TRIES = 100
_HINTS = {
    errno.ENOSPC: "Make room on the disk, or choose another place.",
    errno.EDQUOT: "Make room within the quota, or choose another place.",
    errno.EFBIG: "Choose a disk that holds files of this size.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EEXIST: "A file has the name of a folder; choose another.",
    errno.ENOENT: "Create the folder or choose another.",
    errno.ENOTDIR: "Choose a name in a folder.",
    errno.EPIPE: "What reads it has ended.",
    errno.EROFS: "Choose a folder that can be written to.",
    errno.EACCES: "Choose a folder that can be written to.",
    errno.EPERM: "Choose a folder that can be written to.",
}


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error that tells why a file cannot be written, and what to do."""
    reason = error.strerror or str(error)
    return OutputError(f"{shown(path)} cannot be written: {reason}", _HINTS.get(error.errno or 0, "Check the disk."))


def cannot_name(path: Path, partial: Path, error: OSError) -> OutputError:
    """The error that tells why a partial file or folder cannot take the place of `path`, and where the result is."""
    what = f"{shown(path)} cannot be given its name: {error.strerror}"
    return OutputError(what, f"The result is in {shown(partial)}.")


def shown(path: Path | str) -> str:
    """A name as text that any terminal and file can take: bytes that are not UTF-8 and control signs are replaced."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(path))


def check_outputs(
    paths: Iterable[Path], inputs: Iterable[Path] = (), overwrite: bool = False, tried: bool = False
) -> None:
    """OutputError if an output exists and may not be overwritten, UsageError if one is named twice or is read.

    `tried`: OutputError, too, if none can be written there now, for outputs whose folder nobody makes later.
    """
    read = {resolved(path) for path in inputs}
    seen: set[Path] = set()
    for path in paths:
        place = resolved(path)
        if place in seen:
            raise UsageError(f"{shown(path)} is named for two outputs", "Give each its own name.")
        if place in read:
            raise UsageError(f"{shown(path)} is a file that is read", "Choose another name for the output.")
        if _mode(place) is not None and not overwrite:
            raise OutputError(f"{shown(path)} exists already", "Choose another name or allow it to be overwritten.")
        if tried:
            PartialFile(path).discard()
        seen.add(place)


class PartialFile:
    """A file to write to, `partial`, that becomes `path` by `keep` or goes away by `discard`.

    Nothing calls either one when the process is killed: the partial file stays with what was written. Its name keeps
    the `suffix` of the path, by default what begins with its last dot.
    """

    def __init__(self, path: Path, suffix: str | None = None) -> None:
        self.path = path
        self._target = output_target(path)
        self.partial = _created(self._target, path, suffix)

    def text(self) -> TextIO:
        """Opens the partial file to write UTF-8; signs that have none are replaced."""
        return open(self.partial, "w", encoding="utf-8", errors="replace", newline="\n", opener=no_link)

    def text_after(self, size: int) -> TextIO:
        """Cuts the partial file off after so many bytes and opens it to write on."""
        os.truncate(self.partial, size)
        return open(self.partial, "a", encoding="utf-8", errors="replace", newline="\n", opener=no_link)

    def bytes(self) -> BinaryIO:
        """Opens the partial file to write bytes."""
        return open(self.partial, "wb", opener=no_link)

    def keep(self, durable: bool = False) -> None:
        """Gives the file its name, in place of one that may stand there; `durable` waits until the disk holds it."""
        try:
            if durable:
                _synced(self.partial)
            self.partial.replace(self._target)
        except OSError as error:
            raise cannot_name(self.path, self.partial, error) from error

    def discard(self) -> None:
        """Removes what was written."""
        with suppress(OSError):
            self.partial.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[PartialFile]:
    """A partial file that is kept at the end, or removed by any exception; OutputError if it cannot be written."""
    file = PartialFile(path)
    try:
        yield file
    except OSError as error:
        file.discard()
        # An error about another file, which the caller may have read, is not ours to tell.
        if error.filename not in (None, str(file.partial)):
            raise
        raise cannot_write(path, error) from error
    except BaseException:
        file.discard()
        raise
    file.keep(durable)


def write_bytes(path: Path, data: bytes, durable: bool = False) -> None:
    """Writes a file whole; OutputError if that is impossible."""
    with whole_file(path, durable) as file, file.bytes() as stream:
        stream.write(data)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Writes a text file whole, as UTF-8; OutputError if that is impossible."""
    with whole_file(path, durable) as file, file.text() as stream:
        stream.write(text)


def write_json(path: Path, document: Any, indent: int | None = 1, durable: bool = False) -> None:
    """Writes a JSON document whole; OutputError if that is impossible."""
    write_text(path, json.dumps(document, indent=indent) + "\n", durable)


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it where they are missing; OutputError if that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def make_parent(path: Path) -> None:
    """Creates the folder of a file; OutputError, which names the file, if that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def scratch_folder(parent: Path | None = None, prefix: str = "vipnas-") -> Iterator[Path]:
    """A new folder in `parent`, by default that of the system for such files; it is gone afterwards.

    Its name is known before it is made, so that nothing stays either if a signal comes at that moment, which
    `tempfile.TemporaryDirectory` leaves a trace of.
    """
    folder = (parent or Path(tempfile.gettempdir())) / f"{prefix}{uuid4().hex[:12]}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class SelfClosing(ABC):
    """What the end of a `with` block closes, however it ends."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def inside(folder: Path, name: object, kind: type[VipnasError] = InputError) -> Path:
    """The path of a file that another file names, in or below `folder`, whether it exists or not.

    An error of `kind` for an absolute name, one with `..`, one that a link leads out of the folder, or no name at all.
    """
    told = f"{shown(name)!r}" if isinstance(name, str) else f"{name!r:.60}"
    if not isinstance(name, str) or not name or "\0" in name:
        raise kind(f"{shown(folder)} names a file by {told}, which is no name", "do not use this folder")
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise kind(f"{shown(folder)} names a file outside its folder: {told}", "do not use this folder")
    path = folder / name
    try:
        leads_out = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise kind(f"{shown(path)} cannot be looked at: {error}", "do not use this folder") from error
    if leads_out:
        raise kind(f"{shown(path)} is a link that leads outside its folder", "put the file itself there")
    return path


def read_regular(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes; OSError, also for pipes, devices and larger files."""
    # Opening a pipe would wait for its other end.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        data = file.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"it is larger than {largest / 1e6:g} MB", str(path))
    return data


def output_target(path: Path) -> Path:
    """What an output's name stands for: links are followed; OutputError for what no file can take the place of."""
    target = resolved(path)
    # Not that of the target: what leads to a pipe has no name in any folder.
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(f"{shown(path)} is a folder, not a file", "Name a file in it.")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(f"{shown(path)} is a device or a pipe, not a file", "Name a file.")
    if not target.parent.is_dir():
        folder = target.parent if path.is_symlink() else path.parent
        raise OutputError(f"the folder {shown(folder)} does not exist", "Create it or choose another.")
    return target


def _created(target: Path, path: Path, suffix: str | None) -> Path:
    """Creates the partial file of a target, hidden beside it, as no other process can."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    for partial in partial_names(target, suffix):
        try:
            os.close(os.open(partial, flags, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(
                f"nothing can be written to the folder {shown(path.parent)}: {error.strerror}",
                _HINTS.get(error.errno or 0, "Choose another folder."),
            ) from error
        return partial
    raise OutputError(f"{shown(path)} cannot be written: its partial names are all taken", "Choose another folder.")


def partial_names(target: Path, ending: str | None = None) -> Iterator[Path]:
    """Hidden names beside a target to try one after the other, with its ending."""
    return (_partial_name(target, os.urandom(4).hex() if attempt else "", ending) for attempt in range(_TRIES))


def _partial_name(target: Path, token: str, ending: str | None) -> Path:
    """A hidden name with the same ending, no longer than names may be."""
    mark = f".partial{token and '-'}{token}"
    # A link may lead to a name with another ending.
    ending = ending if ending and target.name.endswith(ending) else target.suffix
    name = target.name.removesuffix(ending)
    stem = os.fsencode(name)
    room = LONGEST_NAME - len(mark) - len(os.fsencode(ending)) - 1
    name = name if len(stem) <= room else stem[:room].decode("utf-8", "ignore")
    return target.with_name(f".{name}{mark}{ending}")


def resolved(path: Path) -> Path:
    """Where a path leads, links followed; OutputError for a circle of links."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        # A circle of links is a RuntimeError before Python 3.13.
        raise OutputError(f"{shown(path)} cannot be written: it is a circle of links", "Name a file.") from error


def _mode(path: Path) -> int | None:
    """What kind of file stands at a path, None where nothing does; OutputError where nothing ever can."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise cannot_write(path, error) from error


def no_link(path: str, flags: int) -> int:
    """Opens a file, but follows no link in its place."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
