"""A compact cache of decoded images: one flat file that the operating system keeps in memory as far as it fits."""

from __future__ import annotations

import hashlib
import json
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.picture_size import stated_size
from vipnas_cli.errors import DataError
from vipnas_cli.files import make_folder, read_regular, shown, whole_file, write_json
from vipnas_cli.media.limits import LIMIT_NAME, max_pixels

LARGEST_FILE = 1_000_000_000


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

        Images of another size or date than those that a store was built from make another store; one that is cut or
        damaged is built anew.
        """
        wanted = sorted({str(path) for path in paths})
        about = "\n".join(_about(path) for path in wanted)
        name = hashlib.sha256(about.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        index_path, data_path = folder / f"{name}.json", folder / f"{name}.bin"
        found = _opened(wanted, index_path, data_path)
        if found is None:
            make_folder(folder)
            _build(wanted, index_path, data_path)
            found = _opened(wanted, index_path, data_path)
        if found is None:
            raise DataError(f"the cache of images in {folder} changes while it is read", "use another folder for it")
        return found


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as RGB (H, W, 3); DataError if it cannot be read, or has more pixels than are allowed."""
    hint = "remove it from the labels or restore the file"
    try:
        data = read_regular(path, LARGEST_FILE)
    except FileNotFoundError:
        raise DataError(f"{shown(path)} does not exist", hint) from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}", hint) from error
    width, height = stated_size(data) or (0, 0)
    if width * height > max_pixels():
        raise DataError(
            f"{shown(path)} is a picture of {width}×{height}, more than {max_pixels()} pixels",
            f"if it can be trusted and memory suffices, set {LIMIT_NAME}={width * height}",
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{shown(path)} is not a readable image", hint)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _about(path: str) -> str:
    """An image's name with what changes when its content does; DataError if it is not there."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", "remove it from the labels or restore it"
        ) from error
    return f"{path} {found.st_size} {found.st_mtime_ns}"


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
        data = np.memmap(data_path, np.uint8, "r")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return ImageStore({Path(path): row for path, row in zip(paths, rows, strict=True)}, data)


def _build(paths: list[str], index_path: Path, data_path: Path) -> None:
    rows, offset = [], 0
    # Two trainings that start together each write one of their own.
    with whole_file(data_path) as whole, whole.bytes() as file:
        for path in paths:
            image = read_image(Path(path))
            file.write(image.tobytes())
            rows.append([offset, image.shape[0], image.shape[1]])
            offset += image.size
    write_json(index_path, {"paths": paths, "rows": rows}, indent=None)
