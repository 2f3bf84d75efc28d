"""Schedules in files, as searches write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vipnas_cli.errors import SpecError, UsageError
from vipnas_cli.spec.presets import PRESETS, preset
from vipnas_cli.spec.schedule import Plan, Schedule, schedule_of


def read_schedule(name_or_path: str) -> Schedule:
    """The schedule of a preset's name, or of a JSON file with an architecture, a plan, a schedule or a candidate.

    UsageError if it is neither or the file cannot be read, SpecError if the file describes something else.
    """
    if name_or_path in PRESETS:
        return Schedule((Plan(preset(name_or_path)),))
    path = Path(name_or_path)
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = f"presets are {', '.join(PRESETS)}"
        raise UsageError(f"{name_or_path} is neither a file nor a preset", hint) from None
    except (OSError, ValueError) as error:
        hint = "name a spec that `vipnas search` wrote"
        raise UsageError(f"{path} is not readable JSON: {error}", hint) from error
    try:
        return schedule_of(found)
    except SpecError as error:
        raise SpecError(f"{path}: {error.what}", error.hint) from error
