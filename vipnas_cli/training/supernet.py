"""Training of super-networks by the sandwich rule with in-place distillation (paper section 3.3).

Every step trains the largest, the smallest and some random networks. The paper leaves the details open: here all
networks of a step see the same crops at the same input size, so that the smaller ones can learn from the heatmaps of
the largest one. The spatial super-network is one of key networks. The temporal one is one of followers behind a key
network that is trained and frozen: clips are unrolled over the followers of a cycle, and architecture and fusion are
drawn for each of them.

Shapes: B batch, K keypoints, T followers, h, w heatmap cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from vipnas_cli.distributed import mean_over_ranks
from vipnas_cli.inference.frozen import FrozenKey, about_key
from vipnas_cli.nets.posenet import heatmaps_from_raw, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec, Plan, SearchSpace, TemporalSpace, key_space_of
from vipnas_cli.spec.families import Output
from vipnas_cli.training.batches import Batch, BatchSource, BatchType, StillBatches
from vipnas_cli.training.clip_batches import ClipBatch, ClipBatches
from vipnas_cli.training.data import clip_source, still_source
from vipnas_cli.training.followers import HeatmapRules, clip_options, corrupt, heatmap_rules, step_noise
from vipnas_cli.training.key_heatmaps import frozen_keys, key_heatmaps, realign_heatmaps
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.start import RunPlan, compiled, header_of, initialise_super_net, space_of_recipe

TEACHER_SHARE = 0.5


def sandwich_architectures(space: SearchSpace, size: tuple[int, int], count: int, rng: Random) -> list[ArchSpec]:
    """The largest, the smallest and `count` random architectures of a space, all at input `size` (height, width)."""
    drawn = [space.largest, space.smallest, *(space.sample(rng) for _ in range(count))]
    return [replace(arch, height=size[0], width=size[1]) for arch in drawn]


def step_rng(seed: int, step: int) -> Random:
    """The generator of a step's architectures: the same in every process and after a resume."""
    return Random(f"{seed}/{step}")


def in_place_distillation_loss(raw: Tensor, teacher_raw: Tensor, output: Output) -> Tensor:
    """How far a network's output (B, K, h, w) is from the largest one's; joints weigh as much as its confidence."""
    if output != "softmax":
        return ((raw - teacher_raw) ** 2).mean()
    confidence = heatmaps_from_raw(teacher_raw, output).flatten(2).amax(-1)
    wanted = teacher_raw.flatten(2).softmax(-1)
    per_joint = -(wanted * raw.flatten(2).log_softmax(-1)).sum(-1)
    return (per_joint * confidence).sum() / mean_over_ranks(confidence.sum()).clamp(min=1)


def student_loss(raw: Tensor, labelled: Tensor, teacher_raw: Tensor, output: Output) -> Tensor:
    """The loss of a network below the largest: labels and teacher, half each."""
    return (1 - TEACHER_SHARE) * labelled + TEACHER_SHARE * in_place_distillation_loss(raw, teacher_raw, output)


def spatial_step(
    net: SuperNet, largest: Callable[[Tensor], Tensor], batch: Batch, architectures: list[ArchSpec]
) -> Tensor:
    """The mean loss of a step's architectures, whose gradients it has already added up in the shared weights.

    `architectures` begin with the largest; `largest` computes that one's raw output and may be compiled.
    """
    images, output = network_input(batch.crops), architectures[0].rules.output
    total, count = torch.zeros((), device=images.device), len(architectures)
    teacher: Tensor | None = None
    for arch in architectures:
        raw = largest(images) if teacher is None else net.raw(images, arch)
        loss = heatmap_loss(raw, batch.points_crop, batch.weights, output)
        if teacher is None:
            teacher = raw.detach()
        else:
            loss = student_loss(raw, loss, teacher, output)
        (loss / count).backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / count
    return total


@dataclass(frozen=True)
class SizedBatches(BatchSource[BatchType]):
    """Batches whose input size is drawn anew for each step, from one source per size."""

    sources: tuple[BatchSource[BatchType], ...]
    seed: int

    def batch(self, step: int) -> BatchType:
        """The batch of `step` at that step's size."""
        return step_rng(self.seed, step).choice(self.sources).batch(step)


