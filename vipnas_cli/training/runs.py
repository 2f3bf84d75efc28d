"""From a recipe to the training of its kind of network; that of key networks is here."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.spec import Plan
from vipnas_cli.training.batches import Batch, StillBatches, SuccessiveBatches
from vipnas_cli.training.data import still_source
from vipnas_cli.training.detector import train_detector
from vipnas_cli.training.device_augment import fastest_batches
from vipnas_cli.training.distillation import distillation_loss, teachers_of
from vipnas_cli.training.followers import train_cycle, train_followers
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.recipe import CropShare
from vipnas_cli.training.start import RunPlan, architecture_of, compiled, freeze, header_of, initialise, pretrained_of
from vipnas_cli.training.supernet import train_spatial, train_temporal
from vipnas_cli.training.validation import still_validation
from vipnas_cli.training.verifier import train_verifier

# Batches that say what batch norms of converted weights see.
SETTLING = 16


def train(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains what the recipe names and yields an event per step."""
    torch.manual_seed(plan.recipe.seed)
    kinds = {
        "pose": _train_pose,
        "followers": train_followers,
        "detector": train_detector,
        "verifier": train_verifier,
        "spatial": train_spatial,
        "temporal": train_temporal,
        "cycle": train_cycle,
    }
    return kinds[plan.recipe.kind](plan)


def _train_pose(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    arch = architecture_of(plan)
    net = PoseNet(arch)
    size = (arch.height, arch.width)
    source = crop_batches(plan, size)
    initialise(net, plan)
    freeze(net, recipe.frozen_stages)
    published = pretrained_of(plan)
    if published is not None:
        # Of steps that never come, so that a resumed training sees what one without a break sees.
        batches = (source.batch(recipe.loop.steps + step).crops for step in range(SETTLING))
        published.settle(net, (network_input(crops.to(plan.device)) for crops in batches))
    header = header_of(plan, {"kind": "pose", "plan": Plan(arch).to_json(), "keypoints": net.final.out_channels})
    trainer = Trainer(net, recipe.loop, header)
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan, dynamic=False)
    teachers = teachers_of(plan, net.final.out_channels)
    share = recipe.distilled if teachers.networks else 0.0

    def loss_of(batch: Batch) -> Tensor:
        found = raw(network_input(batch.crops))
        assert isinstance(found, Tensor)
        loss = (1 - share) * heatmap_loss(found, batch.points_crop, batch.weights, arch.rules.output)
        if not share:
            return loss
        taught = teachers.heatmaps(batch.crops, found.shape[2], found.shape[3])
        return loss + share * distillation_loss(found, taught, arch.rules.output)

    validation = still_validation(recipe, plan.folders.data, size)
    return trainer.run(source, loss_of, plan.out, plan.until, validation)


def crop_batches(plan: RunPlan, size: tuple[int, int]) -> SuccessiveBatches[Batch]:
    """The batches of a key network, of the recipe's sizes one after the other or of its own `size`."""
    recipe, people = plan.recipe, still_source(plan.recipe, plan.folders)
    shares = recipe.crops or (CropShare(*size, 1.0),)
    total, before, parts = sum(part.share for part in shares), 0.0, []
    for part in shares:
        plain = StillBatches(people, (part.height, part.width), recipe.batch, recipe.augmentation, recipe.seed)
        before += part.share
        parts.append((round(recipe.loop.steps * before / total), fastest_batches(plain, plan.device)))
    return SuccessiveBatches(tuple(parts))
