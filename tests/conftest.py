"""What tests of several parts share: weights that are small enough to be made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import nn

    from vipnas_cli.spec import ArchSpec


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own: what was measured on this machine decides nothing."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIPNAS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of untrained pipelines whose poses are nonsense but sure of themselves; skipped without torch.

    `tiny-key` has a cycle of one frame, `tiny-3` of three with fusion; `tiny-3` is the better and the cheaper one. The
    checkpoint of the key network lies beside them as key.safetensors.
    """
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vipnas_cli.bundle_writer import DetectorParts, PipelineParts, write_bundle
    from vipnas_cli.checkpoints import save_checkpoint
    from vipnas_cli.nets.detector import PersonDetector
    from vipnas_cli.nets.posenet import PoseNet
    from vipnas_cli.spec import FusionSpec, Plan

    folder = tmp_path_factory.mktemp("tiny_bundle")
    plans = {
        "key": Plan(tiny_arch(96, 64)),
        "follower-1": Plan(tiny_arch(64, 32), FusionSpec("cat", 2)),
        "follower-2": Plan(tiny_arch(64, 32), FusionSpec("add", 2)),
    }
    paths: dict[str, Path] = {}
    for name, plan in plans.items():
        net = randomised(PoseNet(plan.arch, 17, plan.fusion), seed=len(paths))
        # A softmax over positions is flat without this, and people with flat heatmaps are dropped.
        net.get_parameter("final.weight").data.mul_(2400)
        paths[name] = folder / f"{name}.safetensors"
        header = {"kind": "pose", "plan": plan.to_json(), "keypoints": 17}
        save_checkpoint(paths[name], net.state_dict(), header)
    detector_arch = tiny_arch(64, 64)
    detector = randomised(PersonDetector(detector_arch), seed=9)
    header = {"kind": "detector", "arch": detector_arch.to_json()}
    save_checkpoint(folder / "detector.safetensors", detector.state_dict(), header)
    cycle = (paths["key"], paths["follower-1"], paths["follower-2"])
    pipelines = (
        PipelineParts("tiny-key", cycle[:1], {"selection": 1.0}),
        PipelineParts("tiny-3", cycle, {"selection": 2.0}),
    )
    write_bundle(folder, pipelines, DetectorParts(folder / "detector.safetensors", 0.005, {}))
    return folder


def tiny_arch(height: int, width: int) -> ArchSpec:
    """The fast family with as little of everything as it allows."""
    from vipnas_cli.spec import FAST_BASE, HeadSpec, StageSpec, StemSpec

    stages = tuple(StageSpec(8, 1, 3, 1, 1, False) for _ in FAST_BASE.stages)
    return replace(
        FAST_BASE, height=height, width=width, stem=StemSpec(8, 3), stages=stages, head=HeadSpec(8, 2, 1, refine=3)
    )


def randomised(net: nn.Module, seed: int) -> nn.Module:
    """The network with its weights moved at random."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net.eval()
