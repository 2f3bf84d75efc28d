"""Schedules in files, as searches write them."""

from __future__ import annotations

from pathlib import Path

from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import SpecError, UsageError
from vipnas_cli.files import shown
from vipnas_cli.spec.presets import PRESETS, preset
from vipnas_cli.spec.schedule import Plan, Schedule, schedule_of

SPECIFICATIONS = DocumentKind("a specification in JSON", UsageError, "name a spec that `vipnas search` wrote")


def read_schedule(name_or_path: str) -> Schedule:
    """The schedule of a preset's name, or of a JSON file with an architecture, a plan, a schedule or a candidate.

    UsageError if it is neither or the file cannot be read, SpecError if the file describes something else.
    """
    if name_or_path in PRESETS:
        return Schedule((Plan(preset(name_or_path)),))
    path = Path(name_or_path)
    if not path.exists():
        hint = f"presets are {', '.join(PRESETS)}"
        raise UsageError(f"{shown(name_or_path)} is neither a file nor a preset", hint)
    found = SPECIFICATIONS.read_any(path)
    try:
        return schedule_of(found)
    except SpecError as error:
        raise SpecError(f"{shown(path)}: {error.what}", error.hint) from error
