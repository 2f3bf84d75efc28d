"""What super-networks start from: other ones, and over them networks that were trained alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vipnas_cli.errors import WeightsError
from vipnas_cli.nets.checkpoints import load_pose_net, save_checkpoint
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.nets.verifier import BoxVerifier
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan, preset
from vipnas_cli.spec.spaces import FAST_SPACE, PYRAMID_SPACE
from vipnas_cli.training.data import Folders
from vipnas_cli.training.recipe import read_recipe
from vipnas_cli.training.start import RunPlan, header_of, initialise, initialise_super_net

FUSIONS = (FusionSpec("add", 1), FusionSpec("cat", 1), FusionSpec("add", 3))
ARCH = replace(
    FAST_SPACE.largest,
    height=128,
    width=96,
    stages=tuple(replace(s, depth=min(s.depth, 2)) for s in FAST_SPACE.largest.stages),
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A super-network, and a follower that was trained alone."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(1)
    shared, follower = SuperNet(FAST_SPACE, 17, FUSIONS), PoseNet(ARCH, 17, FUSIONS[1])
    torch.nn.init.normal_(follower.fusion.adapt.weight)  # type: ignore[union-attr]
    fusions = [[fusion.operation, fusion.stage] for fusion in FUSIONS]
    facts = {"kind": "supernet", "space": FAST_SPACE.to_json(), "fusions": fusions, "keypoints": 17}
    save_checkpoint(folder / "shared.safetensors", shared.state_dict(), facts)
    plan = Plan(ARCH, FUSIONS[1]).to_json()
    save_checkpoint(
        folder / "follower.safetensors", follower.state_dict(), {"kind": "pose", "plan": plan, "keypoints": 17}
    )
    return folder / "shared.safetensors", folder / "follower.safetensors"


def _plan(*initial: Path) -> RunPlan:
    return RunPlan(read_recipe("temporal"), Folders(Path(), Path()), Path("out.safetensors"), initial)


@torch.no_grad()
def test_later_checkpoints_are_written_over_earlier_ones(checkpoints: tuple[Path, Path]) -> None:
    shared, follower = checkpoints
    torch.manual_seed(2)
    first, both = SuperNet(FAST_SPACE, 17, FUSIONS), SuperNet(FAST_SPACE, 17, FUSIONS)
    initialise_super_net(first, _plan(shared))
    initialise_super_net(both, _plan(shared, follower))
    # The fourth block of the last stage is only in the super-network, the first one in both.
    name = "stages.5.3.expand.0.weight"
    assert torch.equal(first.store.state_dict()[name], both.store.state_dict()[name])
    assert not torch.equal(first.store.stem[0].weight, both.store.stem[0].weight)
    images, heatmaps = torch.randn(1, 3, 128, 96), torch.rand(1, 17, 32, 24)
    alone = load_pose_net(follower).eval()
    found = both.eval()(images, replace(FAST_SPACE.largest, height=128, width=96), heatmaps, FUSIONS[1])
    assert torch.allclose(found, alone(images, heatmaps), rtol=1e-3, atol=1e-6)


def test_the_command_names_all_of_them() -> None:
    training = header_of(_plan(Path("a.safetensors"), Path("b.safetensors")), {})["training"]
    assert isinstance(training, dict)
    assert training["start"] == "a.safetensors, b.safetensors"
    assert "--init a.safetensors --init b.safetensors" in training["command"]


def test_a_network_takes_what_was_put_into_its_super_network(checkpoints: tuple[Path, Path]) -> None:
    shared, follower = checkpoints
    narrow = replace(
        ARCH, stages=tuple(replace(s, expansion=4 if s.expansion == 6 else s.expansion) for s in ARCH.stages)
    )
    alone, over = PoseNet(narrow, 17, FUSIONS[0]), PoseNet(narrow, 17, FUSIONS[0])
    initialise(alone, _plan(shared))
    initialise(over, _plan(shared, follower))
    both = SuperNet(FAST_SPACE, 17, FUSIONS)
    initialise_super_net(both, _plan(shared, follower))
    expected = both.extract(narrow, FUSIONS[0]).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in over.state_dict().items())
    assert not torch.equal(alone.stem[0].weight, over.stem[0].weight)


def _saved(folder: Path, name: str, net: PoseNet) -> Path:
    """A checkpoint of a network that was trained alone."""
    header = {"kind": "pose", "plan": Plan(net.arch, net.fusion_spec).to_json(), "keypoints": 17}
    save_checkpoint(folder / name, net.state_dict(), header)
    return folder / name


def _told(plan: RunPlan) -> tuple[RunPlan, list[tuple[str, bool]]]:
    """The plan, and what it will have told."""
    told: list[tuple[str, bool]] = []
    return replace(plan, tell=lambda text, warning: told.append((text, warning))), told


def test_a_checkpoint_of_another_family_is_refused(checkpoints: tuple[Path, Path]) -> None:
    _, follower = checkpoints
    with pytest.raises(WeightsError, match=r"follower\.safetensors hardly fits the network.* of 522 tensors") as caught:
        initialise(PoseNet(preset("s-vipnet-res50")), _plan(follower))
    assert "the same architecture" in caught.value.hint
    # What is resumed writes over whatever was taken.
    initialise(PoseNet(preset("s-vipnet-res50")), replace(_plan(follower), resume=True))


def test_a_checkpoint_that_fits_in_small_part_warns(tmp_path: Path) -> None:
    first, *_, last = FAST_BASE.stages
    half = replace(FAST_BASE, stages=(first, *FAST_BASE.stages[1:-1], replace(last, expansion=4)))
    plan, told = _told(_plan(_saved(tmp_path, "half.safetensors", PoseNet(half))))
    initialise(PoseNet(FAST_BASE), plan)
    ((text, warning),) = told
    assert warning
    assert text.startswith("only ")
    assert "half.safetensors" in text


def test_what_the_recipes_start_from_is_told_and_fits(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    shared, follower = checkpoints
    key = _saved(tmp_path, "key.safetensors", PoseNet(FAST_BASE))
    deep = _saved(tmp_path, "deep.safetensors", PoseNet(FAST_BASE, 17, FUSIONS[1]))
    small = replace(FAST_BASE, height=128, width=96)
    cases = (
        (PoseNet(replace(small, height=256, width=192)), key),
        (PoseNet(small, 17, FUSIONS[1]), key),
        (PoseNet(ARCH, 17, FUSIONS[1]), deep),
        (BoxVerifier(replace(preset("verifier"), height=128, width=96)), key),
        (PoseNet(ARCH, 17, FUSIONS[1]), shared),
    )
    for net, path in cases:
        plan, told = _told(_plan(path))
        initialise(net, plan)
        ((text, warning),) = told
        assert not warning, text
        assert path.name in text
    for paths in ((key,), (shared,), (shared, follower)):
        plan, told = _told(_plan(*paths))
        initialise_super_net(SuperNet(FAST_SPACE, 17, FUSIONS), plan)
        assert [warning for _, warning in told] == [False] * len(paths)


def test_a_network_that_fits_makes_up_for_a_super_network_that_does_not(
    checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    _, follower = checkpoints
    other = SuperNet(PYRAMID_SPACE)
    facts = {"kind": "supernet", "space": PYRAMID_SPACE.to_json(), "fusions": [], "keypoints": 17}
    save_checkpoint(tmp_path / "other.safetensors", other.state_dict(), facts)
    plan, told = _told(_plan(tmp_path / "other.safetensors", follower))
    initialise_super_net(SuperNet(FAST_SPACE, 17, FUSIONS), plan)
    assert [warning for _, warning in told] == [True, False]
    with pytest.raises(WeightsError, match="hardly fits"):
        initialise_super_net(SuperNet(FAST_SPACE, 17, FUSIONS), _plan(tmp_path / "other.safetensors"))
