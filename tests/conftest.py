"""What tests of several parts share: the example programs, and weights that are small enough to be made on the spot."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import nn

    from vipnas_cli.data.augment import Augmentation
    from vipnas_cli.evaluation.clip_sets import ClipSet, ClipSets
    from vipnas_cli.evaluation.cycles import Networks
    from vipnas_cli.spec import ArchSpec, CycleSpace, SearchSpace


@pytest.fixture(scope="session", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own: what was measured on this machine decides nothing."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIPNAS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def load_example() -> Callable[[str], ModuleType]:
    """A function that loads the program of that name in `examples/` as a module."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up.
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of untrained pipelines whose poses are nonsense but sure of themselves; skipped without torch.

    `tiny-key` has a cycle of one frame, `tiny-3` of three with fusion; `tiny-3` is the better and the cheaper one. The
    checkpoint of the key network lies beside them as key.safetensors.
    """
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vipnas_cli.export.bundle_writer import DetectorParts, PipelineParts, add_pipeline, set_detector
    from vipnas_cli.nets.checkpoints import save_checkpoint
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
    set_detector(folder, DetectorParts(folder / "detector.safetensors", 0.005, {}))
    for parts in pipelines:
        add_pipeline(folder, parts)
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


@pytest.fixture(scope="session")
def no_augmentation() -> Augmentation:
    """Crops as they are."""
    from vipnas_cli.data.augment import Augmentation

    return Augmentation(0, (1, 1), 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="session")
def small_space() -> SearchSpace:
    """Sixteen architectures: two input sizes, two depths, two kernels, two expansions."""
    from vipnas_cli.spec import SearchSpace
    from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices

    fixed = StageChoices((8,), (1,), (3,), (1,), (1,), (False,))
    free = StageChoices((8,), (1, 2), (3, 5), (1,), (1, 2), (False,))
    stages = (fixed, fixed, free, fixed, fixed, fixed)
    return SearchSpace(
        "fast", ((64, 32), (96, 64)), StemChoices((8,), (3,)), stages, HeadChoices((8,), (2,), (1,), (3,))
    )


@pytest.fixture(scope="session")
def small_cycles(small_space: SearchSpace) -> CycleSpace:
    """Cycles of two frames: a fixed key network, 48 followers."""
    from vipnas_cli.spec import CycleSpace, FusionSpec, SearchSpace

    fusions = (FusionSpec(), FusionSpec("add", 2), FusionSpec("cat", 2))
    return CycleSpace(SearchSpace.of(small_space.largest), small_space, (2,), fusions)


@pytest.fixture(scope="session")
def small_clips() -> ClipSets:
    """Eight clips of four frames to score on, six to recalibrate with; people are noise."""
    from vipnas_cli.evaluation.clip_sets import ClipSets

    return ClipSets(_noise(8, 0), _noise(6, 1))


@pytest.fixture(scope="session")
def small_networks(small_space: SearchSpace, small_cycles: CycleSpace) -> Networks:
    """An untrained network for key frames and an untrained super-network for followers."""
    torch = pytest.importorskip("torch")
    from vipnas_cli.evaluation.cycles import Networks
    from vipnas_cli.inference.frozen import TorchKey
    from vipnas_cli.nets.supernet import SuperNet
    from vipnas_cli.spec import SearchSpace

    torch.manual_seed(0)
    followers = SuperNet(small_space, 17, small_cycles.fusions)
    for parameter in followers.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    key = SuperNet(SearchSpace.of(small_space.largest)).extract(small_space.largest)
    return Networks(TorchKey(key), followers.eval())


def _noise(count: int, seed: int) -> ClipSet:
    import numpy as np

    from vipnas_cli.data.clips import PersonClip
    from vipnas_cli.data.people_labels import LabelledPerson
    from vipnas_cli.evaluation.clip_sets import ClipSet

    generator = np.random.default_rng(seed)
    clips, pictures = [], {}
    for number in range(count):
        frames = []
        for index in range(4):
            path = Path(f"noise/{seed}/{number}/{index}")
            pictures[path] = generator.integers(0, 256, (60, 80, 3), np.uint8)
            points = generator.uniform(10, 50, (17, 2)).astype(np.float32)
            frames.append(LabelledPerson(path, np.array([15, 5, 45, 55], np.float32), points, np.ones(17, np.float32)))
        clips.append(PersonClip(f"noise{number}", tuple(frames)))
    return ClipSet(tuple(clips), pictures, f"{count} clips of noise")
