"""Skeletons: mirroring is an involution that pairs left with right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.pose import COCO17, POSETRACK15, Skeleton

SKELETONS = pytest.mark.parametrize("skeleton", [COCO17, POSETRACK15], ids=lambda skeleton: skeleton.name)


@SKELETONS
def test_mirroring_twice_is_the_identity(skeleton: Skeleton) -> None:
    order = skeleton.flip_order
    assert [order[i] for i in order] == list(range(len(skeleton.keypoints)))


@SKELETONS
def test_mirroring_swaps_left_and_right_only(skeleton: Skeleton) -> None:
    for name, other in zip(skeleton.keypoints, skeleton.flip_order, strict=True):
        swapped = {"left": "right", "right": "left"}
        side, _, part = name.partition("_")
        assert skeleton.keypoints[other] == (f"{swapped[side]}_{part}" if side in swapped else name)


@SKELETONS
def test_both_sides_are_drawn_and_scored_alike(skeleton: Skeleton) -> None:
    order = skeleton.flip_order
    assert all(skeleton.sigmas[i] == skeleton.sigmas[order[i]] for i in range(len(order)))
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert {frozenset(order[end] for end in limb) for limb in limbs} == limbs
    assert len(limbs) == len(skeleton.limbs)


@SKELETONS
def test_every_keypoint_is_at_the_end_of_a_limb(skeleton: Skeleton) -> None:
    assert {end for limb in skeleton.limbs for end in limb} == set(range(len(skeleton.keypoints)))


def test_the_coco_constants() -> None:
    assert len(COCO17.keypoints) == 17
    assert COCO17.sigmas[COCO17.index("nose")] == 0.026
    assert COCO17.sigmas[COCO17.index("left_hip")] == 0.107


def test_unknown_keypoints_are_named() -> None:
    with pytest.raises(SpecError, match="tail"):
        COCO17.index("tail")


def test_broken_skeletons_are_refused() -> None:
    with pytest.raises(SpecError, match="twice"):
        replace(COCO17, keypoints=("nose",) * 17)
    with pytest.raises(SpecError, match="sigmas"):
        replace(COCO17, sigmas=(0.1,))
    with pytest.raises(SpecError, match="limb"):
        replace(COCO17, limbs=((0, 17),))
    with pytest.raises(SpecError, match="right_ear"):
        _ = Skeleton("half", ("left_ear",), (), (0.1,)).flip_pairs
