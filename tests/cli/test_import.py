"""`vipnas import --list`, and checkpoints of the authors on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vipnas_cli.cli.app import app
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.foreign.known import KNOWN


def vipnas(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


def test_known_networks_are_listed() -> None:
    assert all(network.address in vipnas("--list").stdout for network in KNOWN)
    rows = json.loads(vipnas("--list", "--json").stdout)["networks"]
    assert [row["name"] for row in rows] == [network.name for network in KNOWN]


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    (tmp_path / "net.pth").write_bytes(b"nothing")
    out = tmp_path / "net.vipnas"
    assert isinstance(vipnas(tmp_path / "net.pth", "-o", out).exception, WeightsError)
    assert isinstance(vipnas(tmp_path / "net.pth", "-o", out, "--grid", "edges").exception, UsageError)
    assert list(tmp_path.iterdir()) == [tmp_path / "net.pth"]
