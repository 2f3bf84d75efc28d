"""Scores of schedules: repeatable, cut to the cycle, from networks as they are handed out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.evaluation import cycles as cycles_module
from vipnas_cli.evaluation.clip_sets import ClipSets, SetSizes, clip_sets
from vipnas_cli.evaluation.cycles import (
    KEPT_KEYS,
    ClipScorer,
    Networks,
    inputs_of,
    key_seen_by,
    seen_by,
    surely_labelled_pck,
)
from vipnas_cli.inference.crops import next_boxes
from vipnas_cli.inference.frozen import TorchKey
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.inference.torch import TorchEstimator
from vipnas_cli.nets.checkpoints import load_followers, load_pose_net
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.pose import COCO17, HeatmapCodec
from vipnas_cli.spec import CycleSpace, FusionSpec, Plan, Schedule, SearchSpace
from vipnas_cli.tracking.ids import IdentityTracker

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture
def cycles(small_cycles: CycleSpace) -> CycleSpace:
    return replace(small_cycles, lengths=(4,))


def test_scores_do_not_depend_on_what_was_scored_before(
    cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets
) -> None:
    rng = Random(0)
    schedules = [cycles.sample(rng) for _ in range(3)]
    one, other = ClipScorer(small_networks, small_clips), ClipScorer(small_networks, small_clips)
    scores = [one(schedule) for schedule in schedules]
    assert [other(schedule) for schedule in reversed(schedules)] == scores[::-1]
    assert all(len(score.positions) == 4 and score.mean == np.mean(score.positions) for score in scores)


def test_a_shorter_cycle_scores_as_the_beginning_of_a_longer_one(
    cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets
) -> None:
    schedule, score = cycles.sample(Random(1)), ClipScorer(small_networks, small_clips)
    whole = score(schedule)
    for length in (1, 2, 3):
        assert score(Schedule(schedule.plans[:length])).positions == whole.positions[:length]


def test_key_networks_of_a_super_network_are_recalibrated_and_kept(
    small_space: SearchSpace, small_clips: ClipSets
) -> None:
    torch.manual_seed(1)
    supernet = SuperNet(small_space).eval()
    score, rng = ClipScorer(Networks(supernet), small_clips), Random(0)
    archs = {small_space.sample(rng) for _ in range(KEPT_KEYS + 2)}
    first = {arch: score.run(Schedule((Plan(arch),))) for arch in archs}
    assert {arch: score(Schedule((Plan(arch),))) for arch in reversed(list(archs))} == {
        arch: found[0] for arch, found in first.items()
    }
    for arch, (_, key, _) in first.items():
        assert isinstance(key, TorchKey)
        net = key.net
        assert net.arch == arch
        stored = supernet.extract(arch)
        assert not torch.equal(net.stem[1].running_mean, stored.stem[1].running_mean)
        assert torch.equal(net.stem[0].weight, stored.stem[0].weight)


def test_a_finished_key_network_stays_as_it_is(
    cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets
) -> None:
    assert isinstance(small_networks.key, TorchKey)
    before = {name: tensor.clone() for name, tensor in small_networks.key.net.state_dict().items()}
    _, key, _ = ClipScorer(small_networks, small_clips).run(cycles.sample(Random(0)))
    assert key is small_networks.key
    assert all(torch.equal(tensor, before[name]) for name, tensor in small_networks.key.net.state_dict().items())


def test_handed_out_networks_see_what_was_scored(
    cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets
) -> None:
    schedule = Schedule((cycles.sample(Random(0)).plans[0], Plan(cycles.follower_space.largest, FusionSpec("cat", 2))))
    score, key, (follower,) = ClipScorer(small_networks, small_clips).run(schedule)
    clips = small_clips.scored
    boxes = np.stack([person.box_frame for person in clips.frames(0)])
    first = key_seen_by(key, inputs_of(clips, 0, schedule.plan(0), boxes, None))
    boxes_after = next_boxes(first.people, first.people, PropagationOptions(), 1 / 30)
    inputs = inputs_of(clips, 1, schedule.plan(1), boxes_after, first)
    assert inputs.previous is not None
    second = seen_by(follower, inputs)
    assert surely_labelled_pck(clips.frames(1), second.poses.points_frame) == score.positions[1]
    with torch.no_grad():
        plain = torch.cat([follower(*batch) for batch in inputs.batches()]).numpy()
    codec = HeatmapCodec(*inputs.crops.pictures.shape[1:3])
    np.testing.assert_allclose(second.poses.heatmaps, inputs.seen(plain, codec).poses.heatmaps, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_scores_are_of_what_the_propagator_sees(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = clip_sets(None, SetSizes(3, 1, 3))
    slow, *others = clips.scored.clips
    clips = replace(clips, scored=replace(clips.scored, clips=(replace(slow, stride=3), *others)))
    options = PropagationOptions(early_keys=False, steady_joints=False, steady_sides=False)
    monkeypatch.setattr(cycles_module, "OPTIONS", options)
    key = load_pose_net(WEIGHTS / "key-pyramid-224.fp16.safetensors").float().eval()
    followers = [net.float().eval() for net in load_followers(WEIGHTS / "followers.fp16.safetensors")[1][:2]]
    if not fused:
        followers = [load_pose_net(WEIGHTS / "key-pyramid-224.fp16.safetensors").float().eval() for _ in range(2)]
    plans = [Plan(net.arch, net.fusion_spec) for net in (key, *followers)]
    score = ClipScorer(Networks(TorchKey(key), tuple(followers)), clips)
    found = score(Schedule(tuple(plans)))
    estimator, seen = TorchEstimator([key, *followers], torch.device("cpu")), []
    believing = replace(options, new_score=0, new_evidence=0)
    for clip in clips.scored.clips:
        boxes = GivenBoxesSource({0: np.append(clip.frames[0].box_frame, 1)[None].astype(np.float32)})
        propagator = Propagator(estimator, boxes, IdentityTracker(COCO17), believing)
        steps = [
            propagator.step(clips.scored.pictures[frame.image], index, index * clip.stride / 30)
            for index, frame in enumerate(clip.frames)
        ]
        seen.append([step.people.points_frame[0] for step in steps])
    for position in range(3):
        points = np.stack([poses[position] for poses in seen])
        expected = surely_labelled_pck(clips.scored.frames(position), points)
        assert found.positions[position] == pytest.approx(expected, abs=0.01)
    assert found.mean > 50


def test_followers_are_recalibrated_on_what_the_position_before_makes(
    cycles: CycleSpace, small_networks: Networks, small_clips: ClipSets
) -> None:
    plan = Plan(cycles.follower_space.largest, FusionSpec("cat", 2))
    key = cycles.sample(Random(0)).plans[0]
    _, _, nets = ClipScorer(small_networks, small_clips).run(Schedule((key, plan, plan)))
    first, second = (net.stages[2][0].expand[1].running_mean for net in nets)
    assert not torch.equal(first, second)


def test_every_frame_of_a_network_is_scored_from_the_clips_own_boxes(
    small_networks: Networks, small_clips: ClipSets
) -> None:
    score = ClipScorer(small_networks, small_clips)
    assert isinstance(small_networks.key, TorchKey)
    every = score.every_frame(small_networks.key.net, 3)
    assert len(every.positions) == 3
    assert every.positions[0] == score(Schedule((small_networks.key.plan,))).mean


def test_pck_counts_surely_labelled_limbs(small_clips: ClipSets) -> None:
    people: list[LabelledPerson] = small_clips.scored.frames(0)
    points = np.stack([person.points_frame for person in people])
    assert surely_labelled_pck(people, points) == 100
    assert surely_labelled_pck(people, points + 1000) == 0
    wrong = points.copy()
    wrong[:, 9] += 1000
    assert surely_labelled_pck(people, wrong) == pytest.approx(100 * 11 / 12)
    doubted = [replace(person, weights=np.where(np.arange(17) == 9, 0.3, 1)) for person in people]
    assert surely_labelled_pck(doubted, wrong) == 100
