"""The super-network's laws: forward equals extract, the largest is the store, gradients stay where they belong."""

from __future__ import annotations

from random import Random

import pytest
import torch

from vipnas_cli.errors import SpecError
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec, FusionSpec, Plan, SearchSpace, TemporalSpace
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.spec.cost import plan_cost
from vipnas_cli.spec.spaces import SPACES

BOTH = (False, True)
KEYPOINTS = 5
FUSIONS = tuple(FusionSpec(operation, stage) for operation in ("add", "mul", "cat") for stage in (1, 2, 3, 4))

# All kinds of choices that the named spaces have, with few channels.
MOBILENETV3 = SearchSpace(
    "mobilenetv3",
    ((32, 32), (64, 32)),
    StemChoices((8,), (3, 5)),
    (
        StageChoices((8,), (1, 2), (3, 5), (1, 2, 4), (1,), BOTH),
        StageChoices((8, 16), (1, 2), (3, 5, 7), (1, 2, 8), (2, 3), BOTH),
        StageChoices((12, 16), (1, 2), (3, 5), (1, 2, 4), (1, 2), BOTH),
        StageChoices((8, 16), (1, 2), (3, 5), (1, 4, 8), (2, 3), BOTH),
        StageChoices((20, 24), (1, 2), (3, 7), (1, 2, 4), (2, 3), BOTH),
        StageChoices((24, 32), (1, 2, 3), (3, 5), (1, 4, 8, 16), (2, 3), BOTH),
    ),
    HeadChoices((16, 24), (2, 4), (1, 2, 3, 24)),
)
# 288 and 320 channels, so that the hidden layer of the global context varies too.
RESNET = SearchSpace(
    "resnet",
    ((32, 32), (64, 32)),
    StemChoices((8, 12), (3, 5, 7)),
    (
        StageChoices((16, 20), (1, 2), (3, 5), (1, 2, 4), (1, 2), BOTH),
        StageChoices((20, 40), (1, 2, 3), (3, 5, 7), (1, 2, 5, 10), (1,), BOTH),
        StageChoices((38, 57), (1, 2), (3, 5), (1, 19), (1,), BOTH),
        StageChoices((32, 288, 320), (1, 2), (3, 5), (1, 8, 16), (1,), BOTH),
    ),
    HeadChoices((12, 24), (2, 4), (1, 2, 3, 24)),
)
FAST = SearchSpace(
    "fast",
    ((32, 32), (64, 32)),
    StemChoices((8, 12), (3, 5)),
    (
        StageChoices((16,), (1,), (3, 5), (1,), (1,), BOTH),
        StageChoices((8, 12), (1, 2), (3, 5), (1, 4), (1, 2, 3), BOTH),
        StageChoices((16, 24), (1, 2, 3), (3, 5, 7), (1, 4), (2, 3), BOTH),
        StageChoices((16, 24), (1, 2), (3, 5), (1,), (2, 3), BOTH),
        StageChoices((20, 32), (1, 2), (3, 7), (1, 8), (2, 3), BOTH),
        StageChoices((24, 40), (1, 2), (3, 5), (1, 16), (2, 3, 4), BOTH),
    ),
    HeadChoices((16, 24), (2, 4), (1, 2, 8), (0, 3, 5)),
)
TINY = pytest.mark.parametrize("space", [MOBILENETV3, RESNET, FAST], ids=lambda space: space.family)


def supernet(space: SearchSpace, fusions: tuple[FusionSpec, ...] = ()) -> SuperNet:
    """A super-network whose every parameter and statistic is random, zero-initialised ones too."""
    torch.manual_seed(0)
    net = SuperNet(space, KEYPOINTS, fusions)
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            # Twice the usual deviation keeps signals alive through rectifiers.
            noise = 2 * torch.randn_like(tensor) / tensor[0].numel() ** 0.5
            tensor.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return net.eval()


