"""`vipnas doctor`: a sound installation passes, and each thing that can be missing is told with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.cli import doctor_packages, doctor_trial
from vipnas_cli.cli.app import app
from vipnas_cli.cli.doctor_job import codec_findings, folder_findings
from vipnas_cli.cli.doctor_packages import Requirement, declared, package_findings, parse_requirement
from vipnas_cli.cli.doctor_trial import sensible, weight_findings


def test_this_installation_passes() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0, result.stdout
    assert (document["schema"], document["ok"]) == (1, True)
    for finding in document["findings"]:
        assert finding["state"] == "ok" or finding["advice"]


@pytest.mark.parametrize(
    ("bounds", "version", "allowed"),
    [
        (">=18", "18.1.0", True),
        (">=18", "17.9", False),
        (">=2.6,<2.14", "2.13.0+cpu", True),
        (">=2.6,<2.14", "2.14.0", False),
        ("<2.14,>=2.6", "2.5.9", False),
        (">=1.20", "1.20rc1", True),
        (">=3.11", "3.13.0+", True),
        ("", "0.1", True),
        (">=1", "unknown", False),
        ("==3.1", "3.1.0", True),
    ],
)
def test_bounds(bounds: str, version: str, allowed: bool) -> None:
    assert Requirement("package", bounds).allows(version) == allowed


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("av>=18", Requirement("av", ">=18")),
        ("torch<2.14,>=2.6; extra == 'train'", Requirement("torch", "<2.14,>=2.6", "train")),
        ('faster-coco-eval>=1.6 ; extra == "eval"', Requirement("faster-coco-eval", ">=1.6", "eval")),
        ("numpy (>=2.0)", Requirement("numpy", ">=2.0")),
    ],
)
def test_requirements_are_read(text: str, requirement: Requirement) -> None:
    assert parse_requirement(text) == requirement


def test_what_is_declared_names_the_runtime_and_torch() -> None:
    _, requirements = declared()
    by_name = {requirement.name: requirement for requirement in requirements}
    assert by_name["onnxruntime"].extra == ""
    assert by_name["torch"].extra == "train"


def test_a_missing_package_fails_and_one_of_an_extra_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("av", "torch"):
            raise metadata.PackageNotFoundError(name)
        return "99" if name == "safetensors" else "0.0.1"

    monkeypatch.setattr(doctor_packages.metadata, "version", version)
    found = {finding.what: finding for finding in package_findings()}
    assert (found["av"].state, found["torch"].state) == ("fail", "warn")
    assert (found["numpy"].state, found["safetensors"].state) == ("fail", "ok")
    assert "vipnas[train]" in found["torch"].advice
    assert "train" in found["torch"].found


def test_a_package_that_cannot_be_loaded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        if name == "cv2":
            raise ImportError("libGL.so.1 is missing")

    monkeypatch.setattr(doctor_packages, "import_module", broken)
    found = {finding.what: finding for finding in package_findings()}
    assert found["opencv-python"].state == "fail"
    assert "libGL" in found["opencv-python"].found


def test_changed_weights_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in bundled_weights().glob("*"):
        if path.suffix in (".onnx", ".json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "detector.onnx").write_bytes(b"other")
    monkeypatch.setattr(doctor_trial, "bundled_weights", lambda: tmp_path)
    (finding,) = weight_findings()
    assert finding.state == "fail"
    assert "detector.onnx" in finding.found
    assert finding.advice


def test_sensible_heatmaps() -> None:
    good = np.full((1, 17, 4, 4), 0.5, np.float32)
    assert sensible(good)
    for wrong in (np.nan, np.inf, 40.0, -3.0):
        assert not sensible(np.where(good == 0.5, np.float32(wrong), good))


def test_a_codec_that_is_not_built_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipnas_cli.cli.doctor_job.NEEDED_CODECS", (("no_such_codec", "r"),))
    monkeypatch.setattr("vipnas_cli.cli.doctor_job.CODEC_NAMES", {"no_such_codec": "X", "h264": "H.264"})
    monkeypatch.setattr("vipnas_cli.cli.doctor_job.USEFUL_CODECS", (("h264", "r"),))
    missing, there = codec_findings()
    assert (missing.state, there.state) == ("fail", "ok")


def test_folders_that_cannot_be_written_warn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    here, cache, _ = folder_findings()
    assert (here.state, cache.state) == ("ok", "warn")
    assert "VIPNAS_CACHE" in cache.advice


LIB_GL = ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")


def test_a_slim_container_is_told_the_build_of_opencv_that_it_can_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(name: str) -> None:
        if name == "cv2":
            raise LIB_GL

    monkeypatch.setattr(doctor_packages, "import_module", loaded)
    (finding,) = [finding for finding in package_findings() if finding.what == "opencv-python"]
    assert finding.state == "fail"
    assert "no libGL.so.1" in finding.found
    assert "opencv-python-headless" in finding.advice


def test_a_command_that_cannot_load_opencv_says_the_same_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text(f"raise ImportError({LIB_GL.msg!r}, name='cv2')\n")
    search = os.pathsep.join((str(tmp_path), *sys.path))
    told = subprocess.run(
        [sys.executable, "-m", "vipnas_cli", "run", "clip.mp4"],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 1
    assert told.stderr.startswith(
        "vipnas: OpenCV cannot be loaded: this system has no libGL.so.1. Use its build without"
    )
    assert "pip install --force-reinstall --no-deps opencv-python-headless" in told.stderr


def test_the_headless_build_of_opencv_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "opencv-python":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(doctor_packages, "_other_build", lambda _: "opencv-python-headless")
    (finding,) = [finding for finding in package_findings() if finding.what == "opencv-python"]
    assert (finding.state, finding.found) == ("ok", "opencv-python-headless in its place")
