"""What every training begins with: where it reads and writes, first weights, what its checkpoint says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from vipnas_cli.nets.checkpoints import load_checkpoint, load_pose_net, load_super_net
from vipnas_cli.nets.grafting import graft
from vipnas_cli.nets.posenet import PoseNet, Trunk
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec, SearchSpace, preset, read_schedule
from vipnas_cli.spec.spaces import space_of
from vipnas_cli.training.data import Folders
from vipnas_cli.training.importance import sort_channels
from vipnas_cli.training.loop import Validation
from vipnas_cli.training.pretrained.starts import PRETRAINED, Pretrained
from vipnas_cli.training.recipe import Recipe

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True)
class RunPlan:
    """Where a training reads and writes, what it starts from, and how it computes.

    `keys` are the frozen key networks of followers, of which every clip has one, `detector` the frozen one whose boxes
    a verifier judges; `initial` gives first weights, later ones over earlier ones; `until` stops earlier than the
    recipe; `spec` is a searched schedule whose networks are trained in place of the recipe's preset. `validation`
    scores super-networks and followers on the way; key networks are scored as the recipe says.
    """

    recipe: Recipe
    folders: Folders
    out: Path
    initial: tuple[Path, ...] = ()
    keys: tuple[Path, ...] = ()
    resume: bool = False
    until: int | None = None
    compile: bool = True
    device: torch.device = torch.device("cpu")
    spec: Path | None = None
    validation: Validation | None = None
    detector: Path | None = None


def initialise(net: nn.Module, plan: RunPlan, place: int = 0) -> nn.Module:
    """First weights and memory layout; from a super-network come the weights of the network's own architecture.

    Networks that are named after a super-network are put into it first. From a trained cycle comes the network that has
    this place among its different ones.
    """
    shared: SuperNet | None = None
    for path in plan.initial:
        tensors, header = load_checkpoint(path)
        if header.get("kind") == "supernet" and isinstance(net, PoseNet):
            shared = load_super_net(path).float()
        elif shared is not None:
            graft_trained(shared, path)
        if shared is not None and isinstance(net, PoseNet):
            tensors = shared.extract(net.arch, net.fusion_spec).state_dict()
        if header.get("kind") == "cycle":
            start = f"followers.{place}."
            tensors = {n.removeprefix(start): tensor for n, tensor in tensors.items() if n.startswith(start)}
        _load_fitting(net, tensors)
    published = pretrained_of(plan)
    if published is not None:
        published.fill(net)
    net.to(device=plan.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    return net


def pretrained_of(plan: RunPlan) -> Pretrained | None:
    """The published weights that a training begins with; None from scratch and from checkpoints."""
    return None if plan.initial or plan.resume else PRETRAINED.get(plan.recipe.start)


def initialise_super_net(net: SuperNet, plan: RunPlan) -> None:
    """First weights of a super-network: other ones', those of networks that were trained alone, or ImageNet's.

    Networks that were trained alone are put into the ones before.
    """
    for path in plan.initial:
        tensors, header = load_checkpoint(path)
        if header.get("kind") == "pose":
            graft_trained(net, path)
        else:
            _load_fitting(net if header.get("kind") == "supernet" else net.store, tensors)
    if not plan.initial:
        initialise(net.store, plan)
    net.to(device=plan.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]


def graft_trained(shared: SuperNet, path: Path) -> None:
    """Puts a network that was trained alone into shared weights.

    Its channels are sorted before, as narrower networks take the leading ones.
    """
    trained = load_pose_net(path).float()
    sort_channels(trained)
    graft(shared, trained)


def _load_fitting(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Takes over the tensors that have the name and the shape of one of the network's."""
    own = net.state_dict()
    fitting = {n: t.to(own[n].dtype) for n, t in tensors.items() if n in own and t.shape == own[n].shape}
    net.load_state_dict(fitting, strict=False)


def architecture_of(plan: RunPlan) -> ArchSpec:
    """The architecture that a training names: of its searched specification, or the recipe's preset at its size."""
    if plan.spec is not None:
        return read_schedule(str(plan.spec)).plans[0].built
    recipe = plan.recipe
    return replace(preset(recipe.preset), height=recipe.height, width=recipe.width)


def space_of_recipe(recipe: Recipe) -> SearchSpace:
    """The search space of a super-network's recipe, with the input sizes that the recipe names."""
    space = space_of(recipe.space)
    return replace(space, sizes=recipe.sizes) if recipe.sizes else space


def freeze(net: Trunk, stages: int) -> None:
    """Keeps stem and the first `stages` stages as they are, running statistics included; 0 freezes nothing."""
    for module in (net.stem, *net.stages[:stages]) if stages else ():
        module.eval()
        module.requires_grad_(False)


def compiled(function: Function, plan: RunPlan, dynamic: bool | None = None) -> Function:
    """The function made faster, if the plan says so; once for each size that it sees if `dynamic` is false."""
    # Compiled functions take and give what the plain ones do, which torch's types do not say.
    return cast(Function, torch.compile(function, dynamic=dynamic)) if plan.compile else function


def header_of(plan: RunPlan, facts: dict[str, object]) -> dict[str, object]:
    """The header of a checkpoint: the facts of its network, the recipe and the command."""
    published = PRETRAINED.get(plan.recipe.start)
    start = ", ".join(path.name for path in plan.initial) or (published.title if published else "scratch")
    if plan.resume:
        _, before = load_checkpoint(plan.out)
        start = before.get("training", {}).get("start", start)
    initial = [("--init", path) for path in plan.initial]
    keys = [("--key", path) for path in plan.keys]
    named = [("--spec", plan.spec), *initial, *keys, ("--detector", plan.detector), ("--out", plan.out)]
    options = " ".join(f"{option} {path.name}" for option, path in named if path is not None)
    command = f"vipnas train {plan.recipe.name} --data DATA {options}"
    return {**facts, "training": {"recipe": plan.recipe.to_json(), "start": start, "command": command}}
