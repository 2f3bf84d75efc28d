"""Where a bundle is written: a folder, or a temporary one that becomes one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vipnas_cli.bundle.archive import SUFFIX, unpack, write_archive
from vipnas_cli.bundle.reader import MANIFEST, files_of, read_manifest
from vipnas_cli.errors import OutputError, WeightsError
from vipnas_cli.files import cannot_write, make_folder, make_parent, no_link, resolved, scratch_folder, shown
from vipnas_cli.locks import only_writer


@contextmanager
def bundle_folder(out: Path) -> Iterator[Path]:
    """The folder to write a bundle to; if `out` ends in .vipnas, what it holds afterwards becomes that one file.

    OutputError if another process is writing to it: each would lose what the other one adds.
    """
    if out.suffix != SUFFIX:
        if out.is_file():
            raise OutputError(f"{out} is a file", f"name a folder, or a file that ends in {SUFFIX}")
        existed = out.is_dir()
        make_folder(out)
        with only_writer(out), _nothing_left(out, existed):
            yield out
        return
    if out.is_dir():
        raise OutputError(f"{out} is a folder", f"name a file that ends in {SUFFIX}, or another folder")
    make_parent(out)
    with _only_archiver(out), scratch_folder(out.parent, f".{out.name}.") as folder:
        if out.exists():
            read_manifest(out)
            unpack(out, folder)
        yield folder
        write_archive(folder, out)


@contextmanager
def _only_archiver(out: Path) -> Iterator[None]:
    """Takes a bundle of one file, whether it is there yet or not, by `.NAME.lock` beside it, which goes afterwards."""
    place = resolved(out)
    lock = place.with_name(f".{place.name}.lock")
    with ExitStack() as stack:
        try:
            os.close(no_link(str(lock), os.O_RDWR | os.O_CREAT))
            stack.enter_context(only_writer(lock))
        except OSError as error:
            raise cannot_write(out, error) from error
        except OutputError as error:
            raise OutputError(f"another process is writing to {shown(out)}", error.hint) from error
        stack.callback(_removed, lock)
        # Who took the lock just when another one removed it and let go meets the next one here.
        stack.enter_context(only_writer(out))
        yield


def _removed(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


@contextmanager
def _nothing_left(out: Path, existed: bool) -> Iterator[None]:
    """After a failure or an interrupt: removes new files that no manifest names, and the folder if it was new.

    A new folder goes with all that was written: half of what was asked for is no bundle.
    """
    before = set(out.iterdir())
    try:
        yield
    except BaseException:
        named = {MANIFEST, *_files_named(out)} if existed else set()
        for path in set(out.iterdir()) - before if out.is_dir() else ():
            if path.is_file() and path.name not in named:
                path.unlink(missing_ok=True)
        if not existed:
            with suppress(OSError):  # not empty
                out.rmdir()
        raise


def _files_named(out: Path) -> set[str]:
    """The files that the manifest of a folder names; none if it cannot be read."""
    try:
        return files_of(read_manifest(out))
    except WeightsError:
        return set()
