"""What a training is told of its networks is what a search would say of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vipnas_cli.evaluation.clip_sets import ClipSets
from vipnas_cli.evaluation.cycles import ClipScorer, Networks
from vipnas_cli.inference.frozen import TorchKey
from vipnas_cli.nets.posenet import PoseNet
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import FusionSpec, Plan, Schedule, SearchSpace
from vipnas_cli.training.followers import Followers
from vipnas_cli.training.validation import ClipScore, spread


@pytest.fixture(scope="module")
def key(small_networks: Networks) -> TorchKey:
    assert isinstance(small_networks.key, TorchKey)
    return small_networks.key


def test_key_networks_of_a_super_network_are_scored_between_largest_and_smallest(
    small_space: SearchSpace, small_clips: ClipSets
) -> None:
    torch.manual_seed(0)
    net, asked = SuperNet(small_space).eval(), ClipScore(small_clips)
    schedules = asked._spatial(net)
    assert [schedule.plan(0).arch for schedule in schedules[:2]] == [small_space.largest, small_space.smallest]
    scorer = ClipScorer(Networks(net), small_clips)
    assert asked(net) == np.mean([scorer(schedule).mean for schedule in schedules])


def test_followers_of_a_super_network_are_scored_behind_the_key_network(
    small_networks: Networks, small_clips: ClipSets, key: TorchKey
) -> None:
    net = small_networks.followers
    assert isinstance(net, SuperNet)
    # Only what the fixture's super-network can do: its fusions stand at one stage.
    schedules = ClipScore(small_clips, (key,), 2)._temporal(net, key)
    assert all(len(schedule) == 3 and schedule.plan(0) == key.plan for schedule in schedules)
    assert {plan.arch for plan in schedules[0].plans[1:]} == {net.space.largest}
    assert {plan.arch for plan in schedules[1].plans[1:]} == {net.space.smallest}


def test_finished_followers_are_scored_as_they_are(small_clips: ClipSets, key: TorchKey) -> None:
    torch.manual_seed(3)
    one, other = (PoseNet(key.net.arch, fusion=FusionSpec("cat", 2)).eval() for _ in range(2))
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    alone = ClipScore(small_clips, (key,), 2)(one)
    assert alone == ClipScore(small_clips, (key,))(Followers([one], (0, 0)))
    schedule = Schedule((key.plan, *[Plan(one.arch, one.fusion_spec)] * 2))
    assert alone == ClipScorer(Networks(key, (one, one)), small_clips)(schedule).mean
    two = ClipScorer(Networks(key, (one, other)), small_clips)(schedule)
    assert two.positions[:2] == ClipScorer(Networks(key, (one, one)), small_clips)(schedule).positions[:2]
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.state_dict().items())


def test_every_key_network_is_scored_also_of_one_architecture(small_clips: ClipSets, key: TorchKey) -> None:
    torch.manual_seed(4)
    untrained, follower = TorchKey(PoseNet(key.net.arch)), PoseNet(key.net.arch, fusion=FusionSpec("cat", 2)).eval()
    one, other = (ClipScore(small_clips, (each,), 1)(follower) for each in (key, untrained))
    assert one != other
    assert ClipScore(small_clips, (key, untrained), 1)(follower) == np.mean([one, other])
    assert ClipScore(small_clips, (untrained, key), 1)(follower) == np.mean([one, other])


def test_people_to_score_on_are_spread_over_all() -> None:
    assert spread(643, 300)[::299] == [0, 642]
    assert np.ptp(np.diff(spread(643, 300))) == 1
    assert spread(3, 300) == [0, 1, 2]
    assert spread(0, 300) == []
