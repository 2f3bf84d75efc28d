"""From a recipe to the training of its kind of network; that of key networks is here."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.spec import Plan
from vipnas_cli.training.batches import Batch, StillBatches
from vipnas_cli.training.data import still_source
from vipnas_cli.training.detector import train_detector
from vipnas_cli.training.device_augment import fastest_batches
from vipnas_cli.training.followers import train_cycle, train_followers
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.start import RunPlan, architecture_of, compiled, freeze, header_of, initialise
from vipnas_cli.training.supernet import train_spatial, train_temporal
from vipnas_cli.training.validation import still_validation
from vipnas_cli.training.verifier import train_verifier


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
    people = still_source(recipe, plan.folders)
    initialise(net, plan)
    freeze(net, recipe.frozen_stages)
    size = (arch.height, arch.width)
    source = fastest_batches(StillBatches(people, size, recipe.batch, recipe.augmentation, recipe.seed), plan.device)
    header = header_of(plan, {"kind": "pose", "plan": Plan(arch).to_json(), "keypoints": net.final.out_channels})
    trainer = Trainer(net, recipe.loop, header)
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: Batch) -> Tensor:
        found = raw(network_input(batch.crops))
        assert isinstance(found, Tensor)
        return heatmap_loss(found, batch.points_crop, batch.weights, arch.rules.output)

    validation = still_validation(recipe, plan.folders.data, size)
    return trainer.run(source, loss_of, plan.out, plan.until, validation)
