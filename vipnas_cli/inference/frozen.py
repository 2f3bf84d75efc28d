"""Frozen key networks: what stands before followers that are trained, searched or scored, whoever made it.

Shapes: B crops, K keypoints, H, W crop pixels, h, w heatmap cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vipnas_cli.bundle.archive import is_archive
from vipnas_cli.bundle.pipelines import Pipeline
from vipnas_cli.bundle.reader import open_bundle
from vipnas_cli.errors import UsageError, WeightsError
from vipnas_cli.files import shown
from vipnas_cli.inference.onnx import OnnxEstimator, pipeline_from_onnx
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.nets.checkpoints import load_pose_net
from vipnas_cli.nets.folding import fold_batch_norm
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.spec import Plan
from vipnas_cli.spec.cost import plan_cost

Run = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")


class FrozenKey(Protocol):
    """A key network that stays as it is; `name` and `sha256` say which file it is, if it came from one."""

    name: str
    sha256: str

    @property
    def plan(self) -> Plan:
        """What it is."""
        ...

    @property
    def keypoints(self) -> int:
        """How many heatmaps it gives."""
        ...

    def __call__(self, crops: Tensor) -> Tensor:
        """Heatmaps (B, K, h, w) of RGB crops (B, H, W, 3) uint8, on their device."""
        ...


def same(run: Run) -> Run:
    """The function as it is, where nothing makes it faster."""
    return run


class TorchKey:
    """A key network of this project; `faster` may compile it."""

    def __init__(self, net: PoseNet, device: torch.device = CPU, faster: Callable[[Run], Run] = same) -> None:
        self.net = net.eval()
        self.name = self.sha256 = ""
        # Batch norms alone take a third of the time, and images come with their channels last.
        folded = deepcopy(self.net)
        fold_batch_norm(folded)
        folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run = faster(folded)

    @property
    def plan(self) -> Plan:
        """See FrozenKey."""
        return Plan(self.net.arch)

    @property
    def keypoints(self) -> int:
        """See FrozenKey."""
        return self.net.final.out_channels

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        """See FrozenKey."""
        return self._run(network_input(crops))


class OnnxKey:
    """A key network in ONNX Runtime, imported or exported; it is loaded where it is first asked."""

    def __init__(self, pipeline: Pipeline, threads: int = 1) -> None:
        self.pipeline, self.threads = pipeline, threads
        self.name, self.sha256 = pipeline.networks[0].path.name, pipeline.networks[0].sha256
        self._estimator: OnnxEstimator | None = None

    @property
    def plan(self) -> Plan:
        """See FrozenKey."""
        return self.pipeline.networks[0].plan

    @property
    def keypoints(self) -> int:
        """See FrozenKey."""
        return len(OnnxEstimator.skeleton.keypoints)

    def __call__(self, crops: Tensor) -> Tensor:
        """See FrozenKey."""
        if self._estimator is None:
            self._estimator = OnnxEstimator(self.pipeline, RuntimeOptions(self.threads))
        found = self._estimator.estimate(0, crops.cpu().numpy(), None)
        return torch.from_numpy(found).to(crops.device)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which loads the network itself: sessions cannot be sent."""
        return {**self.__dict__, "_estimator": None}


def is_bundle(path: Path) -> bool:
    """Whether a path names a bundle, a folder or one file."""
    return path.is_dir() or is_archive(path)


def load_key(path: Path, device: torch.device = CPU, faster: Callable[[Run], Run] = same) -> FrozenKey:
    """The key network of a checkpoint, of an exported or imported ONNX file, or of a bundle (folder or file).

    UsageError for a bundle of several key networks, WeightsError for what is none of these.
    """
    if is_bundle(path):
        return OnnxKey(_only_key(path))
    if path.suffix == ".onnx":
        return OnnxKey(_exported(path))
    key = TorchKey(load_pose_net(path), device, faster)
    key.name, key.sha256 = path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    return key


def about_key(key: FrozenKey) -> dict[str, object]:
    """What a checkpoint says of a frozen key network that it was trained behind."""
    return {"name": key.name, "sha256": key.sha256, "macs": plan_cost(key.plan, key.keypoints).macs}


def _only_key(path: Path) -> Pipeline:
    """The key network of a bundle as a pipeline of its own."""
    keys = {pipeline.networks[0].path: pipeline for pipeline in open_bundle(path).pipelines}
    if len(keys) > 1:
        names = ", ".join(sorted(shown(key.name) for key in keys))
        # A network in an archive has no file that could be named.
        which = "the checkpoint" if is_archive(path) else "the file or the checkpoint"
        raise UsageError(f"{shown(path)} holds {len(keys)} key networks: {names}", f"name {which} of one of them")
    (pipeline,) = keys.values()
    return Pipeline(pipeline.name, pipeline.networks[:1], {})


def _exported(path: Path) -> Pipeline:
    try:
        return pipeline_from_onnx(path)
    except WeightsError as error:
        raise WeightsError(error.what, f"{error.hint}; a network of others becomes one by `vipnas import`") from error
