"""`vipnas doctor`: the options; the work is in doctor_job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from vipnas_cli.cli.command import command


@dataclass(frozen=True)
class DoctorOptions:
    """How findings are told."""

    json: Annotated[bool, typer.Option("--json", help="Print all findings as one JSON document.")] = False


@command
def doctor(options: DoctorOptions) -> None:
    """Check that everything vipnas needs is there and works; exit code 1 if something does not.

    Example: vipnas doctor
    """
    from vipnas_cli.cli.doctor_job import doctor_job

    raise typer.Exit(doctor_job(options))
