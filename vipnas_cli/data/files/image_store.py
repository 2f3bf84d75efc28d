"""A compact cache of decoded images: one flat file that the operating system keeps in memory as far as it fits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import DataError
from vipnas_cli.files import make_folder, shown, whole_file, write_json
from vipnas_cli.media.pictures import decode_picture, picture_bytes, read_picture

_HINT = "remove it from the labels or restore the file"


class ImageStore:
    """RGB images (H, W, 3) by path, decoded once and mapped from a single file."""

    def __init__(self, images: dict[Path, tuple[int, int, int]], data: NDArray[np.uint8]) -> None:
        """`images` maps a path to byte offset, height and width."""
        self._images = images
        self._data = data

    def __getitem__(self, path: Path) -> NDArray[np.uint8]:
        offset, height, width = self._images[path]
        return self._data[offset : offset + height * width * 3].reshape(height, width, 3)

    def __contains__(self, path: Path) -> bool:
        return path in self._images

    def __len__(self) -> int:
        return len(self._images)

    @staticmethod
    def open(folder: Path, paths: list[Path]) -> ImageStore:
        """The store of these images in `folder`, built on first use; DataError names an image that cannot be read.

        It is built anew when it is cut or damaged, and when a file holds other bytes than it was built from.
        """
        wanted = sorted({str(path) for path in paths})
        name = hashlib.sha256("\n".join(wanted).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        index_path, data_path = folder / f"{name}.json", folder / f"{name}.bin"
        found = _opened(wanted, index_path, data_path)
        if found is None:
            make_folder(folder)
            _build(wanted, index_path, data_path)
            found = _opened(wanted, index_path, data_path)
        if found is None:
            raise DataError(f"the cache of images in {folder} changes while it is read", "use another folder for it")
        return found


@dataclass(frozen=True)
class FileState:
    """A file as it was read: a digest of its bytes, and what changes with them, so that they are seldom read again."""

    size: int
    changed_ns: int
    written_ns: int
    digest: str = ""


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as RGB (H, W, 3); DataError if it cannot be read, or has more pixels than are allowed."""
    return read_picture(path, DataError, _HINT)


def _content(path: Path) -> bytes:
    return picture_bytes(path, DataError, _HINT)


def _decoded(path: Path, data: bytes) -> NDArray[np.uint8]:
    return decode_picture(path, data, DataError, _HINT)


def _state(path: Path) -> FileState:
    """A file as it is now, without its digest; DataError if it is not there."""
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}", _HINT) from error
    return FileState(found.st_size, found.st_ctime_ns, found.st_mtime_ns)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _unchanged(path: Path, before: FileState) -> bool:
    """Whether a file holds the bytes that it held; they are read only if it was touched since."""
    now = _state(path)
    if replace(before, digest="") == now:
        return True
    return before.size == now.size and before.digest == _digest(_content(path))


def _opened(paths: list[str], index_path: Path, data_path: Path) -> ImageStore | None:
    """The store in two files; None if they are missing, cut or do not belong together."""
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        rows = [(int(offset), int(height), int(width)) for offset, height, width in index["rows"]]
        if index["paths"] != paths or len(rows) != len(paths):
            return None
        # Images lie one behind the other, so the last one ends where the file does.
        starts = accumulate((height * width * 3 for _, height, width in rows), initial=0)
        if [*(row[0] for row in rows), data_path.stat().st_size] != list(starts):
            return None
        before = [FileState(*state) for state in index["files"]]
        if not all(_unchanged(Path(path), state) for path, state in zip(paths, before, strict=True)):
            return None
        data = np.memmap(data_path, np.uint8, "r")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return ImageStore({Path(path): row for path, row in zip(paths, rows, strict=True)}, data)


def _build(paths: list[str], index_path: Path, data_path: Path) -> None:
    rows, files, offset = [], [], 0
    # Two trainings that start together each write one of their own.
    with whole_file(data_path) as whole, whole.bytes() as file:
        for path in map(Path, paths):
            state, content = _state(path), _content(path)
            files.append(astuple(replace(state, digest=_digest(content))))
            image = _decoded(path, content)
            file.write(image.tobytes())
            rows.append([offset, image.shape[0], image.shape[1]])
            offset += image.size
    write_json(index_path, {"paths": paths, "rows": rows, "files": files}, indent=None)
