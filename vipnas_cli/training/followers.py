"""Training of followers: one in all places, or those of a searched cycle, unrolled behind the frozen key network.

Heatmaps pass from follower to follower as they do in use (paper section 3.3). Followers of the same plan are one
network, which is trained in all of its places.

Shapes: B batch, K keypoints, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vipnas_cli.distributed import ranks
from vipnas_cli.errors import UsageError
from vipnas_cli.files import shown
from vipnas_cli.inference.crops import padding_of
from vipnas_cli.inference.frozen import FrozenKey, about_key
from vipnas_cli.nets.checkpoints import load_checkpoint, shared_places
from vipnas_cli.nets.posenet import PoseNet, heatmaps_from_raw, network_input
from vipnas_cli.spec import ArchSpec, Plan, Schedule, read_schedule
from vipnas_cli.spec.families import Output
from vipnas_cli.training.clip_batches import ClipBatch, ClipBatches, ClipOptions
from vipnas_cli.training.data import clip_source, still_source
from vipnas_cli.training.key_heatmaps import crop_sizes, frozen_keys, key_heatmaps, realign_heatmaps
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.options import KeyErrors
from vipnas_cli.training.recipe import Recipe
from vipnas_cli.training.start import RunPlan, architecture_of, compiled, freeze, header_of, initialise


@dataclass(frozen=True)
class HeatmapNoise:
    """How the incoming heatmaps are corrupted so that errors do not pile up: maps or joints dropped, peaks dimmed."""

    drop_all: float = 0.08
    drop_joint: float = 0.05
    dim: float = 0.3


@dataclass(frozen=True)
class HeatmapRules:
    """What followers get: how it is corrupted, the errors of key frames, how raw output becomes heatmaps, and whether
    a follower also learns from the errors that its heatmaps cause in the ones after it (`through_time`)."""

    noise: HeatmapNoise = HeatmapNoise()
    errors: KeyErrors = KeyErrors()
    output: Output = "softmax"
    through_time: bool = False

    def heatmaps(self, raw: Tensor) -> Tensor:
        """The heatmaps (B, K, h, w) that the next follower gets of raw output."""
        return heatmaps_from_raw(raw if self.through_time else raw.detach(), self.output)


def step_noise(seed: int, step: int) -> torch.Generator:
    """The generator of a step's noise: the same after a resume, another in each process, whose rows are others."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step + ranks().rank * 1_000_000_007)


def corrupt(heatmaps: Tensor, noise: HeatmapNoise, generator: torch.Generator) -> Tensor:
    """Heatmaps (B, K, h, w) with some joints or persons blanked and the rest dimmed at random."""
    people, keypoints = heatmaps.shape[:2]
    draws = torch.rand(3, people, keypoints, generator=generator).to(heatmaps.device)
    kept = (draws[0] >= noise.drop_joint) & (draws[1, :, :1] >= noise.drop_all)
    factor = kept * (1 - noise.dim * draws[2])
    return heatmaps * factor[..., None, None]


def unrolled_loss(
    keys: Sequence[FrozenKey],
    followers: list[Callable[[Tensor, Tensor], Tensor]],
    batch: ClipBatch,
    generator: torch.Generator,
    rules: HeatmapRules = HeatmapRules(),
) -> Tensor:
    """Mean loss of all followers of a clip; each gives raw output of images and the previous heatmaps."""
    heatmaps = key_heatmaps(batch.views, keys, rules.errors, generator)
    total = torch.zeros((), device=heatmaps.device)
    for step, follower in enumerate(followers):
        if step:
            heatmaps = realign_heatmaps(heatmaps, batch.rows[step - 1], batch.columns[step - 1])
        raw = follower(network_input(batch.crops[step]), corrupt(heatmaps, rules.noise, generator))
        total = total + heatmap_loss(raw, batch.points_crop[step], batch.weights[step], rules.output)
        heatmaps = rules.heatmaps(raw)
    return total / len(followers)