def batch(arch: ArchSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images and their previous heatmaps."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, arch.height, arch.width, generator=generator)
    return images, torch.rand(2, KEYPOINTS, arch.height // 4, arch.width // 4, generator=generator)


@TINY
@pytest.mark.parametrize("training", [False, True])
def test_forward_equals_extract_bit_for_bit(space: SearchSpace, training: bool) -> None:
    net, rng = supernet(space), Random(0)
    for arch in (space.largest, space.smallest, *(space.sample(rng) for _ in range(20))):
        net.train(training)
        alone = net.extract(arch)
        assert alone.training == training
        images, _ = batch(arch)
        with torch.no_grad():
            shared = net(images, arch)
            assert torch.isfinite(shared).all()
            assert torch.equal(shared, alone(images))
            assert not torch.equal(shared[0], shared[1])


@TINY
def test_followers_equal_their_extracts(space: SearchSpace) -> None:
    temporal = TemporalSpace(space, space, 20)
    net = supernet(space, FUSIONS).train()
    plans = temporal.sample(Random(1)).plans[1:]
    assert {plan.fusion.operation for plan in plans} == {"none", "add", "mul", "cat"}
    for plan in plans:
        images, previous = batch(plan.arch)
        alone = net.extract(plan.arch, plan.fusion)
        with torch.no_grad():
            assert torch.equal(net(images, plan.arch, previous, plan.fusion), alone(images, previous))
            if plan.fusion.operation != "none":
                assert not torch.equal(alone(images, previous), alone(images))


@TINY
def test_the_largest_is_the_store(space: SearchSpace) -> None:
    net = supernet(space)
    extracted, stored = net.extract(space.largest).state_dict(), net.store.state_dict()
    assert extracted.keys() == stored.keys()
    assert all(torch.equal(extracted[name], stored[name]) for name in stored)
    images, _ = batch(space.largest)
    with torch.no_grad():
        assert torch.equal(net(images, space.largest), net.store(images))


@TINY
def test_an_extract_is_a_copy_that_trains_alone(space: SearchSpace) -> None:
    net = supernet(space, FUSIONS[:1])
    arch = space.sample(Random(2))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    alone = net.extract(arch, FUSIONS[0])
    assert type(alone) is PoseNet
    assert alone.arch == arch
    assert alone.fusion_spec == FUSIONS[0]
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in alone.parameters())
    assert set(alone.state_dict()) == set(PoseNet(arch, KEYPOINTS, FUSIONS[0]).state_dict())
    for tensor in alone.state_dict().values():
        tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def numbered(net: SuperNet) -> SuperNet:
    """The super-network with its entries numbered from 1 within each tensor."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.arange(1.0, tensor.numel() + 1).view_as(tensor))
    return net


@TINY
@pytest.mark.parametrize("fusion", [None, FusionSpec("cat", 3)])
def test_gradients_are_those_of_the_extract_and_zero_elsewhere(space: SearchSpace, fusion: FusionSpec | None) -> None:
    rng = Random(3)
    fusions = (fusion,) if fusion else ()
    numbers = numbered(SuperNet(space, KEYPOINTS, fusions))
    for arch in (space.smallest, *(space.sample(rng) for _ in range(4))):
        net = supernet(space, fusions)
        alone = net.extract(arch, fusion)
        places = numbers.extract(arch, fusion).state_dict()
        images, previous = batch(arch)
        weights = torch.randn(2, KEYPOINTS, arch.height // 4, arch.width // 4)
        (net.raw(images, arch, previous, fusion) * weights).sum().backward()
        (alone.raw(images, previous) * weights).sum().backward()
        shared = dict(net.store.named_parameters())
        if fusion:
            shared |= dict(net.fusions["cat3"].named_parameters(prefix="fusion"))
        wanted = dict(alone.named_parameters())
        for name, parameter in shared.items():
            expected = torch.zeros(parameter.numel())
            if name in wanted:
                place = places[name].flatten().long() - 1
                assert len(place.unique()) == len(place)
                gradient = wanted[name].grad
                assert gradient is not None
                expected[place] = gradient.flatten()
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.equal(found.flatten(), expected), name


@TINY
def test_training_touches_statistics_of_the_narrowed_part_only(space: SearchSpace) -> None:
    net = supernet(space).train()
    arch = space.smallest
    alone = net.extract(arch)
    before = {name: tensor.clone() for name, tensor in net.store.state_dict().items()}
    images, _ = batch(arch)
    with torch.no_grad():
        net(images, arch)
        alone(images)
    again = net.extract(arch).state_dict()
    assert all(torch.equal(again[name], expected) for name, expected in alone.state_dict().items())
    for name, tensor in net.store.state_dict().items():
        if name.endswith("running_mean"):
            width = len(again[name]) if name in again else 0
            assert torch.equal(tensor[width:], before[name][width:])
            assert not width or not torch.equal(tensor[:width], before[name][:width])


def test_modes_do_not_leak_between_calls() -> None:
    net = supernet(FAST)
    arch = FAST.sample(Random(4))
    images, _ = batch(arch)
    with torch.no_grad():
        first = net(images, arch)
        net.train()
        net(images, arch)
        net.eval()
        again = supernet(FAST)(images, arch)
    assert torch.equal(first, again)


@TINY
def test_a_state_dict_carries_everything(space: SearchSpace) -> None:
    net = supernet(space, FUSIONS)
    copy = SuperNet(space, KEYPOINTS, FUSIONS)
    copy.load_state_dict(net.state_dict())
    copy.eval()
    arch = space.sample(Random(5))
    images, previous = batch(arch)
    with torch.no_grad():
        assert torch.equal(copy(images, arch, previous, FUSIONS[7]), net(images, arch, previous, FUSIONS[7]))


def test_strangers_are_refused() -> None:
    net = supernet(FAST, (FusionSpec("add", 1),))
    images, previous = batch(FAST.largest)
    with pytest.raises(SpecError, match="stem"):
        net(images, SPACES["fast"].smallest)
    with pytest.raises(SpecError, match="super-network"):
        net.extract(MOBILENETV3.smallest)
    with pytest.raises(SpecError, match="mul2"):
        net(images, FAST.largest, previous, FusionSpec("mul", 2))


@TINY
def test_cost_lies_between_the_smallest_and_the_largest(space: SearchSpace) -> None:
    rng = Random(6)
    costs = [plan_cost(Plan(arch), KEYPOINTS) for arch in (space.smallest, space.sample(rng), space.largest)]
    assert costs[0].macs < costs[1].macs < costs[2].macs
    assert costs[0].parameters < costs[1].parameters < costs[2].parameters
    net = SuperNet(space, KEYPOINTS)
    assert costs[2].parameters == sum(parameter.numel() for parameter in net.store.parameters())


@pytest.mark.parametrize("family", SPACES)
def test_named_spaces_fit_into_their_largest(family: str) -> None:
    # On the meta device, as only names and shapes matter here.
    space, rng = SPACES[family], Random(7)
    with torch.device("meta"):
        net = SuperNet(space, KEYPOINTS)
        for arch in (space.smallest, *(space.sample(rng) for _ in range(5))):
            expected = {name: tensor.shape for name, tensor in PoseNet(arch, KEYPOINTS).state_dict().items()}
            found = net.extract(arch).state_dict()
            assert {name: tensor.shape for name, tensor in found.items()} == expected
