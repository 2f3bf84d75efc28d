"""The sandwich rule: what is drawn, what teaches, and where the gradients go."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from torch import Tensor

from vipnas_cli.inference.frozen import TorchKey
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import FusionSpec, SearchSpace, TemporalSpace
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.training.batches import Batch
from vipnas_cli.training.clip_batches import ClipBatch, KeyView
from vipnas_cli.training.followers import HeatmapNoise, HeatmapRules, unrolled_loss
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.supernet import (
    Unrolled,
    in_place_distillation_loss,
    sandwich_architectures,
    sandwich_cycles,
    spatial_step,
    step_rng,
    temporal_step,
)

OFF = (False,)
SPACE = SearchSpace(
    "fast",
    ((64, 32), (32, 32)),
    StemChoices((8,), (3,)),
    (
        StageChoices((4,), (1,), (3,), (1,), (1,), OFF),
        StageChoices((8, 12), (1, 2), (3,), (1,), (2, 3), OFF),
        StageChoices((8, 16), (1,), (3, 5), (1,), (2,), OFF),
        StageChoices((16,), (1, 2), (3,), (1,), (2, 3), OFF),
        StageChoices((20, 24), (1,), (3,), (1,), (2,), OFF),
        StageChoices((24, 32), (1,), (3, 5), (1,), (2,), OFF),
    ),
    HeadChoices((8, 16), (2, 4), (1,), (3,)),
)
FUSIONS = (FusionSpec("cat", 1), FusionSpec("add", 2))
SILENT = HeatmapRules(HeatmapNoise(0, 0, 0))


def rigid_space(arch_of: SearchSpace) -> SearchSpace:
    return SearchSpace.of(arch_of.largest)


def still_batch() -> Batch:
    torch.manual_seed(1)
    crops = torch.randint(0, 256, (3, 64, 32, 3), dtype=torch.uint8)
    return Batch(crops, torch.rand(3, 17, 2) * torch.tensor([32, 64]), torch.ones(3, 17))


def clip_batch(followers: int = 2) -> ClipBatch:
    still = still_batch()
    rows, columns = torch.eye(16).expand(3, 16, 16), torch.eye(8).expand(3, 8, 8)

    def repeated(value: Tensor, count: int = followers) -> tuple[Tensor, ...]:
        return (value,) * count

    parts = (still.crops, still.points_crop, still.weights)
    between = (repeated(part, followers - 1) for part in (rows, columns))
    return ClipBatch((KeyView(0, *parts, rows, columns),), *(repeated(part) for part in parts), *between)


def gradients(net: SuperNet) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return found


def test_a_step_draws_largest_smallest_and_random_ones_at_one_size() -> None:
    drawn = sandwich_architectures(SPACE, (32, 32), 3, Random(0))
    assert len(drawn) == 5
    assert {(arch.height, arch.width) for arch in drawn} == {(32, 32)}
    assert all(SPACE.contains(arch) for arch in drawn)
    assert drawn[0].stages == SPACE.largest.stages
    assert drawn[1] == SPACE.smallest


def test_a_step_draws_the_same_wherever_it_runs() -> None:
    draws = [sandwich_architectures(SPACE, (64, 32), 4, step_rng(3, 7)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0] != sandwich_architectures(SPACE, (64, 32), 4, step_rng(3, 8))


def test_a_space_with_one_point_trains_like_its_plain_network() -> None:
    space, batch = rigid_space(SPACE), still_batch()
    torch.manual_seed(0)
    net = SuperNet(space)
    plain = PoseNet(space.largest)
    plain.load_state_dict(net.store.state_dict())
    spatial_step(net, net.store.raw, batch, [space.largest])
    heatmap_loss(plain.raw(network_input(batch.crops)), batch.points_crop, batch.weights, "softmax").backward()  # type: ignore[no-untyped-call]
    for name, parameter in plain.named_parameters():
        stored = dict(net.store.named_parameters())[name].grad
        torch.testing.assert_close(stored, parameter.grad, rtol=1e-4, atol=1e-6)


def test_gradients_of_a_step_add_up_over_its_architectures() -> None:
    torch.manual_seed(0)
    net, batch = SuperNet(SPACE), still_batch()
    largest, smallest = sandwich_architectures(SPACE, (64, 32), 0, Random(0))
    net.eval()  # the statistics of one part must not change those of the next
    loss = spatial_step(net, net.store.raw, batch, [largest, smallest])
    together = gradients(net)
    alone = spatial_step(net, net.store.raw, batch, [largest])
    first = gradients(net)
    outside = [name for name, gradient in first.items() if not torch.equal(gradient / 2, together[name])]
    assert not loss.requires_grad
    assert float(loss) != float(alone)
    assert outside, "the smallest network left no gradient"


def test_the_teacher_teaches_best_what_it_already_knows() -> None:
    teacher = torch.randn(2, 17, 16, 8) * 4
    other = torch.randn(2, 17, 16, 8)
    assert in_place_distillation_loss(teacher, teacher, "softmax") < in_place_distillation_loss(
        other, teacher, "softmax"
    )
    assert in_place_distillation_loss(teacher, teacher, "linear") == 0


def test_followers_of_a_cycle_are_drawn_one_by_one() -> None:
    space = TemporalSpace(rigid_space(SPACE), SPACE, 3, ("none", "add", "cat"), (1, 2))
    cycles = sandwich_cycles(space, (32, 32), 6, Random(0))
    assert len(cycles) == 8
    assert {plan.arch.stages for plan in cycles[0]} == {SPACE.largest.stages}
    assert {plan.arch for plan in cycles[1]} == {SPACE.smallest}
    assert any(len({plan.arch for plan in cycle}) > 1 for cycle in cycles[2:])
    assert len({plan.fusion for cycle in cycles for plan in cycle}) > 2
    assert all(plan.arch.height == 32 for cycle in cycles for plan in cycle)


def test_a_temporal_step_reaches_the_fusions_it_drew_and_no_others() -> None:
    torch.manual_seed(0)
    net = SuperNet(SPACE, 17, FUSIONS)
    space = TemporalSpace(rigid_space(SPACE), SPACE, 2, ("cat",), (1,))
    key = TorchKey(PoseNet(SPACE.largest))
    unrolled = Unrolled(net, (key,), SILENT, torch.Generator().manual_seed(0))
    loss = temporal_step(unrolled, clip_batch(), sandwich_cycles(space, (64, 32), 1, Random(0)))
    found = gradients(net)
    assert torch.isfinite(loss)
    assert not loss.requires_grad
    assert any(name.startswith("fusions.cat1") for name in found)
    assert not any(name.startswith("fusions.add2") for name in found)
    assert all(parameter.grad is None for parameter in key.net.parameters())


def test_noise_of_the_same_generator_repeats() -> None:
    torch.manual_seed(0)
    net = SuperNet(SPACE, 17, FUSIONS).eval()
    space = TemporalSpace(rigid_space(SPACE), SPACE, 2, ("cat",), (1,))
    key = TorchKey(PoseNet(SPACE.largest))
    losses = [
        temporal_step(
            Unrolled(net, (key,), HeatmapRules(), torch.Generator().manual_seed(seed)),
            clip_batch(),
            sandwich_cycles(space, (64, 32), 1, Random(0)),
        ).item()
        for seed in (5, 5)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("through_time", [False, True])
def test_a_follower_learns_from_later_errors_only_through_time(through_time: bool) -> None:
    torch.manual_seed(0)
    batch = clip_batch()
    batch = replace(batch, weights=(torch.zeros(3, 17), batch.weights[1]))
    nets = [PoseNet(SPACE.largest, fusion=FUSIONS[0]) for _ in range(2)]
    for net in nets:
        assert net.fusion is not None
        for parameter in net.fusion.parameters():
            # Fusions begin as if there were nothing to fuse.
            parameter.data.add_(0.1)
    rules = replace(SILENT, through_time=through_time)
    runs = [net.raw for net in nets]
    unrolled_loss((TorchKey(PoseNet(SPACE.largest)),), list(runs), batch, torch.Generator(), rules).backward()  # type: ignore[no-untyped-call]
    first, second = (sum(float(p.grad.abs().sum()) for p in net.parameters() if p.grad is not None) for net in nets)
    assert second > 0
    assert (first > 0) == through_time


def test_a_super_network_learns_the_same_first_step_with_and_without_gradients_through_time() -> None:
    torch.manual_seed(0)
    net = SuperNet(SPACE, 17, FUSIONS).eval()
    space = TemporalSpace(rigid_space(SPACE), SPACE, 2, ("cat",), (1,))
    key, found = TorchKey(PoseNet(SPACE.largest)), []
    for followers in (1, 2):
        for through_time in (False, True):
            rules = replace(SILENT, through_time=through_time)
            cycles = [cycle[:followers] for cycle in sandwich_cycles(space, (64, 32), 0, Random(0))]
            loss = temporal_step(Unrolled(net, (key,), rules, torch.Generator()), clip_batch(followers), cycles)
            found.append((loss, gradients(net)))
    for (loss, grads), (other_loss, other_grads) in (found[:2], found[2:]):
        torch.testing.assert_close(loss, other_loss)
        assert grads.keys() == other_grads.keys()
    assert all(torch.equal(g, found[1][1][name]) for name, g in found[0][1].items())
    assert not all(torch.equal(g, found[3][1][name]) for name, g in found[2][1].items())
