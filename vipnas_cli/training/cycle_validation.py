"""Scores of super-networks and followers in training, on clips as searches score them.

What is scored are networks as they would be used: extracted from the shared weights, with batch-norm statistics of
their own. They are always the same few, so that scores of one training compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from torch import nn

from vipnas_cli.evaluation.clip_sets import ClipSets, SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.nets.checkpoints import load_pose_net
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import FusionSpec, Plan, Schedule, SearchSpace
from vipnas_cli.spec.cycle_space import CycleSpace
from vipnas_cli.training.cycle import Followers, schedule_of
from vipnas_cli.training.loop import Validation
from vipnas_cli.training.start import RunPlan

CALIBRATION = 64
DRAWN = 2


@dataclass(frozen=True)
class ClipScore:
    """Mean PCK@0.1 in percent of a training's networks on clips; `key` is the frozen key network of followers."""

    clips: ClipSets
    key: PoseNet | None = None
    followers: int = 0

    def __call__(self, net: nn.Module) -> float:
        """The score of a super-network, of one follower in all places, or of a cycle's followers."""
        net = net.cpu()
        schedules = self._schedules(net)
        if isinstance(net, SuperNet):
            networks = Networks(net) if self.key is None else Networks(self.key, net)
        else:
            assert self.key is not None
            networks = Networks(self.key, tuple(self._places(net)))
        score = ClipScorer(networks, self.clips)
        return float(np.mean([score(schedule).mean for schedule in schedules]))

    def _places(self, net: nn.Module) -> list[PoseNet]:
        """The finished networks of followers in the order of the cycle."""
        nets = net.in_order if isinstance(net, Followers) else [net] * self.followers
        return [follower for follower in nets if isinstance(follower, PoseNet)]

    def _schedules(self, net: nn.Module) -> list[Schedule]:
        """The largest and the smallest network of a super-network, and a few in between; else what there is."""
        first = () if self.key is None else (Plan(self.key.arch),)
        if not isinstance(net, SuperNet):
            return [Schedule((*first, *(Plan(follower.arch, follower.fusion_spec) for follower in self._places(net))))]
        rng = Random(0)
        if self.key is None:
            archs = [net.space.largest, net.space.smallest, *(net.space.sample(rng) for _ in range(DRAWN))]
            return [Schedule((Plan(arch),)) for arch in archs]
        fusions = (FusionSpec(), *net.fusion_specs)
        space = CycleSpace(SearchSpace.of(self.key.arch), net.space, (self.followers + 1,), fusions)
        drawn = [space.sample(rng) for _ in range(DRAWN + 2)]
        ends = [
            replace(schedule, plans=(*first, *(replace(plan, arch=arch) for plan in schedule.plans[1:])))
            for schedule, arch in zip(drawn, (net.space.largest, net.space.smallest), strict=False)
        ]
        return [*ends, *drawn[2:]]


def clip_validation(plan: RunPlan) -> Validation | None:
    """When and how a recipe's super-network or followers are scored; None if the recipe says nothing of it.

    DataError if the data folder holds nothing to score on.
    """
    recipe, wanted = plan.recipe, plan.recipe.validation
    if wanted is None or recipe.kind in ("pose", "detector"):
        return None
    key = None if plan.key is None or recipe.kind == "spatial" else load_pose_net(plan.key).eval()
    followers = 0 if key is None else recipe.followers
    if recipe.kind == "cycle":
        followers = len(schedule_of(plan)) - 1
    data = plan.folders.data / wanted.path if wanted.format == "clips" else None
    clips = clip_sets(data, SetSizes(wanted.people, CALIBRATION, 1 + followers))
    return Validation(ClipScore(clips, key, followers), wanted.every, wanted.keep_best)
