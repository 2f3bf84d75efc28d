"""How failures are told: one sentence on what happened, one on what to do."""

from __future__ import annotations

from typing import Any

from vipnas_cli.errors import VipnasError
from vipnas_cli.files import shown


def sentences(error: VipnasError) -> str:
    """What happened and what to do, each ending in a full stop."""
    hint = error.hint if error.hint.startswith("pip ") else error.hint[:1].upper() + error.hint[1:]
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in (error.what, hint) if text)


def of_system(error: OSError) -> VipnasError:
    """What the system says of a file; other errors of the system are faults of the program and go on."""
    if error.filename is None:
        raise error
    return VipnasError(f"{shown(str(error.filename))} cannot be used: {error.strerror}")


def document_of(error: VipnasError) -> dict[str, Any]:
    """What --json prints of a failure."""
    about = {"code": type(error).__name__, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
    return {"schema": 1, "error": about}
