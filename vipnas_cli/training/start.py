"""What every training begins with: where it reads and writes, first weights, what its checkpoint says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError
from vipnas_cli.files import shown
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
# A start is judged by the larger of two shares of weights: the network's that it fills and the file's that are used.
# All that the recipes name have 0.98 or more: a key network for followers (0.997, 1) or for a verifier, whose trunk it
# fills (0.98, 0.58), deeper followers for shallower ones (1 of the network), what goes into a super-network (1 of the
# file) or comes out of it (1 of the network). Searched followers with the weights of others have 0.01 to 0.99, networks
# of other families mostly less than 0.02.
LEAST_TAKEN, FEW_TAKEN = 0.05, 0.5


def _tell_nobody(_text: str, _warning: bool) -> None:
    """For trainings that nobody watches."""


@dataclass(frozen=True)
class RunPlan:
    """Where a training reads and writes, what it starts from, and how it computes.

    `keys` are the frozen key networks of followers, of which every clip has one, `teachers` those whose heatmaps a key
    network learns, `detector` the frozen one whose boxes a verifier judges; `initial` gives first weights, later ones
    over earlier ones; `until` stops earlier than the recipe; `spec` is a searched schedule whose networks are trained
    in place of the recipe's preset. `validation` scores super-networks and followers on the way; key networks are
    scored as the recipe says. `tell` is called with what was taken from `initial`, and whether that is a warning.
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
    teachers: tuple[Path, ...] = ()
    tell: Callable[[str, bool], None] = _tell_nobody


@dataclass(frozen=True)
class Taken:
    """How many of the tensors wanted a network has of a checkpoint, and the shares of its and of the file's weights.

    The share of the file is 0 where nobody counts it: a super-network is there to be used in part.
    """

    tensors: int
    wanted: int
    of_net: float
    of_file: float

    @staticmethod
    def of(net: nn.Module, used: Mapping[str, Tensor], offered: Mapping[str, Tensor]) -> Taken:
        """What the tensors `used` of those that a checkpoint `offered` are for a network."""
        own = net.state_dict()
        count = sum(tensor.numel() for tensor in used.values())
        held, given = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (own, offered))
        return Taken(len(used), len(own), count / max(held, 1), count / given if given else 0.0)

    @property
    def share(self) -> float:
        """What a start is judged by."""
        return max(self.of_net, self.of_file)

    def __str__(self) -> str:
        of_file = f", {100 * self.of_file:.3g} % of the file's" if self.of_file else ""
        return f"{self.tensors} of {self.wanted} tensors ({100 * self.of_net:.3g} % of the network's weights{of_file})"


def initialise(net: nn.Module, plan: RunPlan, place: int = 0) -> nn.Module:
    """First weights and memory layout; from a super-network come the weights of the network's own architecture.

    Networks that are named after a super-network are put into it first. From a trained cycle comes the network that has
    this place among its different ones. WeightsError if hardly anything of all of them fits.
    """
    shared: SuperNet | None = None
    taken = []
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
        found = _load_fitting(net, tensors)
        taken.append(found if shared is None else replace(found, of_file=0.0))
    _judge_starts(plan, taken, f" for follower network {place + 1}" if plan.recipe.kind == "cycle" else "")
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

    Networks that were trained alone are put into the ones before. WeightsError if hardly anything of all of them fits.
    """
    taken = []
    for path in plan.initial:
        tensors, header = load_checkpoint(path)
        if header.get("kind") == "pose":
            graft_trained(net, path)
            taken.append(Taken.of(net, tensors, tensors))
        else:
            taken.append(_load_fitting(net if header.get("kind") == "supernet" else net.store, tensors))
    _judge_starts(plan, taken)
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


def _judge_starts(plan: RunPlan, taken: Sequence[Taken], which: str = "") -> None:
    """Tells what came from each checkpoint that a training begins with; WeightsError if hardly anything did.

    Of several it is enough that one fits: a super-network may add little to the network that is put into it.
    """
    if plan.resume:
        return  # what was taken is written over by what is resumed
    if taken and max(part.share for part in taken) < LEAST_TAKEN:
        best, path = max(zip(taken, plan.initial, strict=True), key=lambda row: row[0].share)
        raise WeightsError(
            f"{shown(path)} hardly fits the network to train{which}: {best} have its names and shapes",
            "name a checkpoint of the same architecture, or the super-network that it comes from; "
            "without --init the recipe's own start is used",
        )
    for part, path in zip(taken, plan.initial, strict=True):
        few = part.share < FEW_TAKEN
        rest = "; the others begin without it" if few else ""
        plan.tell(f"{'only ' if few else ''}{part} taken from {shown(path)}{which}{rest}", few)


def _load_fitting(net: nn.Module, tensors: Mapping[str, Tensor]) -> Taken:
    """Takes over the tensors that have the name and the shape of one of the network's."""
    own = net.state_dict()
    fitting = {n: t.to(own[n].dtype) for n, t in tensors.items() if n in own and t.shape == own[n].shape}
    net.load_state_dict(fitting, strict=False)
    return Taken.of(net, fitting, tensors)


def architecture_of(plan: RunPlan) -> ArchSpec:
    """The key network that a training names: of its searched specification, or the recipe's preset at its size."""
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
    frozen = [("--key", path) for path in plan.keys] + [("--teacher", path) for path in plan.teachers]
    named = [("--spec", plan.spec), *initial, *frozen, ("--detector", plan.detector), ("--out", plan.out)]
    options = " ".join(f"{option} {path.name}" for option, path in named if path is not None)
    command = f"vipnas train {plan.recipe.name} --data DATA {options}"
    return {**facts, "training": {"recipe": plan.recipe.to_json(), "start": start, "command": command}}
