"""Video human pose at a compute budget that you state."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vipnas_cli.api import PoseTracker, TrackedFrame, read_video, track
    from vipnas_cli.errors import VipnasError
    from vipnas_cli.pose import People
    from vipnas_cli.spec import Budget

__version__ = "0.1.0"
__all__ = ["Budget", "People", "PoseTracker", "TrackedFrame", "VipnasError", "read_video", "track"]

# Loaded when they are asked for: `vipnas --help` needs none of them.
_MODULES = {"Budget": "spec", "People": "pose", "VipnasError": "errors"}


def __getattr__(name: str) -> Any:
    """A public name of the package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
