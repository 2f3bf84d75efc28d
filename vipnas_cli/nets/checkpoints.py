"""Checkpoints: tensors in safetensors with a readable JSON header; loading never runs code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypedDict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vipnas_cli.documents import DocumentKind
from vipnas_cli.errors import WeightsError
from vipnas_cli.files import make_parent, shown, write_bytes
from vipnas_cli.nets.detector import PersonDetector
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec import ArchSpec, FusionSpec, Plan, Schedule, SearchSpace
from vipnas_cli.spec.cost import Cost, detector_cost, plan_cost, verifier_cost

HEADERS = DocumentKind("a checkpoint of vipnas", WeightsError, "use a checkpoint that `vipnas train` wrote")
MOST_KEYPOINTS = 1000
# Kinds of super-networks, see `kind_of`.
SUPER_NETS = ("spatial", "temporal")


class Header(TypedDict, total=False):
    """What the headers of all kinds of checkpoint have in common.

    Only the states that trainings resume from have `best`, the best score so far, and `state_of`, the name of the
    checkpoint that they are the state of.
    """

    kind: str
    keypoints: int
    step: int
    score: float
    best: float | None
    state_of: str
    training: dict[str, Any]
    options: dict[str, Any]


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Writes tensors and header to a file that appears whole; OutputError if that is impossible."""
    make_parent(path)
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, {"vipnas": json.dumps(header, sort_keys=True)}), durable=True)


def load_checkpoint(path: Path, of_training: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a checkpoint; WeightsError for a missing, foreign or damaged file.

    And for the state that a training resumes from, unless it is that `of_training` that is wanted.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", "check the path")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("vipnas")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(
            f"{shown(path)} is not a readable safetensors file: {shown(str(error)[:200])}", "restore or retrain it"
        ) from error
    if text is None:
        raise WeightsError(f"{shown(path)} was not written by vipnas", "use a checkpoint that `vipnas train` wrote")
    header = HEADERS.parse(text, path, dict[str, Any])
    HEADERS.convert(header, path, Header)
    if "state_of" in header and not of_training:
        whose = shown(header["state_of"])
        raise WeightsError(f"{shown(path)} is the state for --resume of {whose}, not a network", f"use {whose}")
    return tensors, header


def kind_of(header: dict[str, Any]) -> str:
    """What a checkpoint holds, as its header says; super-networks with fusions are temporal, others spatial."""
    kind = str(header.get("kind"))
    return kind if kind != "supernet" else "temporal" if header.get("fusions") else "spatial"


def load_pose_net(path: Path) -> PoseNet:
    """The pose network of a checkpoint, as its header describes it."""
    tensors, header = load_checkpoint(path)
    if header.get("kind") != "pose":
        raise WeightsError(f"{path} holds no pose network", "name a checkpoint of a pose network")
    with HEADERS.told(path):
        plan, keypoints = Plan.from_json(header["plan"]), _keypoints(header)
        _check_size(plan_cost(plan, keypoints), tensors)
    net = PoseNet(plan.built, keypoints, plan.fusion)
    _fill(net, tensors, path)
    return net


def load_followers(path: Path) -> tuple[Schedule, list[PoseNet]]:
    """The followers of a checkpoint of a trained cycle, in order, and the schedule that they belong to.

    Followers of the same plan are one and the same network.
    """
    tensors, header = load_checkpoint(path)
    if header.get("kind") != "cycle":
        raise WeightsError(f"{path} holds no followers of a cycle", "name a checkpoint that `vipnas train cycle` wrote")
    with HEADERS.told(path):
        schedule, keypoints = Schedule.from_json(header["schedule"]), _keypoints(header)
        plans, places = shared_places(schedule)
        for plan in plans:
            _check_size(plan_cost(plan, keypoints), tensors)
    nets = []
    for index, plan in enumerate(plans):
        net, prefix = PoseNet(plan.built, keypoints, plan.fusion), f"followers.{index}."
        _fill(net, {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}, path)
        nets.append(net)
    return schedule, [nets[place] for place in places]


def shared_places(schedule: Schedule) -> tuple[tuple[Plan, ...], tuple[int, ...]]:
    """The different plans of a schedule's followers, and for every follower the index of its plan among them."""
    plans = tuple(dict.fromkeys(schedule.plans[1:]))
    return plans, tuple(plans.index(plan) for plan in schedule.plans[1:])


def load_detector(path: Path) -> PersonDetector:
    """The person detector of a checkpoint."""
    tensors, header = load_checkpoint(path)
    if header.get("kind") != "detector":
        raise WeightsError(f"{path} holds no person detector", "name a checkpoint of a detector")
    with HEADERS.told(path):
        arch = ArchSpec.from_json(header["arch"])
        _check_size(detector_cost(arch), tensors)
    net = PersonDetector(arch)
    _fill(net, tensors, path)
    return net


def load_verifier(path: Path) -> BoxVerifier:
    """The verifier of a checkpoint."""
    tensors, header = load_checkpoint(path)
    if header.get("kind") != "verifier":
        raise WeightsError(f"{path} holds no verifier of boxes", "name a checkpoint of a verifier")
    with HEADERS.told(path):
        arch = ArchSpec.from_json(header["arch"])
        _check_size(verifier_cost(arch), tensors)
    net = BoxVerifier(arch)
    _fill(net, tensors, path)
    return net


def load_super_net(path: Path) -> SuperNet:
    """The super-network of a checkpoint, spatial (no fusions) or temporal."""
    tensors, header = load_checkpoint(path)
    if header.get("kind") != "supernet":
        raise WeightsError(f"{path} holds no super-network", "name a checkpoint that `vipnas train spatial` wrote")
    with HEADERS.told(path):
        fusions = tuple(FusionSpec(operation, stage) for operation, stage in header["fusions"])
        space, keypoints = space_of_header(header, path), _keypoints(header)
        _check_size(plan_cost(Plan(space.largest), keypoints), tensors)
    net = SuperNet(space, keypoints, fusions)
    _fill(net, tensors, path)
    return net


def space_of_header(header: dict[str, Any], path: Path) -> SearchSpace:
    """The search space of a super-network's header; WeightsError if it holds none."""
    with HEADERS.told(path):
        return SearchSpace.from_json(header["space"])


def _keypoints(header: dict[str, Any]) -> int:
    keypoints = header["keypoints"]
    if not 1 <= keypoints <= MOST_KEYPOINTS:
        raise ValueError(f"keypoints must be 1 to {MOST_KEYPOINTS}, not {float(keypoints):g}")
    return int(keypoints)


def _check_size(stated: Cost, tensors: dict[str, Tensor]) -> None:
    """ValueError before a network is made that is larger than what the file holds."""
    held = sum(tensor.numel() for tensor in tensors.values())
    if stated.parameters > held:
        raise ValueError(f"it states a network of {stated.parameters:.3g} parameters and holds {held:.3g}")


def _fill(net: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    wanted = net.state_dict()
    wrong = [name for name in wanted if name not in tensors or tensors[name].shape != wanted[name].shape]
    if wrong:
        raise WeightsError(f"{path} does not fit the network it describes: {wrong[0]}", "retrain or restore it")
    net.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})
