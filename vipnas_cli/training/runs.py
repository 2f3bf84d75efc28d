"""From a recipe to a training that runs: one function per kind of network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vipnas_cli.nets.checkpoints import load_detector, load_pose_net
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec import ArchSpec, Plan, preset, read_schedule
from vipnas_cli.training.batches import Batch, StillBatches
from vipnas_cli.training.clip_batches import ClipBatch, ClipBatches, ClipOptions
from vipnas_cli.training.cycle import train_cycle
from vipnas_cli.training.data import clip_source, picture_source, still_source
from vipnas_cli.training.detector import DetectionBatch, DetectionBatches, detection_loss
from vipnas_cli.training.device_augment import fastest_batches
from vipnas_cli.training.followers import PassingOn, unrolled_loss
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.spatial import train_spatial
from vipnas_cli.training.start import RunPlan, compiled, freeze, header_of, started
from vipnas_cli.training.supernet import train_temporal
from vipnas_cli.training.validation import still_validation
from vipnas_cli.training.verifier import VerificationBatch, VerificationBatches, verification_loss


def train(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains what the recipe names and yields an event per step."""
    torch.manual_seed(plan.recipe.seed)
    kinds = {
        "pose": _train_pose,
        "followers": _train_followers,
        "detector": _train_detector,
        "verifier": _train_verifier,
        "spatial": train_spatial,
        "temporal": train_temporal,
        "cycle": train_cycle,
    }
    return kinds[plan.recipe.kind](plan)


def _architecture(plan: RunPlan) -> ArchSpec:
    if plan.spec is not None:
        return read_schedule(str(plan.spec)).plans[0].arch
    recipe = plan.recipe
    return replace(preset(recipe.preset), height=recipe.height, width=recipe.width)


def _train_pose(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    arch = _architecture(plan)
    net = PoseNet(arch)
    people = still_source(recipe, plan.folders)
    started(net, plan)
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


def _train_followers(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    assert plan.key is not None
    key = load_pose_net(plan.key).eval().to(plan.device)
    arch = _architecture(plan)
    net = PoseNet(arch, key.final.out_channels, recipe.fusion)
    clips, stills = clip_source(recipe, plan.folders), still_source(recipe, plan.folders)
    started(net, plan)
    freeze(net, recipe.frozen_stages)
    sizes = ((arch.height, arch.width),) * recipe.followers
    options = ClipOptions((key.arch.height, key.arch.width), sizes, recipe.batch, stills=recipe.stills)
    source = ClipBatches(clips, stills, options, recipe.augmentation, recipe.seed)
    facts = {"kind": "pose", "plan": Plan(arch, recipe.fusion).to_json(), "keypoints": net.final.out_channels}
    trainer = Trainer(net, recipe.loop, header_of(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    key_run, raw = compiled(key, plan), compiled(net.raw, plan)

    def loss_of(batch: ClipBatch) -> Tensor:
        # A generator of the step's own, so that a resumed training draws the same noise.
        noise = torch.Generator().manual_seed(recipe.seed * 1_000_003 + trainer.step)
        rules = PassingOn(output=arch.rules.output, through_time=recipe.through_time)
        return unrolled_loss(key_run, [raw] * recipe.followers, batch, noise, rules)

    return trainer.run(source, loss_of, plan.out, plan.until, plan.validation)


def _train_detector(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    # The size that it has learned on is the one that it is used at.
    arch = replace(preset(recipe.preset), height=recipe.height, width=recipe.width)
    net = PersonDetector(arch)
    pictures = picture_source(recipe, plan.folders)
    started(net, plan)
    freeze(net, recipe.frozen_stages)
    source = DetectionBatches(pictures, recipe.height, recipe.batch, recipe.augmentation, recipe.seed, recipe.scene)
    trainer = Trainer(net, recipe.loop, header_of(plan, {"kind": "detector", "arch": arch.to_json()}))
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: DetectionBatch) -> Tensor:
        return detection_loss(raw(network_input(batch.crops)), batch)

    return trainer.run(source, loss_of, plan.out, plan.until)


def _train_verifier(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    assert plan.detector is not None
    arch = replace(preset(recipe.preset), height=recipe.height, width=recipe.width)
    net = BoxVerifier(arch)
    pictures = picture_source(recipe, plan.folders)
    started(net, plan)
    freeze(net, recipe.frozen_stages)
    detector = load_detector(plan.detector).float().eval().to(plan.device)
    size, scale = (arch.height, arch.width), recipe.scene.scale
    source = VerificationBatches(pictures, detector, size, recipe.batch, scale, recipe.augmentation, recipe.seed)
    trainer = Trainer(net, recipe.loop, header_of(plan, {"kind": "verifier", "arch": arch.to_json()}))
    if plan.resume:
        trainer.resume(plan.out)
    raw = compiled(net.raw, plan)

    def loss_of(batch: VerificationBatch) -> Tensor:
        return verification_loss(raw(network_input(batch.crops)), batch)

    return trainer.run(source, loss_of, plan.out, plan.until)