def train_spatial(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains the super-network of a recipe's space by the sandwich rule and yields an event per step."""
    recipe, space = plan.recipe, space_of_recipe(plan.recipe)
    net = SuperNet(space)
    initialise_super_net(net, plan)
    people = still_source(recipe, plan.folders)
    sizes = (StillBatches(people, size, recipe.batch, recipe.augmentation, recipe.seed) for size in space.sizes)
    source = SizedBatches(tuple(sizes), recipe.seed)
    facts = {"kind": "supernet", "space": space.to_json(), "fusions": [], "keypoints": net.keypoints}
    trainer = Trainer(net, recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    largest = compiled(net.store.raw, plan)

    def loss_of(batch: Batch) -> Tensor:
        # Sizes are drawn by the batch source; architectures come from a stream of their own.
        size = (batch.crops.shape[1], batch.crops.shape[2])
        rng = step_rng(recipe.seed + 1, trainer.step)
        return spatial_step(net, largest, batch, sandwich_architectures(space, size, recipe.random, rng))

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)


Cycles = list[tuple[Plan, ...]]


@dataclass(frozen=True)
class Unrolled:
    """What a step needs besides the batch: the shared weights, frozen key networks, how heatmaps are passed on."""

    net: SuperNet
    keys: Sequence[FrozenKey]
    rules: HeatmapRules
    generator: torch.Generator


def sandwich_cycles(space: TemporalSpace, size: tuple[int, int], count: int, rng: Random) -> Cycles:
    """The plans of T followers: all largest, all smallest, and `count` cycles with every follower drawn on its own.

    Fusions are drawn for every follower of every cycle, so that each is trained with networks of all sizes; all are
    equally likely, since having none needs no more training than each of the others.
    """
    cycles: Cycles = []
    for _ in range(count + 2):
        archs = [space.follower_space.sample(rng) for _ in range(space.followers)]
        sized = (replace(arch, height=size[0], width=size[1]) for arch in archs)
        cycles.append(tuple(Plan(arch, rng.choice(space.fusions)) for arch in sized))
    for index, arch in enumerate(sandwich_architectures(space.follower_space, size, 0, rng)):
        cycles[index] = tuple(replace(plan, arch=arch) for plan in cycles[index])
    return cycles


def temporal_step(unrolled: Unrolled, batch: ClipBatch, cycles: Cycles) -> Tensor:
    """The mean loss of all followers of a step's cycles, whose gradients it has already added up in the shared weights.

    `cycles` begin with the largest, which teaches the others. Each cycle carries its own heatmaps from frame to frame.
    """
    first = key_heatmaps(batch.views, unrolled.keys, unrolled.rules.errors, unrolled.generator)
    total = torch.zeros((), device=first.device)
    teachers: list[Tensor] = []
    count = len(cycles) * len(batch.crops)
    for plans in cycles:
        heatmaps, waiting = first, first.new_zeros(())
        for step, plan in enumerate(plans):
            if step:
                heatmaps = realign_heatmaps(heatmaps, batch.rows[step - 1], batch.columns[step - 1])
            previous = corrupt(heatmaps, unrolled.rules.noise, unrolled.generator)
            images, output = network_input(batch.crops[step]), unrolled.rules.output
            raw = unrolled.net.raw(images, plan.built, previous, plan.fusion)
            loss = heatmap_loss(raw, batch.points_crop[step], batch.weights[step], output)
            if len(teachers) <= step:
                teachers.append(raw.detach())
            else:
                loss = student_loss(raw, loss, teachers[step], output)
            waiting = waiting + loss / count
            # Gradients through time need all followers at once; without, each one's memory is free again at once.
            if step + 1 == len(plans) or not unrolled.rules.through_time:
                waiting.backward()  # type: ignore[no-untyped-call]
                total += waiting.detach()
                waiting = first.new_zeros(())
            heatmaps = unrolled.rules.heatmaps(raw)
    return total


def train_temporal(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains the followers' super-network of a recipe's space and yields an event per step."""
    recipe = plan.recipe
    keys = frozen_keys(plan)
    space = TemporalSpace(
        key_space_of(keys[0].plan), space_of_recipe(recipe), recipe.followers, fusion_stages=recipe.fusion_stages
    )
    net = SuperNet(space.follower_space, keys[0].keypoints, space.fusions)
    initialise_super_net(net, plan)
    clips, stills = clip_source(recipe, plan.folders), still_source(recipe, plan.folders)

    def batches(size: tuple[int, int]) -> ClipBatches:
        options = clip_options(recipe, keys, (size,) * recipe.followers)
        return ClipBatches(clips, stills, options, recipe.augmentation, recipe.seed)

    source = SizedBatches(tuple(batches(size) for size in space.follower_space.sizes), recipe.seed)
    fusions = [[fusion.operation, fusion.stage] for fusion in space.fusions if fusion.operation != "none"]
    facts: dict[str, object] = {"kind": "supernet", "space": space.follower_space.to_json(), "fusions": fusions}
    facts |= {"keypoints": net.keypoints, "keys": [about_key(key) for key in keys]}
    trainer = Trainer(net, recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)

    def loss_of(batch: ClipBatch) -> Tensor:
        size = (batch.crops[0].shape[1], batch.crops[0].shape[2])
        cycles = sandwich_cycles(space, size, recipe.random, step_rng(recipe.seed + 1, trainer.step))
        noise = step_noise(recipe.seed, trainer.step)
        return temporal_step(Unrolled(net, keys, heatmap_rules(recipe, net.store.arch), noise), batch, cycles)

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)
