"""`vipnas import --list`, and checkpoints of the authors on the command line."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from vipnas_cli.bundle.pipelines import Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.cli.app import app
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.foreign.known import KNOWN
from vipnas_cli.spec import Budget


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


@pytest.mark.parametrize("macs", [700_000, 4_700_000, 104_000_000, 302_331_648])
def test_the_command_that_is_named_next_has_a_budget_that_buys_a_pipeline(
    macs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    from vipnas_cli.cli import import_job
    from vipnas_cli.cli.import_network import ImportOptions

    bundle = open_bundle(bundled_weights())
    key = bundle.pipelines[0].networks[0]
    pipelines = tuple(Pipeline(str(cost), (replace(key, macs=cost),), {}) for cost in (2 * macs, macs))
    imported: Any = SimpleNamespace(pipelines=pipelines)
    import_job._print_next(ImportOptions(Path("net.onnx"), out=Path("my net.vipnas")), imported, Console(width=200))
    words = shlex.split(capsys.readouterr().out.partition("Next: ")[2])
    assert words[:-1] == ["vipnas", "run", "CLIP.mp4", "--weights", "my net.vipnas", "--budget"]
    budget = Budget.parse(words[-1])
    assert replace(bundle, pipelines=pipelines).within(budget.value).name == str(macs)
