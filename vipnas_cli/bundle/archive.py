"""A bundle as one file: a zip of stored, not compressed, members, read where they lie; nothing is ever unpacked.

What is stored has the size it takes, so no small file can grow into a large one.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from vipnas_cli.errors import WeightsError
from vipnas_cli.files import make_parent, whole_file, write_bytes

SUFFIX = ".vipnas"
MOST_MEMBERS = 1000
LARGEST_ARCHIVE = 2_000_000_000
# Members carry this date, so that equal contents are equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


def is_archive(path: Path) -> bool:
    """Whether a path names a bundle of one file, by its ending or by its content."""
    return path.is_file() and (path.suffix == SUFFIX or zipfile.is_zipfile(path))


def read_member(archive: Path, name: str) -> bytes:
    """The content of one member; WeightsError if the archive is missing, foreign, damaged or suspicious."""
    try:
        with zipfile.ZipFile(archive) as file:
            _check(archive, file.infolist())
            return file.read(name)
    except KeyError:
        raise WeightsError(f"{archive} holds no {name}", "restore it or export again") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{archive} is not a readable bundle: {error}", "restore it or export again") from error


def write_archive(folder: Path, archive: Path) -> None:
    """Writes the files of a folder as one archive that appears whole; OutputError if that is impossible."""
    make_parent(archive)
    with (
        whole_file(archive, durable=True) as whole,
        whole.bytes() as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file,
    ):
        for path in sorted(folder.iterdir()):
            file.writestr(zipfile.ZipInfo(path.name, _DATE), path.read_bytes())


def unpack(archive: Path, folder: Path) -> None:
    """Writes the members of an archive to a folder, to add to them; see read_member for what is refused."""
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    for name in names:
        write_bytes(folder / name, read_member(archive, name))


def _check(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """WeightsError for what no bundle has: folders, names that lead out, compression, members that overlap."""
    size = archive.stat().st_size
    if size > LARGEST_ARCHIVE or len(members) > MOST_MEMBERS:
        raise WeightsError(f"{archive} is too large for a bundle", "do not use this file")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise WeightsError(f"{archive} names a file twice", "do not use this file")
    for member in members:
        if PurePosixPath(member.filename).name != member.filename or "\\" in member.filename:
            raise WeightsError(f"{archive} names a file outside itself: {member.filename!r}", "do not use this file")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise WeightsError(f"{archive} is compressed or encrypted, which no bundle is", "do not use this file")
    if sum(member.file_size for member in members) > size:
        raise WeightsError(f"{archive} claims to hold more than its size", "do not use this file")
