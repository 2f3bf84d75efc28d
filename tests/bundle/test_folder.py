"""A bundle that is not finished leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vipnas_cli.bundle.folder import bundle_folder
from vipnas_cli.errors import OutputError
from vipnas_cli.files import only_writer


def _interrupted(out: Path) -> None:
    with bundle_folder(out) as folder:
        folder.mkdir(exist_ok=True)
        (folder / "new.onnx").write_bytes(b"half")
        raise KeyboardInterrupt


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
