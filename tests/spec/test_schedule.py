"""Schedules are read from whatever a search writes, and from presets' names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vipnas_cli.errors import SpecError, UsageError
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan, Schedule, preset, read_schedule

SCHEDULE = Schedule((Plan(FAST_BASE), Plan(FAST_BASE, FusionSpec("cat", 1))))


def test_a_spec_may_be_a_candidate_a_schedule_a_plan_or_an_architecture(tmp_path: Path) -> None:
    path, plan = tmp_path / "spec.json", Plan(FAST_BASE)
    for data in ({"schedule": SCHEDULE.to_json(), "macs": 1}, SCHEDULE.to_json()):
        path.write_text(json.dumps(data), encoding="utf-8")
        assert read_schedule(str(path)) == SCHEDULE
    for data in (plan.to_json(), FAST_BASE.to_json()):
        path.write_text(json.dumps(data), encoding="utf-8")
        assert read_schedule(str(path)) == Schedule((plan,))


def test_a_preset_is_named() -> None:
    assert read_schedule("fast-base") == Schedule((Plan(preset("fast-base")),))


def test_what_is_no_schedule_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    with pytest.raises(UsageError, match=r"spec\.json is neither a file nor a preset"):
        read_schedule(str(path))
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UsageError, match=r"spec\.json is not readable JSON"):
        read_schedule(str(path))
    path.write_text('{"family": "none"}', encoding="utf-8")
    with pytest.raises(SpecError, match=r"spec\.json"):
        read_schedule(str(path))
