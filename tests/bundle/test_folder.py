"""A bundle that is not finished leaves nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.errors import OutputError, WeightsError
from vipnas_cli.locks import only_writer

FORMAT_1 = Path(__file__).parent / "format_1"


def _interrupted(out: Path) -> None:
    with bundle_folder(out) as folder:
        folder.mkdir(exist_ok=True)
        (folder / "new.onnx").write_bytes(b"half")
        raise KeyboardInterrupt


def _refused_halfway(out: Path) -> None:
    with bundle_folder(out) as folder:
        (folder / "detector.onnx").touch()
        (folder / "manifest.json").write_text('{"detector": {"file": "detector.onnx"}}')
        raise WeightsError("another network is refused", "export without it")


def _refused_after(out: Path, write: Callable[[Path], object]) -> None:
    with bundle_folder(out) as folder:
        write(folder)
        raise WeightsError("another network is refused", "export without it")


def test_half_a_file_goes_though_its_name_is_part_of_one_that_stays(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    copytree(FORMAT_1, out)
    kept = sorted(path.name for path in out.iterdir())
    whole = json.loads((out / "manifest.json").read_text())["networks"].popitem()[1]["file"]
    with pytest.raises(WeightsError):
        _refused_after(out, lambda folder: (folder / whole[4:]).write_bytes(b"half"))
    assert sorted(path.name for path in out.iterdir()) == kept


def test_what_a_manifest_names_by_now_stays(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    copytree(FORMAT_1, out)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["detector"] = {"file": "new.onnx", "sha256": "", "macs": 1, "side": 320, "threshold": 0.3}

    def written(folder: Path) -> None:
        (folder / "new.onnx").touch()
        (folder / "half.onnx").touch()
        (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(WeightsError):
        _refused_after(out, written)
    assert (out / "new.onnx").exists()
    assert not (out / "half.onnx").exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.vipnas"])
def test_an_interrupted_export_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_export_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"whole")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]


def test_half_of_an_export_is_no_bundle(tmp_path: Path) -> None:
    """In a new folder what a manifest names goes, too."""
    with pytest.raises(WeightsError):
        _refused_halfway(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="locks differ there")
def test_a_file_that_is_not_there_yet_has_one_writer(tmp_path: Path) -> None:
    out = tmp_path / "new.vipnas"
    with bundle_folder(out) as folder:
        with pytest.raises(OutputError, match=r"(?m)another process is writing to .*/new\.vipnas$"), bundle_folder(out):
            pass
        with bundle_folder(tmp_path / "other.vipnas"):
            pass
        (folder / "first").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"new.vipnas", "other.vipnas"}


@pytest.mark.skipif(os.name == "nt", reason="locks differ there")
def test_a_lock_that_a_killed_process_left_is_none(tmp_path: Path) -> None:
    (tmp_path / ".new.vipnas.lock").touch()
    with bundle_folder(tmp_path / "new.vipnas"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["new.vipnas"]


@pytest.mark.skipif(os.name == "nt", reason="locks differ there")
@pytest.mark.parametrize("name", ["bundle", "bundle.vipnas"])
def test_a_bundle_has_one_writer(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    if out.suffix:
        out.touch()
    else:
        out.mkdir()
    with only_writer(out), pytest.raises(OutputError, match="another process is writing"), bundle_folder(out):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