def clip_options(recipe: Recipe, keys: Sequence[FrozenKey], sizes: tuple[tuple[int, int], ...]) -> ClipOptions:
    """The clips of a recipe for followers with crops of `sizes` (height, width) behind frozen key networks."""
    drawn, paddings = recipe.key_errors.drawn, tuple(padding_of(key.plan) for key in keys)
    return ClipOptions(crop_sizes(keys), sizes, recipe.batch, stills=recipe.stills, drawn=drawn, key_paddings=paddings)


def heatmap_rules(recipe: Recipe, arch: ArchSpec) -> HeatmapRules:
    """How followers of that architecture are unrolled in a recipe."""
    return HeatmapRules(errors=recipe.key_errors, output=arch.rules.output, through_time=recipe.through_time)


def follower_of(plan: RunPlan) -> Plan:
    """The one follower that a training names: the only one of its searched specification, or the recipe's.

    UsageError if the specification has different ones.
    """
    if plan.spec is None:
        return Plan(architecture_of(plan), plan.recipe.fusion)
    schedule = read_schedule(str(plan.spec))
    if len(schedule) == 1:
        # An architecture alone says nothing of its fusion.
        return Plan(schedule.plans[0].built, plan.recipe.fusion)
    followers, _ = shared_places(schedule)
    if len(followers) > 1:
        what = f"{shown(plan.spec)} has {len(followers)} different followers, and this recipe trains one"
        raise UsageError(what, "train them together with `vipnas train cycle`")
    return followers[0]


def train_followers(plan: RunPlan) -> Iterator[StepEvent]:
    recipe, follower = plan.recipe, follower_of(plan)
    keys, arch = frozen_keys(plan), follower.built
    net = PoseNet(arch, keys[0].keypoints, follower.fusion)
    clips, stills = clip_source(recipe, plan.folders), still_source(recipe, plan.folders)
    initialise(net, plan)
    freeze(net, recipe.frozen_stages)
    sizes = ((arch.height, arch.width),) * recipe.followers
    source = ClipBatches(clips, stills, clip_options(recipe, keys, sizes), recipe.augmentation, recipe.seed)
    facts = {"kind": "pose", "plan": follower.to_json(), "keypoints": net.final.out_channels}
    facts["keys"] = [about_key(key) for key in keys]
    trainer = Trainer(net, recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: ClipBatch) -> Tensor:
        noise = step_noise(recipe.seed, trainer.step)
        return unrolled_loss(keys, [raw] * recipe.followers, batch, noise, heatmap_rules(recipe, arch))

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)


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
    schedule, keys = schedule_of(plan), frozen_keys(plan)
    if len(schedule) < 2:
        raise UsageError("the schedule has no followers", "train its key network with a recipe for key networks")
    # The followers stand behind the key networks of the training, whichever they were searched behind.
    schedule = replace(schedule, plans=(keys[0].plan, *schedule.plans[1:]))
    plans, places = shared_places(schedule)
    nets = []
    for place, follower in enumerate(plans):
        net = PoseNet(follower.built, keys[0].keypoints, follower.fusion)
        initialise(net, plan, place)
        freeze(net, recipe.frozen_stages)
        nets.append(net)
    sizes = tuple((nets[place].arch.height, nets[place].arch.width) for place in places)
    recipe = replace(recipe, followers=len(places))
    people = (clip_source(recipe, plan.folders), still_source(recipe, plan.folders))
    source = ClipBatches(*people, clip_options(recipe, keys, sizes), recipe.augmentation, recipe.seed)
    facts = {"kind": "cycle", "schedule": schedule.to_json(), "keypoints": keys[0].keypoints}
    facts["keys"] = [about_key(key) for key in keys]
    trainer = Trainer(Followers(nets, places), recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    runs = [compiled(net.raw, plan) for net in nets]

    def loss_of(batch: ClipBatch) -> Tensor:
        noise = step_noise(recipe.seed, trainer.step)
        return unrolled_loss(keys, [runs[place] for place in places], batch, noise, heatmap_rules(recipe, nets[0].arch))

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
