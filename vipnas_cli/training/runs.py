"""From a recipe to a training that runs: one function per kind of network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from vipnas_cli.checkpoints import load_checkpoint, load_pose_net
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.spec import ArchSpec, Plan, preset
from vipnas_cli.training.batches import Batch, StillBatches
from vipnas_cli.training.clip_batches import ClipBatch, ClipBatches, ClipOptions
from vipnas_cli.training.data_sets import Folders, clip_source, picture_source, still_source
from vipnas_cli.training.detection import DetectionBatch, DetectionBatches, detection_loss
from vipnas_cli.training.imagenet import imagenet_weights, start_from_imagenet
from vipnas_cli.training.loop import StepEvent, Trainer
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.recipe import Recipe
from vipnas_cli.training.temporal import HeatmapNoise, unrolled_loss


@dataclass(frozen=True)
class RunPlan:
    """Where a training reads and writes, what it starts from, and how it computes.

    `key` is the frozen key network of followers; `initial` gives first weights; `until` stops earlier than the recipe.
    """

    recipe: Recipe
    folders: Folders
    out: Path
    initial: Path | None = None
    key: Path | None = None
    resume: bool = False
    until: int | None = None
    compile: bool = True


def train(plan: RunPlan) -> Iterator[StepEvent]:
    """Trains what the recipe names and yields an event per step."""
    torch.manual_seed(plan.recipe.seed)
    return {"pose": _train_pose, "followers": _train_followers, "detector": _train_detector}[plan.recipe.kind](plan)


def _architecture(recipe: Recipe) -> ArchSpec:
    return replace(preset(recipe.preset), height=recipe.height, width=recipe.width)


def _started(net: nn.Module, plan: RunPlan) -> nn.Module:
    """First weights, frozen early stages, memory layout."""
    if plan.initial is not None:
        tensors, _ = load_checkpoint(plan.initial)
        fitting = {n: t for n, t in tensors.items() if n in net.state_dict() and t.shape == net.state_dict()[n].shape}
        net.load_state_dict(fitting, strict=False)
    elif plan.recipe.imagenet and not plan.resume:
        start_from_imagenet(net, imagenet_weights())
    net.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    return net


def freeze(net: PoseNet, stages: int) -> None:
    """Keeps stem and the first `stages` stages as they are, running statistics included; 0 freezes nothing."""
    for module in (net.stem, *net.stages[:stages]) if stages else ():
        module.eval()
        module.requires_grad_(False)


def _compiled(function: Callable[..., object], plan: RunPlan) -> Callable[..., object]:
    return torch.compile(function) if plan.compile else function


def _header(plan: RunPlan, facts: dict[str, object]) -> dict[str, object]:
    start = str(plan.initial.name) if plan.initial else ("ImageNet" if plan.recipe.imagenet else "scratch")
    if plan.resume:
        _, before = load_checkpoint(plan.out)
        start = before.get("training", {}).get("start", start)
    named = [("--init", plan.initial), ("--key", plan.key), ("--out", plan.out)]
    options = " ".join(f"{option} {path.name}" for option, path in named if path is not None)
    command = f"vipnas train {plan.recipe.name} --data DATA {options}"
    return {**facts, "training": {"recipe": plan.recipe.to_json(), "start": start, "command": command}}


def _train_pose(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    arch = _architecture(recipe)
    net = PoseNet(arch)
    _started(net, plan)
    freeze(net, recipe.frozen_stages)
    source = StillBatches(
        still_source(recipe, plan.folders), (arch.height, arch.width), recipe.batch, recipe.augmentation, recipe.seed
    )
    header = _header(plan, {"kind": "pose", "plan": Plan(arch).to_json(), "keypoints": net.final.out_channels})
    trainer = Trainer(net, recipe.loop, header)
    if plan.resume:
        trainer.resume(plan.out)
    raw = _compiled(net.raw, plan)

    def loss_of(batch: Batch) -> Tensor:
        found = raw(network_input(batch.crops))
        assert isinstance(found, Tensor)
        return heatmap_loss(found, batch.points_crop, batch.weights, arch.rules.output)

    return trainer.run(source, loss_of, plan.out, plan.until)


def _train_followers(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    assert plan.key is not None
    key = load_pose_net(plan.key).eval()
    arch = _architecture(recipe)
    net = PoseNet(arch, key.final.out_channels, recipe.fusion)
    _started(net, plan)
    freeze(net, recipe.frozen_stages)
    sizes = ((key.arch.height, key.arch.width), (arch.height, arch.width))
    options = ClipOptions(*sizes, recipe.followers, recipe.batch, stills=recipe.stills)
    source = ClipBatches(
        clip_source(recipe, plan.folders),
        still_source(recipe, plan.folders),
        options,
        recipe.augmentation,
        recipe.seed,
    )
    facts = {"kind": "pose", "plan": Plan(arch, recipe.fusion).to_json(), "keypoints": net.final.out_channels}
    trainer = Trainer(net, recipe.loop, _header(plan, facts))
    if plan.resume:
        trainer.resume(plan.out)
    key_run, raw = _compiled(key, plan), _compiled(net.raw, plan)

    def loss_of(batch: ClipBatch) -> Tensor:
        # A generator of the step's own, so that a resumed training draws the same noise.
        noise = torch.Generator().manual_seed(recipe.seed * 1_000_003 + trainer.step)
        return unrolled_loss(key_run, [raw] * recipe.followers, batch, HeatmapNoise(), noise, arch.rules.output)  # type: ignore[arg-type, list-item]

    return trainer.run(source, loss_of, plan.out, plan.until)


def _train_detector(plan: RunPlan) -> Iterator[StepEvent]:
    recipe = plan.recipe
    arch = preset(recipe.preset)
    net = PersonDetector(arch)
    _started(net, plan)
    source = DetectionBatches(
        picture_source(recipe, plan.folders), recipe.height, recipe.batch, recipe.augmentation, recipe.seed
    )
    trainer = Trainer(net, recipe.loop, _header(plan, {"kind": "detector", "arch": arch.to_json()}))
    if plan.resume:
        trainer.resume(plan.out)
    raw = _compiled(net.raw, plan)

    def loss_of(batch: DetectionBatch) -> Tensor:
        return detection_loss(raw(network_input(batch.crops)), batch)  # type: ignore[arg-type]

    return trainer.run(source, loss_of, plan.out, plan.until)
