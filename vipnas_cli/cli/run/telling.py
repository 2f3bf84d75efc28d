"""Options of `vipnas run` that say what is told while it runs, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.console import Messages, ProgressKind, message_console
from vipnas_cli.cli.failures import sentences
from vipnas_cli.errors import OutputError, VipnasError
from vipnas_cli.files import shown
from vipnas_cli.locks import LineLog


@dataclass(frozen=True)
class TellingOptions:
    """What is told, and where."""

    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the summary, or what went wrong, as one JSON document on stdout.",
            rich_help_panel="Messages",
        ),
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no summary.", rich_help_panel="Messages")
    ] = False
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Tell of input, networks and versions.", rich_help_panel="Messages"),
    ] = False
    progress: Annotated[
        ProgressKind,
        typer.Option(
            help="auto: a bar on a terminal, a line every 5 s elsewhere; json: a JSON line every second on stderr.",
            rich_help_panel="Messages",
        ),
    ] = ProgressKind.auto
    log_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add all messages to this file, with time stamps; also what is quiet, and what --verbose tells.",
            rich_help_panel="Messages",
        ),
    ] = None


def _opened(path: Path) -> LineLog:
    """The log to add to; OutputError for a file that is something else."""
    begin = path.read_bytes()[:11] if path.is_file() else b""
    if begin and not re.fullmatch(rb"\d{4}-\d\d-\d\dT", begin):
        raise OutputError(f"{shown(path)} exists already and is no log of vipnas", "name another file with --log-file")
    return LineLog(path)


@contextmanager
def messages(options: TellingOptions) -> Iterator[Messages]:
    """Where messages go; what ends the block goes to the log, too."""
    log = None if options.log_file is None else _opened(options.log_file)
    console = message_console(options.quiet, options.verbose, log)
    try:
        yield console
    except VipnasError as error:
        console.note(sentences(error))
        raise
    except KeyboardInterrupt:
        console.note("interrupted")
        raise
    finally:
        if log is not None:
            log.close()
