"""Training of one searched cycle: its followers unrolled together behind the frozen key network.

Followers of the same plan are one network, which is trained in all of its places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from vipnas_cli.errors import UsageError
from vipnas_cli.nets.checkpoints import load_checkpoint, load_pose_net, shared_places
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.spec import Schedule, read_schedule
from vipnas_cli.training.clip_batches import ClipBatch, ClipBatches, ClipOptions
from vipnas_cli.training.data import clip_source, still_source
from vipnas_cli.training.followers import PassingOn, unrolled_loss
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.start import RunPlan, compiled, freeze, header_of, started


class Followers(nn.Module):
    """The different networks of a cycle's followers, and at which `places` of the cycle they are, in its order."""

    def __init__(self, nets: list[PoseNet], places: tuple[int, ...]) -> None:
        super().__init__()
        self.followers = nn.ModuleList(nets)
        self.places = places

    @property
    def in_order(self) -> list[PoseNet]:
        """The network of every follower of the cycle."""
        nets = [net for net in self.followers if isinstance(net, PoseNet)]
        return [nets[place] for place in self.places]


def train_cycle(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains the followers of the schedule in `plan.spec` and yields an event per step.

    The checkpoint holds all of them; `--init` names the super-network that they come from, or a cycle to go on with.
    """
    recipe = plan.recipe
    assert plan.key is not None
    schedule, key = schedule_of(plan), load_pose_net(plan.key).eval().to(plan.device)
    if len(schedule) < 2:
        raise UsageError("the schedule has no followers", "train its key network with a recipe for key networks")
    plans, places = shared_places(schedule)
    nets = []
    for place, follower in enumerate(plans):
        net = PoseNet(follower.arch, key.final.out_channels, follower.fusion)
        started(net, plan, place)
        freeze(net, recipe.frozen_stages)
        nets.append(net)
    sizes = tuple((nets[place].arch.height, nets[place].arch.width) for place in places)
    options = ClipOptions((key.arch.height, key.arch.width), sizes, recipe.batch, stills=recipe.stills)
    recipe = replace(recipe, followers=len(places))
    people = (clip_source(recipe, plan.folders), still_source(recipe, plan.folders))
    source = ClipBatches(*people, options, recipe.augmentation, recipe.seed)
    facts = {"kind": "cycle", "schedule": schedule.to_json(), "keypoints": key.final.out_channels}
    trainer = Trainer(Followers(nets, places), recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    runs = [compiled(net.raw, plan) for net in nets]
    key_run = compiled(key, plan)

    def loss_of(batch: ClipBatch) -> Tensor:
        noise = torch.Generator().manual_seed(recipe.seed * 1_000_003 + trainer.step)
        rules = PassingOn(output=nets[0].arch.rules.output, through_time=recipe.through_time)
        return unrolled_loss(key_run, [runs[place] for place in places], batch, noise, rules)

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)


def schedule_of(plan: RunPlan) -> Schedule:
    """The schedule that was named, or that of the trained cycle to go on with."""
    if plan.spec is not None:
        return read_schedule(str(plan.spec))
    headers = [load_checkpoint(path)[1] for path in plan.initial]
    schedules = [Schedule.from_json(header["schedule"]) for header in headers if header.get("kind") == "cycle"]
    if not schedules:
        raise UsageError("a cycle needs the schedule that a search found", "name its file with --spec")
    return schedules[-1]
