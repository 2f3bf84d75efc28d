"""A space small enough to enumerate, untrained super-networks of it, and clips of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.search.clip_sets import ClipSet, ClipSets
from vipnas_cli.search.cycles import CycleSpace
from vipnas_cli.search.scoring import Networks
from vipnas_cli.search.task import SearchPlan, SearchTask
from vipnas_cli.spec import Budget, FusionSpec, SearchSpace
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices

FUSIONS = (FusionSpec(), FusionSpec("add", 2), FusionSpec("cat", 2))


@pytest.fixture(scope="session")
def small_space() -> SearchSpace:
    """Sixteen architectures: two input sizes, two depths, two kernels, two expansions."""
    fixed = StageChoices((8,), (1,), (3,), (1,), (1,), (False,))
    free = StageChoices((8,), (1, 2), (3, 5), (1,), (1, 2), (False,))
    stages = (fixed, fixed, free, fixed, fixed, fixed)
    return SearchSpace(
        "fast", ((64, 32), (96, 64)), StemChoices((8,), (3,)), stages, HeadChoices((8,), (2,), (1,), (3,))
    )


@pytest.fixture(scope="session")
def small_cycles(small_space: SearchSpace) -> CycleSpace:
    """Cycles of two frames: a fixed key network, 48 followers."""
    return CycleSpace(SearchSpace.of(small_space.largest), small_space, (2,), FUSIONS)


@pytest.fixture(scope="session")
def small_clips() -> ClipSets:
    """Eight clips of four frames to score on, six to recalibrate with; people are noise."""
    return ClipSets(_noise(8, 0), _noise(6, 1))


@pytest.fixture(scope="session")
def small_networks(small_space: SearchSpace) -> Networks:
    """An untrained network for key frames and an untrained super-network for followers."""
    torch.manual_seed(0)
    followers = SuperNet(small_space, 17, FUSIONS)
    for parameter in followers.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    key = SuperNet(SearchSpace.of(small_space.largest)).extract(small_space.largest).eval()
    return Networks(key, followers.eval())


@pytest.fixture(scope="session")
def small_task(small_cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets) -> SearchTask:
    """A search of a dozen candidates, with all its baselines."""
    plan = SearchPlan(Budget(1e6, "macs"), evaluations=5, seed=3, baselines=True)
    return SearchTask(plan, small_cycles, small_networks, small_clips)


def _noise(count: int, seed: int) -> ClipSet:
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
