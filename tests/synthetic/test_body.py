"""Laws of the synthetic skeleton, its poses and motions, and of the surface that follows it."""

import numpy as np
import pytest

from vipnas_cli.pose import COCO17
from vipnas_cli.synthetic.body import Body, body_of
from vipnas_cli.synthetic.looks import random_look
from vipnas_cli.synthetic.motion import moving_pose, random_pose, stride_of
from vipnas_cli.synthetic.poses import KEY_POSES, limited, pose_from
from vipnas_cli.synthetic.skeleton import BONES, Bone, Pose, Proportions, keypoints_of, posture_of

MOTIONS = ("stand", "walk", "run", "wave", "jumping_jack", "squat", "kick", "throw")
RIGID = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)),
    *((11, 12), (0, 1), (0, 2), (1, 3), (2, 4)),
)


@pytest.fixture(scope="module")
def body() -> Body:
    generator = np.random.default_rng(3)
    return body_of(random_look(generator), generator)


@pytest.mark.parametrize("motion", MOTIONS)
def test_limbs_keep_their_lengths(motion):
    proportions = Proportions(height=1.8, bulk=1.1, legs=1.03)
    points = np.array(
        [keypoints_of(posture_of(moving_pose(motion, t), proportions), proportions) for t in np.arange(0, 2, 0.05)]
    )
    for a, b in RIGID:
        lengths = np.linalg.norm(points[:, a] - points[:, b], axis=1)
        assert np.ptp(lengths) < 1e-9
        assert lengths[0] > 0.01


def test_zero_angles_stand_upright_facing_the_viewer():
    proportions = Proportions(height=2.0)
    points = keypoints_of(posture_of(Pose(np.zeros((BONES, 3))), proportions), proportions)
    for left, right in COCO17.flip_pairs:
        assert points[left, 0] > 0
        np.testing.assert_allclose(points[left] * (-1, 1, 1), points[right], atol=1e-12)
    assert points[0, 2] > points[1, 2] > points[3, 2]
    order = [
        points[COCO17.index(name), 1]
        for name in ("left_eye", "nose", "left_shoulder", "left_hip", "left_knee", "left_ankle")
    ]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("bone", "keypoint", "axis", "sign"),
    [
        (Bone.LEFT_UPPER_ARM, "left_wrist", 2, 1),
        (Bone.RIGHT_FOREARM, "right_wrist", 2, 1),
        (Bone.LEFT_THIGH, "left_knee", 2, 1),
        (Bone.RIGHT_SHIN, "right_ankle", 2, -1),
        (Bone.ABDOMEN, "nose", 2, 1),
    ],
)
def test_flexion_goes_the_way_of_a_living_joint(bone, keypoint, axis, sign):
    proportions = Proportions()
    angles = np.zeros((BONES, 3))
    rest = keypoints_of(posture_of(Pose(angles), proportions), proportions)
    angles[bone, 0] = 0.6
    bent = keypoints_of(posture_of(Pose(angles), proportions), proportions)
    index = COCO17.index(keypoint)
    assert sign * (bent[index, axis] - rest[index, axis]) > 0.05


def test_abduction_moves_both_arms_away_from_the_body():
    proportions = Proportions()
    angles = np.zeros((BONES, 3))
    angles[[Bone.LEFT_UPPER_ARM, Bone.RIGHT_UPPER_ARM], 1] = 1.5
    points = keypoints_of(posture_of(Pose(angles), proportions), proportions)
    assert points[9, 0] > 0.6
    assert points[10, 0] < -0.6


def test_mirrored_pose_is_the_mirror_image():
    proportions = Proportions()
    pose = pose_from(KEY_POSES["pitch"])
    points = keypoints_of(posture_of(pose, proportions), proportions)
    mirrored = keypoints_of(posture_of(pose.mirrored(), proportions), proportions)
    np.testing.assert_allclose(mirrored[list(COCO17.flip_order)] * (-1, 1, 1), points, atol=1e-9)
    np.testing.assert_array_equal(pose.mirrored().mirrored().angles, pose.angles)


def test_blend_reaches_both_poses_and_turns_the_short_way():
    first, second = pose_from({}).facing(3.0), pose_from(KEY_POSES["squat"]).facing(-3.0)
    np.testing.assert_allclose(first.blended(second, 0.0).angles, first.angles)
    np.testing.assert_allclose(first.blended(second, 1.0).angles[1:], second.angles[1:])
    assert abs(first.blended(second, 0.5).angles[Bone.PELVIS, 2]) > 3.0


def test_random_poses_are_possible_and_repeat():
    for seed in range(50):
        pose = random_pose(np.random.default_rng(seed))
        np.testing.assert_array_equal(limited(pose.angles), pose.angles)
        np.testing.assert_array_equal(random_pose(np.random.default_rng(seed)).angles, pose.angles)
        assert pose.lift >= 0


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_are_cyclic_and_smooth(motion):
    np.testing.assert_allclose(moving_pose(motion, 0.3).angles, moving_pose(motion, 2.3).angles, atol=1e-9)
    angles = np.array([moving_pose(motion, t).angles for t in np.linspace(0, 1, 101)])
    assert np.degrees(np.abs(np.diff(angles, axis=0)).max()) < 20


@pytest.mark.parametrize("gait", ["walk", "run"])
def test_gaits_swing_arms_against_legs(gait):
    angles = np.array([moving_pose(gait, t).angles for t in np.linspace(0, 1, 50, endpoint=False)])
    arm, leg = angles[:, Bone.LEFT_UPPER_ARM, 0], angles[:, Bone.LEFT_THIGH, 0]
    assert np.corrcoef(arm, leg)[0, 1] < -0.5
    np.testing.assert_allclose(angles[:, Bone.RIGHT_SHIN, 0], np.roll(angles[:, Bone.LEFT_SHIN, 0], 25), atol=1e-9)


def test_the_standing_foot_of_a_walker_hardly_slides(body):
    height = body.look.proportions.height
    phases = np.linspace(0, 1, 60, endpoint=False)
    ankles = []
    for phase in phases:
        place = np.array([0.0, 0.0, phase * stride_of("walk", height)])
        ankles.append(body.placed(moving_pose("walk", phase), place)[1][[15, 16]])
    speeds = np.linalg.norm(np.diff(np.array(ankles), axis=0)[..., [0, 2]], axis=-1).min(axis=1) * len(phases)
    assert np.median(speeds) < 0.4 * stride_of("walk", height)


def test_surface_follows_the_skeleton(body):
    assert np.allclose(body.mesh.weights.sum(axis=1), 1.0)
    assert body.mesh.weights.min() >= 0
    for seed in range(10):
        vertices, keypoints, _ = body.placed(random_pose(np.random.default_rng(seed)).facing(1.0), np.zeros(3))
        assert (keypoints > vertices.min(axis=0)).all()
        assert (keypoints < vertices.max(axis=0)).all()
        assert np.linalg.norm(vertices[:, None] - keypoints[None], axis=2).min(axis=0).max() < 0.14


def test_bodies_stand_on_the_floor_and_jump_from_it(body):
    place = np.array([1.0, 0.0, -2.0])
    vertices, _, _ = body.placed(pose_from({}), place)
    assert vertices[:, 1].min() == pytest.approx(0.0, abs=1e-9)
    jump, _, _ = body.placed(Pose(pose_from({}).angles, lift=0.3), place)
    assert jump[:, 1].min() == pytest.approx(0.3)
    assert np.ptp(vertices[:, 1]) == pytest.approx(body.look.proportions.height, rel=0.06)
