"""Laws of joint angles: known triangles, and what turning, scaling and mirroring do to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipnas_cli.pose.angles import angles_of, joint_angles
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, Skeleton

NAMES = [(angle.name, angle.side) for angle in angles_of(COCO17)]
LEAN = NAMES.index(("trunk_lean", "middle"))
POSE = np.random.default_rng(3).uniform(0, 300, (17, 2))
SURE = np.full(17, 0.9)


def pose(**places: tuple[float, float]) -> np.ndarray:
    """A pose (17, 2) with some keypoints put somewhere."""
    points = POSE.copy()
    for name, place in places.items():
        points[COCO17.index(name)] = place
    return points


def angle(name: str, side: str, points: np.ndarray, scores: np.ndarray = SURE) -> float:
    return float(joint_angles(points, scores, COCO17)[NAMES.index((name, side))])


@pytest.mark.parametrize(
    ("ankle", "expected"), [((100, 300), 180), ((200, 200), 90), ((100 + 50, 250), 135), ((100, 150), 0)]
)
def test_known_knees(ankle: tuple[float, float], expected: float) -> None:
    points = pose(left_hip=(100, 100), left_knee=(100, 200), left_ankle=ankle)
    assert angle("knee", "left", points) == pytest.approx(expected, abs=1e-9)


def test_an_equilateral_triangle_has_60_degrees_at_the_elbow() -> None:
    points = pose(right_shoulder=(0, 0), right_elbow=(100, 0), right_wrist=(50, 50 * 3**0.5))
    assert angle("elbow", "right", points) == pytest.approx(60)


def test_an_arm_along_the_trunk_has_0_and_one_straight_up_has_180_degrees_at_the_shoulder() -> None:
    trunk = {"left_shoulder": (10.0, 50.0), "left_hip": (10.0, 150.0)}
    assert angle("shoulder", "left", pose(**trunk, left_elbow=(10, 90))) == pytest.approx(0)
    assert angle("shoulder", "left", pose(**trunk, left_elbow=(10, 10))) == pytest.approx(180)


@pytest.mark.parametrize(("dx", "dy", "expected"), [(0, -100, 0), (100, -100, 45), (-100, 0, -90), (100, 0, 90)])
def test_the_trunk_leans_to_the_side_where_the_shoulders_are(dx: float, dy: float, expected: float) -> None:
    points = pose(
        left_hip=(190, 200),
        right_hip=(210, 200),
        left_shoulder=(170 + dx, 200 + dy),
        right_shoulder=(230 + dx, 200 + dy),
    )
    assert angle("trunk_lean", "middle", points) == pytest.approx(expected)


@given(st.floats(-180, 180), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_turning_scaling_and_moving_change_the_lean_only_by_the_turn(turn: float, scale: float, move: float) -> None:
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    moved = scale * POSE @ np.array([[cos, sin], [-sin, cos]]) + move
    before, after = joint_angles(POSE, SURE, COCO17), joint_angles(moved, SURE, COCO17)
    after[LEAN] -= turn
    assert np.allclose((after - before + 180) % 360, 180, atol=1e-4)


def test_a_mirrored_picture_exchanges_the_sides_and_the_sign_of_the_lean() -> None:
    mirrored = (POSE * (-1, 1))[list(COCO17.flip_order)]
    before, after = joint_angles(POSE, SURE, COCO17), joint_angles(mirrored, SURE, COCO17)
    for (name, side), value in zip(NAMES, before, strict=True):
        other = {"left": "right", "right": "left", "middle": "middle"}[side]
        expected = -value if name == "trunk_lean" else value
        assert after[NAMES.index((name, other))] == pytest.approx(expected)


@pytest.mark.parametrize("unsure", range(17))
def test_blank_exactly_where_a_keypoint_is_unsure(unsure: int) -> None:
    scores = SURE.copy()
    scores[unsure] = 0.29
    blank = np.isnan(joint_angles(POSE, scores, COCO17))
    assert blank.tolist() == [unsure in angle.needs for angle in angles_of(COCO17)]


@pytest.mark.parametrize(("score", "sure"), [(0.2996, True), (0.2994, False)])
def test_scores_are_judged_as_files_write_them(score: float, sure: bool) -> None:
    angles = joint_angles(POSE, np.full(17, score, np.float32), COCO17)
    assert set(np.isfinite(angles).tolist()) == {sure}


def test_an_arm_without_length_has_no_angle() -> None:
    assert np.isnan(angle("knee", "left", pose(left_hip=(5, 5), left_knee=(5, 5))))


def test_many_poses_at_once_are_as_one_by_one() -> None:
    points = np.random.default_rng(0).uniform(0, 9, (4, 3, 17, 2))
    scores = np.random.default_rng(1).uniform(0, 1, (4, 3, 17))
    together = joint_angles(points, scores, COCO17)
    assert together.shape == (4, 3, len(NAMES))
    np.testing.assert_array_equal(together[2, 1], joint_angles(points[2, 1], scores[2, 1], COCO17))


def test_ankles_need_toes() -> None:
    for skeleton in (COCO17, POSETRACK15):
        assert "ankle" not in {angle.name for angle in angles_of(skeleton)}
    leg = ("left_knee", "left_ankle", "left_big_toe")
    (ankle,) = angles_of(Skeleton("leg", leg, (), (1.0,) * 3))
    assert ankle.title == "left ankle"
    assert ankle.degrees(np.array([(0, 0), (0, 10), (8, 10)])) == pytest.approx(90)
