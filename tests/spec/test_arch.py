"""Architectures and schedules are values: equal, readable, and strict about what they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vipnas_cli
from vipnas_cli.errors import SpecError
from vipnas_cli.spec import PRESETS, ArchSpec, FusionSpec, HeadSpec, Plan, Schedule, StageSpec, StemSpec, preset

FAST = preset("fast-base")
FOLLOWER = Plan(FAST, FusionSpec("cat", 2))
SCHEDULE = Schedule((Plan(FAST), FOLLOWER, Plan(FAST)))


def changed(data: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """A copy of a JSON object with one field replaced."""
    result: dict[str, Any] = json.loads(json.dumps(data))
    target: Any = result
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return result


@pytest.mark.parametrize("name", PRESETS)
def test_json_there_and_back_is_equal(name: str) -> None:
    arch = PRESETS[name]
    assert ArchSpec.from_json(json.loads(json.dumps(arch.to_json()))) == arch


def test_schedules_survive_json() -> None:
    assert Schedule.from_json(json.loads(json.dumps(SCHEDULE.to_json()))) == SCHEDULE


def test_keys_are_equal_in_another_process() -> None:
    program = (
        "import json, sys; from vipnas_cli.spec import Schedule;"
        "s = Schedule.from_json(json.loads(sys.stdin.read())); print(s.key, s.plans[0].arch.key)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(SCHEDULE.to_json()),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(vipnas_cli.__file__).parents[1],
        env={"PYTHONHASHSEED": "7"},
    )
    assert found.stdout.split() == [SCHEDULE.key, FAST.key]


def test_every_field_changes_the_key() -> None:
    stage = FAST.stages[3]
    variants = [
        replace(FAST, height=192),
        replace(FAST, width=128),
        replace(FAST, stem=StemSpec(24, 3)),
        replace(FAST, head=replace(FAST.head, refine=3)),
        *(
            replace(FAST, stages=(*FAST.stages[:3], replace(stage, **change), *FAST.stages[4:]))
            for change in ({"depth": 2}, {"kernel": 5}, {"expansion": 3}, {"attention": True}, {"group_width": 2})
        ),
    ]
    assert len({spec.key for spec in (FAST, *variants)}) == len(variants) + 1


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("family",), "nets", "family"),
        (("family",), ["fast"], "family"),
        (("height",), "256", "height"),
        (("height",), 250, "multiple of 32"),
        (("width",), 192.0, "width"),
        (("width",), True, "width"),
        (("stem",), [32, 3], "stem"),
        (("stem", "width"), "32", "width"),
        (("stem", "kernel"), 4, "kernel"),
        (("stages",), "stages", "stages"),
        (("stages",), 6, "stages"),
        (("stages",), {}, "stages"),
        (("stages",), [], "stages"),
        (("stages", 1), None, "stage"),
        (("stages", 1, "width"), "24", "width"),
        (("stages", 1, "depth"), 0, "depth"),
        (("stages", 1, "kernel"), 2, "kernel"),
        (("stages", 1, "group_width"), 0.5, "group_width"),
        (("stages", 1, "group_width"), 5, "group_width"),
        (("stages", 1, "expansion"), None, "expansion"),
        (("stages", 1, "attention"), 1, "attention"),
        (("head",), 3, "head"),
        (("head", "width"), -96, "width"),
        (("head", "kernel"), 3, "kernel"),
        (("head", "kernel"), 4.0, "kernel"),
        (("head", "kernel"), [4], "kernel"),
        (("head", "group_width"), 7, "group_width"),
        (("head", "refine"), "5", "refine"),
        (("head", "refine"), -1, "refine"),
        (("head", "refine"), 4, "refine"),
        (("head", "refine"), False, "refine"),
        (("depth",), 3, "depth"),
    ],
)
def test_wrong_fields_are_named(path: tuple[str | int, ...], value: Any, field: str) -> None:
    with pytest.raises(SpecError, match=field):
        ArchSpec.from_json(changed(FAST.to_json(), path, value))


@pytest.mark.parametrize("field", ["family", "height", "width", "stem", "stages", "head"])
def test_missing_fields_are_named(field: str) -> None:
    data = FAST.to_json()
    del data[field]
    with pytest.raises(SpecError, match=field):
        ArchSpec.from_json(data)


def test_refine_may_be_left_out() -> None:
    arch = preset("s-vipnet-res50")
    data = arch.to_json()
    del data["head"]["refine"]
    assert ArchSpec.from_json(data) == arch
    with pytest.raises(SpecError, match="refine"):
        replace(arch, head=replace(arch.head, refine=3))


@pytest.mark.parametrize("data", [None, 3, "arch", [], [FAST.to_json()]])
def test_what_is_no_object_is_refused(data: Any) -> None:
    for kind in (ArchSpec, Plan, Schedule):
        with pytest.raises(SpecError):
            kind.from_json(data)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("plans",), 4, "plans"),
        (("plans",), [], "key frame"),
        (("plans", 0), "plan", "plan"),
        (("plans", 0, "fusion"), {"operation": "add", "stage": 1}, "key frame"),
        (("plans", 1, "fusion"), None, "fusion"),
        (("plans", 1, "fusion", "operation"), "sub", "operation"),
        (("plans", 1, "fusion", "operation"), ["add"], "operation"),
        (("plans", 1, "fusion", "operation"), "none", "stage"),
        (("plans", 1, "fusion", "stage"), 5, "stage"),
        (("plans", 1, "fusion", "stage"), True, "stage"),
        (("plans", 1, "fusion", "stage"), "2", "stage"),
        (("plans", 1, "arch", "height"), 100, "32"),
        (("period",), 4, "period"),
    ],
)
def test_wrong_schedules_are_refused(path: tuple[str | int, ...], value: Any, field: str) -> None:
    with pytest.raises(SpecError, match=field):
        Schedule.from_json(changed(SCHEDULE.to_json(), path, value))


def test_plans_repeat_with_the_cycle() -> None:
    period = len(SCHEDULE)
    assert period == 3
    assert all(SCHEDULE.plan(i) is SCHEDULE.plans[i % period] for i in range(10))


def test_a_schedule_without_followers_is_legal() -> None:
    alone = Schedule((Plan(FAST),))
    assert len(alone) == 1
    assert alone.plan(5) == Plan(FAST)
    assert Schedule.from_json(alone.to_json()) == alone


def test_the_first_block_expands_what_its_family_says() -> None:
    stages = (StageSpec(16, 1, 3, 1, 1, False), StageSpec(24, 3, 3, 1, 4, False))
    fast = replace(FAST, stages=(*stages, *FAST.stages[2:]))
    assert fast.middle_widths(0) == (32,)
    assert fast.middle_widths(1) == (64, 96, 96)
    paper = preset("s-vipnet-mobilenetv3")
    assert paper.middle_widths(1) == (120,) * 4


def test_taps_are_the_last_stages_of_strides_4_to_32() -> None:
    assert [FAST.tap_width(i) for i in (1, 2, 3, 4)] == [24, 40, 112, 192]
    assert [preset("s-vipnet-res50").tap_width(i) for i in (1, 2, 3, 4)] == [80, 160, 304, 608]


def test_head_groups_must_divide_the_last_stage() -> None:
    with pytest.raises(SpecError, match="head"):
        replace(preset("s-vipnet-res50"), head=HeadSpec(144, 4, 1))


def test_unknown_presets_list_the_known() -> None:
    with pytest.raises(SpecError, match="fast-base"):
        preset("resnet50")
