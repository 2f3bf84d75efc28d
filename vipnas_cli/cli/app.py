"""The `vipnas` command: how it is called, and how failures become sentences and exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from vipnas_cli.cli.commands import app
from vipnas_cli.cli.failures import document_of, sentences, told
from vipnas_cli.cli.signals import heed_signals, ignore_signals
from vipnas_cli.errors import UsageError, VipnasError
from vipnas_cli.files import cannot_write

INTERRUPTED = 130
INTERRUPTION = {
    "schema": 1,
    "error": {"code": "Interrupted", "what": "interrupted", "hint": "", "exit_code": INTERRUPTED},
}


def _because_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


def _run() -> None:
    """The command that was typed, and all that it printed, also the last of it; OutputError if stdout takes no more."""
    stdout = sys.stdout
    try:
        app()
    except SystemExit as error:
        if _because_of(error, BrokenPipeError):  # Typer and rich turn it into this
            raise cannot_write(Path("stdout"), BrokenPipeError(errno.EPIPE, "Broken pipe")) from error
        raise
    finally:
        try:
            if stdout is not None:  # which it is without a stdout
                stdout.flush()
        except OSError as error:
            _silence(stdout)
            raise cannot_write(Path("stdout"), error) from error


def bear_any_text() -> None:
    """Lets stdout and stderr take every text: signs that they have not, as in names that are not UTF-8, become `?`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Runs the command line; a failure becomes one sentence on stderr, a document with --json, and an exit code."""
    bear_any_text()
    heed_signals()
    try:
        _run()
    except SystemExit as error:
        if error.code == INTERRUPTED:
            ignore_signals()
            if _because_of(error, KeyboardInterrupt):  # Typer turns an interrupt into this
                _tell_interrupt()
        wrong = getattr(error.__context__, "format_message", None)
        if wrong is not None:  # Typer has told it on stderr
            _tell_document(document_of(UsageError(wrong(), "see --help")))
        raise
    except (VipnasError, OSError, ImportError) as error:
        if os.environ.get("VIPNAS_DEBUG"):
            raise
        failure = told(error)
        print(f"vipnas: {sentences(failure)}", file=sys.stderr)
        _tell_document(document_of(failure))
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        _tell_interrupt()
        sys.exit(INTERRUPTED)


def _tell_interrupt() -> None:
    print("vipnas: interrupted.", file=sys.stderr)
    _tell_document(INTERRUPTION)


def _tell_document(document: dict[str, Any]) -> None:
    """Prints what went wrong if --json asks for it, as far as stdout takes it; stderr has it in any case."""
    if "--json" not in sys.argv[1:] or sys.stdout is None:
        return
    from vipnas_cli.cli.console import print_json

    try:
        print_json(document)
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)


def _silence(stdout: TextIO) -> None:
    """Sends what is left to nowhere: Python would try again at its end, and fail with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
