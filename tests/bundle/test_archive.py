"""A bundle of one file is read where it lies, and what could do harm is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from vipnas_cli.bundle.archive import is_archive, read_member, unpack, write_archive
from vipnas_cli.bundle.reader import MANIFEST, open_bundle
from vipnas_cli.errors import WeightsError

FORMAT_1 = Path(__file__).parent / "format_1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "pose.vipnas"
    write_archive(FORMAT_1, path)
    return path


def test_a_file_holds_what_the_folder_holds(archive: Path) -> None:
    found, expected = open_bundle(archive), open_bundle(FORMAT_1)
    assert [p.name for p in found.pipelines] == [p.name for p in expected.pipelines]
    for one, other in zip(found.pipelines[0].networks, expected.pipelines[0].networks, strict=True):
        assert one.read() == other.read()
        assert one.plan == other.plan


def test_nothing_is_unpacked_and_equal_contents_are_equal_files(archive: Path, tmp_path: Path) -> None:
    open_bundle(archive).pipelines[0].networks[0].read()
    assert list(tmp_path.iterdir()) == [archive]
    other = tmp_path / "again.vipnas"
    write_archive(FORMAT_1, other)
    assert other.read_bytes() == archive.read_bytes()


def test_unpacking_gives_the_folder_back(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    unpack(archive, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in FORMAT_1.iterdir()}


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, -1])
def test_truncated_files_are_refused(archive: Path, keep: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightsError, match=r"pose\.vipnas"):
        open_bundle(archive)


def test_a_changed_byte_is_noticed(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    where = data.index(b"ir_version") if b"ir_version" in data else len(data) // 4
    data[where] ^= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match=r"pose\.vipnas"):
        open_bundle(archive).pipelines[0].networks[0].read()


def test_compressed_members_are_refused_before_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "bomb.vipnas"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MANIFEST, b" " * 10_000_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match="compressed"):
        open_bundle(path)


@pytest.mark.parametrize("name", ["../evil.onnx", "/etc/passwd", "folder/net.onnx", "..\\evil.onnx"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.vipnas"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(MANIFEST, (FORMAT_1 / MANIFEST).read_bytes())
        file.writestr(name, b"x")
    with pytest.raises(WeightsError, match="outside itself"):
        open_bundle(path)


def test_members_that_share_their_bytes_are_refused(archive: Path) -> None:
    data = archive.read_bytes()
    # The central directory names each member's place and size; a size that claims more is a lie.
    start = data.index(b"PK\x01\x02")
    claimed = (2**31 - 1).to_bytes(4, "little")
    archive.write_bytes(data[: start + 20] + claimed * 2 + data[start + 28 :])
    with pytest.raises(WeightsError, match="more than its size"):
        read_member(archive, MANIFEST)


def test_a_missing_member_and_other_files_are_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no nothing\.onnx"):
        read_member(archive, "nothing.onnx")
    text = tmp_path / "text.vipnas"
    text.write_text("no zip")
    assert is_archive(text)
    with pytest.raises(WeightsError, match=r"text\.vipnas"):
        open_bundle(text)
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "missing.vipnas")
