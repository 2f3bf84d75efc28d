"""The clip that comes with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def example_clip() -> Path:
    """A clip of two synthetic people (in a source checkout: under `examples/`)."""
    package = Path(str(resources.files("vipnas_cli")))
    inside = package / "examples" / "two_people.mp4"
    return inside if inside.is_file() else package.parent / "examples" / "two_people.mp4"
