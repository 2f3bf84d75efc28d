"""A searched cycle: its followers train together, and each of them can be exported afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vipnas_cli.errors import UsageError
from vipnas_cli.export.sources import checkpoint_sources
from vipnas_cli.nets.checkpoints import load_checkpoint, load_followers, save_checkpoint
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan, Schedule
from vipnas_cli.training.data import Folders
from vipnas_cli.training.followers import follower_of
from vipnas_cli.training.options import KeyErrors, LoopOptions
from vipnas_cli.training.recipe import DataShare, Recipe
from vipnas_cli.training.runs import train
from vipnas_cli.training.start import RunPlan

KEY = replace(FAST_BASE, height=64, width=32)
SMALL = replace(FAST_BASE, height=32, width=32)
SCHEDULE = Schedule((Plan(KEY), Plan(KEY, FusionSpec("cat", 1)), Plan(SMALL, FusionSpec("add", 2))))


def plan_of(folder: Path, schedule: Schedule) -> RunPlan:
    spec, key = folder / "schedule.json", folder / "key.safetensors"
    spec.write_text(json.dumps(schedule.to_json()), encoding="utf-8")
    torch.manual_seed(0)
    save_checkpoint(key, PoseNet(KEY).state_dict(), {"kind": "pose", "plan": Plan(KEY).to_json(), "keypoints": 17})
    data = (DataShare("synthetic", 1.0, count=4),)
    recipe = Recipe("cycle", "cycle", 2, LoopOptions(1, warmup=1), data, start="scratch", stills=0.5)
    folders = Folders(folder, folder / "cache")
    return RunPlan(recipe, folders, folder / "out.safetensors", keys=(key,), compile=False, spec=spec)


def test_followers_of_a_schedule_train_and_come_back(tmp_path: Path) -> None:
    events = list(train(plan_of(tmp_path, SCHEDULE)))
    assert len(events) == 1
    schedule, nets = load_followers(tmp_path / "out.safetensors")
    assert schedule == SCHEDULE
    assert [Plan(net.arch, net.fusion_spec) for net in nets] == list(SCHEDULE.plans[1:])
    assert [source.plan for source in checkpoint_sources(tmp_path / "out.safetensors")] == list(SCHEDULE.plans[1:])


def test_followers_of_the_same_plan_are_one_network(tmp_path: Path) -> None:
    twice = Schedule((*SCHEDULE.plans, SCHEDULE.plans[1]))
    list(train(plan_of(tmp_path, twice)))
    _, nets = load_followers(tmp_path / "out.safetensors")
    assert len(nets) == 3
    assert nets[0] is nets[2]
    assert nets[0] is not nets[1]
    assert [Plan(net.arch, net.fusion_spec) for net in nets] == list(twice.plans[1:])


def test_a_schedule_without_followers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no followers"):
        list(train(plan_of(tmp_path, Schedule((Plan(KEY),)))))


def test_a_trained_cycle_goes_on_without_its_spec(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SCHEDULE)
    list(train(plan))
    first, again = tmp_path / "out.safetensors", tmp_path / "again.safetensors"
    # A rate of nothing leaves the weights as they came.
    still = replace(plan.recipe, loop=replace(plan.recipe.loop, learning_rate=0.0))
    list(train(replace(plan, recipe=still, spec=None, initial=(first,), out=again)))
    (schedule, nets), (_, before) = load_followers(again), load_followers(first)
    assert schedule == SCHEDULE
    for net, old in zip(nets, before, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), old.parameters(), strict=True))


def test_a_mixture_of_key_networks_goes_on_as_without_a_break(tmp_path: Path, tiny_bundle: Path) -> None:
    plan = plan_of(tmp_path, SCHEDULE)
    recipe = replace(plan.recipe, batch=4, loop=LoopOptions(3, warmup=1), key_errors=KeyErrors(0.3, 0.5))
    plan = replace(plan, recipe=recipe, keys=(*plan.keys, tiny_bundle))
    list(train(plan))
    broken = replace(plan, out=tmp_path / "broken.safetensors")
    list(train(replace(broken, until=1)))
    list(train(replace(broken, resume=True)))
    (whole, header), (parts, _) = load_checkpoint(plan.out), load_checkpoint(broken.out)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert [key["name"] for key in header["keys"]] == ["key.safetensors", next(tiny_bundle.glob("*96x64*.onnx")).name]
    assert Schedule.from_json(header["schedule"]).plan(0) == Plan(KEY)


def test_a_cycle_needs_its_schedule(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SCHEDULE)
    with pytest.raises(UsageError, match="needs the schedule"):
        list(train(replace(plan, spec=None, initial=(tmp_path / "key.safetensors",))))


def test_followers_of_one_plan_are_those_of_the_schedule(tmp_path: Path) -> None:
    small = Plan(SMALL, FusionSpec("add", 2))
    plan = plan_of(tmp_path, Schedule((Plan(KEY), small, small)))
    recipe = replace(plan.recipe, kind="followers", preset="fast-base", height=64, width=32, followers=1)
    list(train(replace(plan, recipe=recipe)))
    _, header = load_checkpoint(plan.out)
    assert Plan.from_json(header["plan"]) == small


def test_an_architecture_alone_has_the_fusion_of_the_recipe(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Schedule((Plan(SMALL),)))
    recipe = replace(plan.recipe, kind="followers", fusion=FusionSpec("cat", 1))
    assert follower_of(replace(plan, recipe=recipe)) == Plan(SMALL, FusionSpec("cat", 1))


def test_different_followers_are_trained_as_a_cycle(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SCHEDULE)
    with pytest.raises(UsageError, match="2 different followers") as caught:
        follower_of(replace(plan, recipe=replace(plan.recipe, kind="followers")))
    assert "vipnas train cycle" in caught.value.hint
