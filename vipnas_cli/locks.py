"""Files that one process at a time writes to; systems and file systems without such locks go without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vipnas_cli.errors import OutputError
from vipnas_cli.files import SelfClosing, cannot_write, no_link, output_target, resolved, shown


class LineLog(SelfClosing):
    """A file of lines that one process at a time adds to; every line is whole and flushed.

    `anew` begins an empty file; otherwise lines are added, and a last line that a crash cut off is removed first.
    """

    def __init__(self, path: Path, anew: bool = False, durable: bool = False) -> None:
        self.path, self._durable = path, durable
        self._target = target = output_target(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._descriptor = os.open(target, flags, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            _lock(self._descriptor, path)
            os.ftruncate(self._descriptor, 0 if anew else _whole_lines(self._descriptor))
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, line: str) -> None:
        """Adds a line; OutputError if the disk takes no more."""
        data = f"{line}\n".encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if self._durable:
                os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Lets others write; a log without a line leaves no file."""
        if not os.fstat(self._descriptor).st_size:
            with suppress(OSError):
                self._target.unlink()
        os.close(self._descriptor)


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Takes a file or folder that exists for this process; OutputError if another one is writing to it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # what cannot be opened so (folders on Windows) goes without
        yield
        return
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Waits until no other process is within it for a file, whether it is there yet or not.

    The lock is `.NAME.lock` beside the file, which goes afterwards; where none can be made or taken it goes without.
    """
    place = resolved(path)
    lock = place.with_name(f".{place.name}.lock")
    descriptor = _locked(lock)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                lock.unlink()
            os.close(descriptor)


def _locked(lock: Path) -> int | None:
    """The descriptor of a lock file that this process alone has taken; None where that is impossible."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            descriptor = no_link(str(lock), os.O_RDWR | os.O_CREAT)
        except OSError:  # a folder that is only read
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had it before has removed it: who comes now makes another one.
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:  # a file system without locks
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Takes a file for this process; OutputError if another has it. Systems without such locks go without."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another process is writing to {shown(path)}", "Wait until it has ended, or choose another name."
        ) from error
    except OSError:
        return  # a file system without locks


def _whole_lines(descriptor: int) -> int:
    """The length of a file up to the end of its last whole line."""
    length = os.fstat(descriptor).st_size
    step = 1 << 16
    for end in range(length, 0, -step):
        start = max(end - step, 0)
        os.lseek(descriptor, start, os.SEEK_SET)
        place = os.read(descriptor, end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
    return 0
