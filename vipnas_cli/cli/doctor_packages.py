"""Whether Python and the installed packages are those that the project declares."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import Literal

import packaging.requirements
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from vipnas_cli.cli.failures import of_import

State = Literal["ok", "warn", "fail"]
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")
EXTRAS = {
    "train": "vipnas train, search and export",
    "eval": "COCO scores of vipnas eval, and pictures of scores",
}
MODULES = {"opencv-python": "cv2"}
OTHER_BUILDS = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-silicon", "onnxruntime-directml"),
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python-headless", "opencv-contrib-python"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `advice` says what to do about a warning or failure."""

    state: State
    what: str
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Requirement:
    """A package, its bounds as declared, and the extra that needs it ("" for all uses)."""

    name: str
    bounds: str
    extra: str = ""

    def allows(self, version: str) -> bool:
        """Whether a version is within the bounds."""
        try:
            # What follows the release numbers (rc1, +cu126, the + of a Python between releases) is left aside.
            return SpecifierSet(self.bounds).contains(Version(version.rstrip("+")).base_version)
        except InvalidVersion:
            return False


def package_findings() -> Iterator[Finding]:
    """Python, then each declared package; what only an extra needs is never a failure."""
    requires_python, requirements = declared()
    python = platform.python_version()
    fits = Requirement("python", requires_python).allows(python)
    yield Finding("ok" if fits else "fail", "Python", python, "" if fits else f"use Python {requires_python}")
    for requirement in requirements:
        if requirement.extra == "" or requirement.extra in EXTRAS:
            yield _package(requirement)


def declared() -> tuple[str, tuple[Requirement, ...]]:
    """The Python versions and packages that the project declares, installed or in a source checkout."""
    try:
        facts = metadata.metadata("vipnas")
        python, texts = facts["Requires-Python"], facts.get_all("Requires-Dist") or []
    except metadata.PackageNotFoundError:
        package = Path(str(resources.files("vipnas_cli")))
        project = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"].items()
        python = project["requires-python"]
        texts = [*project["dependencies"], *(f"{text}; extra == '{name}'" for name, rows in extras for text in rows)]
    return python, tuple(parse_requirement(text) for text in texts)


def parse_requirement(text: str) -> Requirement:
    """The requirement that a line of package metadata states."""
    found = packaging.requirements.Requirement(text)
    extra = _EXTRA.search(str(found.marker or ""))
    return Requirement(found.name, str(found.specifier), extra[1] if extra else "")


def _package(requirement: Requirement) -> Finding:
    extra = requirement.extra
    use = f", for {EXTRAS[extra]}" if extra else ""
    advice = f"pip install 'vipnas[{extra}]'" if extra else f"pip install '{requirement.name}{requirement.bounds}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        if not extra and (other := _other_build(requirement.name)):
            return _fault(requirement.name) or Finding("ok", requirement.name, f"{other} in its place")
        return Finding("warn" if extra else "fail", requirement.name, f"not installed{use}", advice)
    if not extra and (fault := _fault(requirement.name)):
        return replace(fault, found=f"{version}: {fault.found}", advice=fault.advice or f"{advice} --force-reinstall")
    if requirement.allows(version):
        return Finding("ok", requirement.name, f"{version}{use}")
    return Finding("warn" if extra else "fail", requirement.name, f"{version}, needs {requirement.bounds}{use}", advice)


def _fault(name: str) -> Finding | None:
    """Why a package that is installed cannot be imported, None if it can."""
    try:
        import_module(MODULES.get(name, name))
    except ImportError as error:
        try:
            told = of_import(error)
        except ImportError:
            return Finding("fail", name, f"cannot be loaded: {error}")
        return Finding("fail", name, told.what, told.hint)
    except OSError as error:
        return Finding("fail", name, f"cannot be loaded: {error}")
    return None


def _other_build(name: str) -> str:
    """A build of a package for other hardware or without windows, which has a name of its own."""
    installed = {found.metadata["Name"] for found in metadata.distributions()}
    return next((other for other in OTHER_BUILDS.get(name, ()) if other in installed), "")
