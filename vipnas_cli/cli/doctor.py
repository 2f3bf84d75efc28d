"""`vipnas doctor`: the options; the work is in doctor_job."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print all findings as one JSON document.")] = False,
) -> None:
    """Check that everything vipnas needs is there and works; exit code 1 if something does not.

    Example: vipnas doctor
    """
    from vipnas_cli.cli.doctor_job import doctor_job

    raise typer.Exit(doctor_job(json_))
