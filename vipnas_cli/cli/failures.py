"""How failures are told: one sentence on what happened, one on what to do."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vipnas_cli.errors import ProgramError, VipnasError
from vipnas_cli.files import cannot_write, shown

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EIO)

_LIBRARY = re.compile(r"(lib[^\s:]+\.so[^\s:]*): cannot open shared object file")
# OpenCV's usual wheel wants the libraries of a desktop. Both wheels hold the same files, so the other one goes first.
HEADLESS = (
    "use its build without windows: pip uninstall -y opencv-python && pip install --force-reinstall --no-deps "
    "opencv-python-headless (in this order)"
)


def sentences(error: VipnasError) -> str:
    """What happened and what to do, each ending in a full stop."""
    hint = error.hint if error.hint.startswith("pip ") else error.hint[:1].upper() + error.hint[1:]
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in (error.what, hint) if text)


def of_system(error: OSError) -> VipnasError:
    """What the system says of a file or stdout; other errors of the system are faults of the program and go on."""
    if error.errno in FULL and error.filename is None:  # files that are written have their own sentences
        return cannot_write(Path("stdout"), error)
    if error.filename is None:
        raise error
    return VipnasError(f"{shown(str(error.filename))} cannot be used: {error.strerror}")


def of_import(error: ImportError) -> VipnasError:
    """What a package cannot be loaded for, if the system lacks a library; other failed imports are faults and go on."""
    found = _LIBRARY.search(str(error))
    if found is None:
        raise error
    package = (error.name or "a package").partition(".")[0]
    what = f"{'OpenCV' if package == 'cv2' else package} cannot be loaded: this system has no {found[1]}"
    return VipnasError(what, HEADLESS if package == "cv2" else f"install what has {found[1]} on your system")


def told(error: VipnasError | OSError | ImportError) -> VipnasError:
    """The error to tell; faults of the program go on."""
    if isinstance(error, VipnasError):
        return error
    return of_import(error) if isinstance(error, ImportError) else of_system(error)


@contextmanager
def faults_told() -> Iterator[None]:
    """Lets only errors that can be told out of a block: a fault of the program becomes a ProgramError."""
    try:
        yield
    except VipnasError:
        raise
    except Exception as error:
        raise _of_any(error) from error


def _of_any(error: Exception) -> VipnasError:
    if isinstance(error, OSError | ImportError):
        with suppress(OSError, ImportError):
            return told(error)
    about = shown(" ".join(f"{type(error).__name__}: {error}".split()))
    return ProgramError(f"a fault of this program, {about}", "report it with what --verbose tells")


def trace_of(error: VipnasError) -> str:
    """Where in the program a fault is, as Python tells it; nothing for other errors."""
    cause = error.__cause__ if isinstance(error, ProgramError) else None
    return "".join(traceback.format_exception(cause)).rstrip() if cause else ""


def document_of(error: VipnasError) -> dict[str, Any]:
    """What --json prints of a failure."""
    about = {"code": type(error).__name__, "what": error.what, "hint": error.hint, "exit_code": error.exit_code}
    return {"schema": 1, "error": about}
