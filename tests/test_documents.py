"""Laws of documents: whatever is in a file, it is read in its shape or refused by one sentence that names the place."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from vipnas_cli.documents import DocumentKind, brief
from vipnas_cli.errors import DataError


@dataclass(frozen=True)
class Inner:
    count: int
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be below 0")


@dataclass(frozen=True)
class Shape:
    kind: Literal["a", "b"]
    inner: Inner
    values: tuple[float, ...] = ()


KIND = DocumentKind("a shape", DataError, "write another", 6000)
GOOD = '{"kind": "a", "inner": {"count": 1}, "values": [1, 2.5], "unknown": [[]]}'


def written(folder: Path, content: str | bytes, name: str = "x.json") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("content", [GOOD, b"\xef\xbb\xbf" + GOOD.encode(), f" {GOOD}\r\n"])
def test_a_document_is_read_in_its_shape(tmp_path: Path, content: str | bytes) -> None:
    assert KIND.read(written(tmp_path, content), Shape) == Shape("a", Inner(1), (1.0, 2.5))


def test_packed_documents_are_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(GOOD.encode()), "x.json.gz")
    assert KIND.read(path, Shape).inner == Inner(1)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"kind": "c", "inner": {"count": 1}}', "at kind: invalid enum value 'c'"),
        ('{"kind": "a", "inner": {"count": "1"}}', "at inner.count: expected int, got str"),
        ('{"kind": "a", "inner": {"count": null}}', "at inner.count: expected int, got null"),
        ('{"kind": "a", "inner": [1]}', "at inner: expected object, got array"),
        ('{"kind": "a", "inner": {"count": -1}}', "at inner: count must not be below 0"),
        ('{"kind": "a"}', "missing required field inner"),
        ('{"kind": "a", "inner": {"count": 1, "rate": Infinity}}', "invalid character"),
        ('{"kind": "a", "inner": {"count": 1, "rate": NaN}}', "invalid character"),
        ('{"kind": "a", "inner": {"count": 1, "rate": 1e999}}', "number out of range"),
        ('{"kind": "a", "inner": {"count": ' + "1" * 5000 + "}}", "out of range"),
        ('{"kind": "a", "inner": {"count": 1}', "truncated"),
        ("", "truncated"),
        ("[]", "expected object, got array"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (b'{"kind": "\xff"}', "no UTF-8"),
        ('{"kind": "\\ud800"}', "truncated|enum|surrogate"),
        (" " * 6001, "larger than"),
    ],
)
def test_anything_else_is_one_sentence(tmp_path: Path, content: str | bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as found:
        KIND.read(written(tmp_path, content), Shape)
    assert str(tmp_path / "x.json") in found.value.what
    assert "\n" not in found.value.what
    assert found.value.hint == "write another"


def test_depth_is_bounded(tmp_path: Path) -> None:
    deep = DocumentKind("a shape", DataError, "")
    for content in ("[" * 200_000, '{"a":' * 200_000):
        with pytest.raises(DataError, match="nested too deep"):
            deep.read_any(written(tmp_path, content))
    with pytest.raises(DataError):
        deep.parse_toml("a = " + "[" * 200_000, "x.toml")


def test_a_small_file_does_not_unpack_to_a_large_one(tmp_path: Path) -> None:
    labels = DocumentKind("a shape", DataError, "", 10**9)
    path = written(tmp_path, gzip.compress(b"[" + b" " * 50_000_000 + b"]"), "x.json.gz")
    with pytest.raises(DataError, match="unpack to more than 10 MB"):
        labels.read_any(path)


def test_what_was_read_is_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands under the name by then."""
    monkeypatch.setattr("vipnas_cli.documents.read_regular", lambda *_: gzip.compress(GOOD.encode()))
    assert KIND.read(tmp_path / "gone.json.gz", Shape).inner == Inner(1)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"no gzip", gzip.compress(b"[]" * 99)[:-9]])
def test_damaged_packed_documents_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError):
        KIND.read_any(written(tmp_path, content, "x.json.gz"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path, tmp_path / "missing.json", Path("/dev/zero")):
        with pytest.raises(DataError):
            KIND.read_any(path)


def test_cut_last_lines_are_left_out_and_others_are_told(tmp_path: Path) -> None:
    assert KIND.read_lines(written(tmp_path, '{"count": 1}\n{"count": 2}\n{"cou'), Inner) == [Inner(1), Inner(2)]
    with pytest.raises(DataError, match=r"x\.json, line 2 is not a shape: at count: expected int"):
        KIND.read_lines(written(tmp_path, '{"count": 1}\n{"count": "a"}\n'), Inner)


def test_values_read_from_elsewhere_are_checked_alike() -> None:
    assert KIND.convert({"count": 3}, "here", Inner) == Inner(3)
    with pytest.raises(DataError, match="here is not a shape: at count"):
        KIND.convert({"count": 3.5}, "here", Inner)


def test_values_are_told_briefly() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    assert len(brief(deep)) < 60
    assert len(brief("x" * 10**6)) < 80
    assert "\x1b" not in brief("\x1b[31m")
    assert json.dumps(brief({"a": 1})) == "\"{'a': 1}\""
