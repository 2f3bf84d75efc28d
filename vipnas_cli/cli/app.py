"""The `vipnas` command: its subcommands, and how failures become sentences and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from vipnas_cli import __version__
from vipnas_cli.cli.bench import bench
from vipnas_cli.cli.commands import config_app, data_app, doctor, info, models
from vipnas_cli.cli.console import bear_any_text, print_json
from vipnas_cli.cli.convert.command import convert
from vipnas_cli.cli.defaults import defaults_of
from vipnas_cli.cli.eval.commands import eval_app
from vipnas_cli.cli.export import export
from vipnas_cli.cli.failures import document_of, sentences, told
from vipnas_cli.cli.import_network import import_network
from vipnas_cli.cli.latency_table import latency_table
from vipnas_cli.cli.report.command import report
from vipnas_cli.cli.run.command import run
from vipnas_cli.cli.search.command import search
from vipnas_cli.cli.signals import heed_signals, ignore_signals
from vipnas_cli.cli.train.command import train
from vipnas_cli.errors import UsageError, VipnasError
from vipnas_cli.files import cannot_write

INTERRUPTED = 130
INTERRUPTION = {
    "schema": 1,
    "error": {"code": "Interrupted", "what": "interrupted", "hint": "", "exit_code": INTERRUPTED},
}

app = typer.Typer(
    name="vipnas",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 unreadable input, 4 weights, 5 damaged frames, 130 interrupted "
    "(Ctrl-C, SIGTERM or SIGHUP).",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vipnas {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Video human pose at a compute budget that you state.

    Every few frames a key network looks carefully; in between, light networks carry the pose on.
    """
    context.default_map = defaults_of(context.command)


app.command()(run)
app.command()(convert)
app.command()(report)
app.command()(train)
app.command()(search)
app.add_typer(eval_app, name="eval")
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.command()(export)
app.command("import")(import_network)
app.command()(bench)
app.command()(latency_table)
app.command()(models)
app.command()(info)
app.command()(doctor)


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
    try:
        print_json(document)
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)


def _silence(stdout: TextIO) -> None:
    """Sends what is left to nowhere: Python would try again at its end, and fail with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
