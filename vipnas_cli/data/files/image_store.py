"""A compact cache of decoded images: one flat file that the operating system keeps in memory as far as it fits."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import DataError


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
        """The store of these images in `folder`, built on first use; DataError names an image that cannot be read."""
        wanted = sorted({str(path) for path in paths})
        name = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
        index_path, data_path = folder / f"{name}.json", folder / f"{name}.bin"
        if not index_path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _build(wanted, index_path, data_path)
        index = json.loads(index_path.read_text())
        data = np.memmap(data_path, np.uint8, "r")
        rows = zip(index["paths"], index["rows"], strict=True)
        return ImageStore({Path(path): (row[0], row[1], row[2]) for path, row in rows}, data)


def read_image(path: Path) -> NDArray[np.uint8]:
    """An image file as RGB (H, W, 3); DataError if it cannot be read."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path} is not a readable image", "remove it from the labels or restore the file")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _build(paths: list[str], index_path: Path, data_path: Path) -> None:
    rows, offset = [], 0
    # Two trainings that start together each write one of their own.
    partial = data_path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        for path in paths:
            image = read_image(Path(path))
            file.write(image.tobytes())
            rows.append([offset, image.shape[0], image.shape[1]])
            offset += image.size
    partial.replace(data_path)
    text = json.dumps({"paths": paths, "rows": rows})
    partial.write_text(text)
    partial.replace(index_path)
