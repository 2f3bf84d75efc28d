"""Pictures from files: never larger than allowed, never a pipe; the cache of decoded ones holds what the files hold."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vipnas_cli.data.files.image_store import ImageStore, read_image
from vipnas_cli.errors import DataError
from vipnas_cli.media.picture_size import stated_size

ENDINGS = (".png", ".jpg", ".webp", ".bmp", ".tiff", ".jp2", ".gif", ".avif")


def picture(height: int, width: int, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG that says so of itself and holds a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_headers_state_the_size_that_decoding_gives(ending: str) -> None:
    try:
        good, data = cv2.imencode(ending, picture(48, 80))
    except cv2.error:
        good = False
    if not good:
        pytest.skip(f"this OpenCV writes no {ending}")
    assert stated_size(data.tobytes()) == (80, 48)


def test_comments_and_filling_before_the_size_of_a_jpeg_are_passed() -> None:
    data = cv2.imencode(".jpg", picture(48, 80))[1].tobytes()
    comment = b"\xff\xfe" + struct.pack(">H", 60_000) + bytes(59_998)
    assert stated_size(data[:2] + comment * 3 + b"\xff\xff" + data[2:]) == (80, 48)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_damaged_headers_state_nothing_or_something_and_never_fail(ending: str) -> None:
    data = cv2.imencode(ending, picture(8, 8))[1].tobytes()
    for length in range(min(len(data), 200)):
        stated_size(data[:length])
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data)
        for place in generator.integers(0, len(data), 3).tolist():
            damaged[place] = int(generator.integers(256))
        stated_size(bytes(damaged))
    assert stated_size(b"no picture") is None


def test_a_picture_larger_than_allowed_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(30_000, 30_000))
    with pytest.raises(DataError, match=r"bomb\.png is a picture of 30000×30000, more than") as caught:
        read_image(path)
    assert "VIPNAS_MAX_PIXELS=900000000" in caught.value.hint
    cv2.imwrite(str(tmp_path / "small.png"), picture(48, 80))
    assert read_image(tmp_path / "small.png").shape == (48, 80, 3)
    monkeypatch.setenv("VIPNAS_MAX_PIXELS", "1000")
    with pytest.raises(DataError, match="80×48"):
        read_image(tmp_path / "small.png")


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "text.png").write_text("words")
    (tmp_path / "empty.png").touch()
    for name in ("pipe.png", "text.png", "empty.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)


def saved(folder: Path, name: str, value: int) -> Path:
    path = folder / name
    cv2.imwrite(str(path), picture(4, 6, value))
    return path


def test_a_cache_gives_the_pixels_and_is_built_once(tmp_path: Path) -> None:
    paths = [saved(tmp_path, "a.png", 10), saved(tmp_path, "b.png", 20)]
    for _ in range(2):
        store = ImageStore.open(tmp_path / "cache", paths)
        assert [int(store[path].max()) for path in paths] == [10, 20]
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("kind", ["png", "bmp"])
def test_a_changed_picture_is_seen(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, f"a.{kind}", 10)
    before = path.stat()
    assert ImageStore.open(tmp_path / "cache", [path])[path].max() == 10
    saved(tmp_path, path.name, 11)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as copies that keep the date
    assert ImageStore.open(tmp_path / "cache", [path])[path].max() == 11
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_touched_picture_is_read_again_and_decoded_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "a.png", 10)
    ImageStore.open(tmp_path / "cache", [path])
    monkeypatch.setattr("vipnas_cli.media.pictures.cv2.imdecode", None)
    path.touch()
    assert ImageStore.open(tmp_path / "cache", [path])[path].max() == 10


@pytest.mark.parametrize("damage", [b"", b"{", b"[" * 100_000, b'{"paths": [], "rows": []}', b"\xff"])
def test_a_damaged_index_is_built_anew(tmp_path: Path, damage: bytes) -> None:
    path = saved(tmp_path, "a.png", 10)
    ImageStore.open(tmp_path / "cache", [path])
    (index,) = (tmp_path / "cache").glob("*.json")
    index.write_bytes(damage)
    assert ImageStore.open(tmp_path / "cache", [path])[path].max() == 10


@pytest.mark.parametrize("size", [0, 10, 100])
def test_a_cut_cache_is_built_anew(tmp_path: Path, size: int) -> None:
    path = saved(tmp_path, "a.png", 10)
    ImageStore.open(tmp_path / "cache", [path])
    (data,) = (tmp_path / "cache").glob("*.bin")
    os.truncate(data, size)
    assert ImageStore.open(tmp_path / "cache", [path])[path].min() == 10
