"""Joints that leave their path for a moment are put back; real motion and new places that stay are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.pose import CropTransform, HeatmapCodec, People, Skeleton
from vipnas_cli.tracking.outliers import JointPaths
from vipnas_cli.tracking.paths import OutlierOptions

DOTS = Skeleton("dots", ("nose", "left_hand", "right_hand", "left_foot", "right_foot"), ((0, 1),), (0.05,) * 5)
POINTS = np.array([[50, 30], [30, 60], [70, 60], [40, 110], [60, 110]], np.float32)
BOX = np.array([20, 20, 80, 120], np.float32)
CROP = CropTransform.from_box(BOX, 256, 192)
CODEC = HeatmapCodec(256, 192)
HAND, RATE = 1, 60
AWAY = POINTS[HAND] + np.float32([30, -20])


def maps(points: np.ndarray, second: np.ndarray | None = None, share: float = 0.3) -> np.ndarray:
    """Heatmaps (1, 5, h, w) with peaks at points (5, 2), and a lower second one of the hand."""
    found = CODEC.encode(CROP.to_crop(points))[None]
    if second is not None:
        found[0, HAND] = np.maximum(found[0, HAND], share * CODEC.encode(CROP.to_crop(second[None]))[0])
    return found


def seen(points: np.ndarray, identity: int = 0, score: float = 0.9) -> People:
    return People(np.array([identity]), BOX[None], points[None].astype(np.float32), np.full((1, 5), score, np.float32))


def with_hand(place: np.ndarray) -> np.ndarray:
    points = POINTS.copy()
    points[HAND] = place
    return points


def run(
    frames: list[np.ndarray], second: np.ndarray | None = None, paths: JointPaths | None = None, key: bool = True
) -> list[People]:
    paths = paths or JointPaths(DOTS)
    return [paths.corrected(seen(p), maps(p, second), [CROP], key, i / RATE)[0] for i, p in enumerate(frames)]


@pytest.mark.parametrize("speed", [0.0, 0.5, 2.0])
def test_steady_motion_is_left_as_it_is(speed: float) -> None:
    frames = [POINTS + np.float32([speed * i, 0]) for i in range(10)]
    for points, found in zip(frames, run(frames), strict=True):
        np.testing.assert_array_equal(found.points_frame[0], points)
        np.testing.assert_array_equal(found.scores, np.float32(0.9))


def test_a_joint_that_is_elsewhere_for_a_frame_takes_the_next_peak_on_its_path() -> None:
    frames = [POINTS] * 5 + [with_hand(AWAY)] + [POINTS] * 2
    found = run(frames, second=POINTS[HAND])
    np.testing.assert_allclose(found[5].points_frame[0], POINTS, atol=0.2)
    assert found[5].scores[0, HAND] == pytest.approx(0.3, abs=0.02)
    # The others are left as they are.
    np.testing.assert_array_equal(np.delete(found[5].points_frame[0], HAND, 0), np.delete(POINTS, HAND, 0))
    np.testing.assert_array_equal(found[6].points_frame[0], POINTS)


def test_without_another_peak_it_goes_on_with_hardly_any_score() -> None:
    step = np.float32([1, 0])
    frames = [POINTS + i * step for i in range(20)] + [with_hand(AWAY + 20 * step)]
    frames[-1][np.arange(5) != HAND] += 20 * step
    last = run(frames)[-1]
    np.testing.assert_allclose(last.points_frame[0, HAND], POINTS[HAND] + 20 * step, atol=0.5)
    assert last.scores[0, HAND] < 0.05
    assert last.scores[0, 0] == np.float32(0.9)


# Seen there for 0.03 s by key networks, for 0.06 s by followers: two and four frames later at 60 a second.
@pytest.mark.parametrize(("key", "held"), [(True, 2), (False, 4)])
def test_a_place_that_stays_is_believed_and_flipping_ones_are_not(key: bool, held: int) -> None:
    away = [POINTS] * 5 + [with_hand(AWAY)] * 7
    hands = np.stack([found.points_frame[0, HAND] for found in run(away, second=POINTS[HAND], key=key)])
    far = np.linalg.norm(hands - POINTS[HAND], axis=-1) > 10
    assert far.tolist() == [False] * (5 + held) + [True] * (7 - held)
    np.testing.assert_array_equal(hands[5 + held :], np.broadcast_to(AWAY, (7 - held, 2)))
    flipping = [POINTS, with_hand(AWAY)] * 10
    for found in run(flipping, second=POINTS[HAND], key=key)[1:]:
        np.testing.assert_allclose(found.points_frame[0], POINTS, atol=0.3)


@pytest.mark.parametrize(
    ("followed", "score", "second", "place", "believed"),
    [
        (True, 0.97, 0.3, AWAY, True),
        # A doubtful one is, if there is nothing on the path.
        (True, 0.7, 0.3, AWAY, False),
        (True, 0.7, 0.0, AWAY, True),
        (True, 0.4, 0.0, AWAY, False),
        # What the key network itself saw just before is worth as much.
        (False, 0.97, 0.3, AWAY, False),
        # Where the other hand is, it is probably that one.
        (True, 0.97, 0.3, POINTS[HAND + 1], False),
    ],
)
def test_a_sure_key_network_is_believed_at_once_where_only_followers_saw_the_path(
    followed: bool, score: float, second: float, place: np.ndarray, believed: bool
) -> None:
    paths = JointPaths(DOTS)
    for index in range(4):
        paths.corrected(seen(POINTS), maps(POINTS), [CROP], index == 0 or not followed, index / RATE)
    points, heatmaps = with_hand(place), maps(with_hand(place), POINTS[HAND], second)
    people = seen(points)
    people.scores[0, HAND] = score
    expected = np.linalg.norm(place - POINTS[HAND]) if believed else 0
    for key in (False, True):
        found, _ = paths.corrected(people, heatmaps, [CROP], key, 4 / RATE, keep=key)
        far = np.linalg.norm(found.points_frame[0, HAND] - POINTS[HAND])
        assert far == pytest.approx(expected if key else 0, abs=0.3)


def test_a_place_on_the_flank_of_the_peak_that_a_key_network_saw_is_no_other_place() -> None:
    beside = with_hand(POINTS[HAND] + np.float32([4, 0]))
    assert np.array_equal(run([POINTS] * 5 + [beside])[5].points_frame[0], beside)
    paths = JointPaths(DOTS)
    run([POINTS] * 5, paths=paths)
    follower, _ = paths.corrected(seen(beside), maps(beside), [CROP], False, 5 / RATE)
    assert not np.array_equal(follower.points_frame[0], beside)


def test_a_body_that_moves_as_a_whole_is_believed_at_once() -> None:
    far = POINTS + np.float32([45, 10])
    frames = [POINTS] * 3 + [far] * 2
    np.testing.assert_array_equal([found.points_frame[0] for found in run(frames)], frames)
    # Also where it takes another pose.
    turned = np.roll(far, 1, 0)
    frames = [POINTS] * 3 + [turned] * 2
    np.testing.assert_array_equal([found.points_frame[0] for found in run(frames)], frames)


@pytest.mark.parametrize(
    ("gap_s", "score", "second", "on_path"),
    [
        (0.2, 0.6, 0.8, True),
        # Without another peak, or with one that is next to none, it is where it is seen.
        (0.2, 0.6, 0.1, False),
        (0.2, 0.6, 0.0, False),
        # A sure joint moves that far in such a time, and after a short one remembered heatmaps have decided.
        (0.2, 0.9, 0.8, False),
        (0.05, 0.6, 0.8, False),
    ],
)
def test_in_slow_video_a_doubtful_joint_is_at_the_peak_nearer_to_its_path(
    gap_s: float, score: float, second: float, on_path: bool
) -> None:
    paths = JointPaths(DOTS)
    for index in range(3):
        paths.corrected(seen(POINTS), maps(POINTS), [CROP], True, index * gap_s)
    # Within what the path allows, at either speed.
    points = with_hand(POINTS[HAND] + np.float32([14, 0] if gap_s > 0.1 else [6, 0]))
    people = seen(points)
    people.scores[0, HAND] = score
    found, _ = paths.corrected(people, maps(points, POINTS[HAND], second), [CROP], True, 3 * gap_s)
    expected = POINTS if on_path else points
    np.testing.assert_allclose(found.points_frame[0], expected, atol=0.3 if on_path else 0)
    if on_path:
        assert found.scores[0, HAND] == pytest.approx(second, abs=0.1)
    others = np.arange(5) != HAND
    np.testing.assert_array_equal(found.scores[0, others], np.float32(0.9))


def test_people_together_are_as_each_alone_and_who_comes_back_later_begins_anew() -> None:
    frames = [POINTS] * 4 + [with_hand(AWAY)] + [POINTS]
    alone = run(frames, second=POINTS[HAND])
    paths = JointPaths(DOTS)
    for index, points in enumerate(frames):
        several = [seen(points, identity=7)] + ([seen(POINTS, identity=3)] if index in (1, 2, 5) else [])
        both = People(*(np.concatenate(parts) for parts in zip(*(vars(p).values() for p in several), strict=True)))
        heatmaps = np.concatenate([maps(points, POINTS[HAND]), maps(POINTS)])[: len(both)]
        found, _ = paths.corrected(both, heatmaps, [CROP] * len(both), True, index / RATE)
        np.testing.assert_array_equal(found.points_frame[0], alone[index].points_frame[0])
        np.testing.assert_array_equal(found.scores[0], alone[index].scores[0])
    later, _ = paths.corrected(seen(with_hand(AWAY), identity=7), maps(with_hand(AWAY)), [CROP], True, 5.0)
    np.testing.assert_array_equal(later.points_frame[0, HAND], AWAY)
    paths.reset()
    np.testing.assert_array_equal(run([with_hand(AWAY)], paths=paths)[0].points_frame[0, HAND], AWAY)


def test_a_pose_that_slides_onto_somebody_else_stays_where_it_was() -> None:
    """The network sees the one in front in both boxes; of the other there are low peaks."""
    shift = np.float32([22, 4])
    front = POINTS + shift
    paths = JointPaths(DOTS)
    ids, boxes = np.array([0, 1]), np.stack([BOX, BOX + np.tile(shift, 2)])
    crops = [CropTransform.from_box(box, 256, 192) for box in boxes]
    for index in range(9):
        points = np.stack([POINTS if index < 4 else front, front])
        heatmaps = np.stack([CODEC.encode(crop.to_crop(p)) for crop, p in zip(crops, points, strict=True)])
        heatmaps[0] = np.maximum(heatmaps[0], 0.4 * CODEC.encode(crops[0].to_crop(POINTS)))
        people = People(ids, boxes, points, np.full((2, 5), 0.9, np.float32))
        found, left = paths.corrected(people, heatmaps, crops, True, index / RATE)
        np.testing.assert_allclose(found.points_frame, np.stack([POINTS, front]), atol=0.3)
        np.testing.assert_array_equal(left[1], heatmaps[1])
    # What is passed on holds the person behind only.
    np.testing.assert_allclose(left[0].max((1, 2)), 0.4, atol=0.05)


def test_asking_changes_no_path() -> None:
    paths = JointPaths(DOTS)
    run([POINTS] * 5, paths=paths)
    for index in range(5, 15):
        asked, _ = paths.corrected(seen(with_hand(AWAY)), maps(with_hand(AWAY)), [CROP], True, index / RATE, keep=False)
        assert np.linalg.norm(asked.points_frame[0, HAND] - AWAY) > 10


def test_sides_that_are_believed_exchanged_take_their_paths_with_them() -> None:
    order = np.array(DOTS.flip_order)[None]
    paths = JointPaths(DOTS)
    run([POINTS] * 5, paths=paths)
    paths.exchange(np.array([3]), order)
    paths.exchange(np.array([0]), order)
    exchanged = POINTS[order[0]]
    found, _ = paths.corrected(seen(exchanged), maps(exchanged), [CROP], True, 5 / RATE)
    np.testing.assert_array_equal(found.points_frame[0], exchanged)


def test_options_are_not_negative() -> None:
    with pytest.raises(UsageError, match="gate"):
        OutlierOptions(gate=-1)
