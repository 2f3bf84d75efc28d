"""Joined key frames: the frame before decides between peaks and moves none."""

from __future__ import annotations

import numpy as np

from vipnas_cli.inference.crops import CropPoses, decode_poses
from vipnas_cli.inference.joining import joined, mixed
from vipnas_cli.pose import CropTransform, HeatmapCodec

CODEC = HeatmapCodec(64, 64)
HERE, THERE = np.array([16.0, 16.0]), np.array([46.0, 40.0])
ROWS = np.array([0])


def peaks(*places: tuple[np.ndarray, float]) -> np.ndarray:
    """Heatmaps (1, 1, 16, 16) with peaks of these heights."""
    found = np.max([height * CODEC.encode(place) for place, height in places], axis=0)
    return np.asarray(found, np.float32)[None, None]


def poses(heatmaps: np.ndarray) -> CropPoses:
    box = np.array([0, 0, 51.2, 51.2], np.float32)
    return decode_poses([CropTransform.from_box(box, 64, 64)] * len(heatmaps), heatmaps, CODEC)


def test_of_two_peaks_the_one_is_believed_where_the_joint_was() -> None:
    two = poses(peaks((HERE, 0.5), (THERE, 0.6)))
    found = joined(two, peaks((HERE, 0.9)), ROWS, 0.8)
    before, after = poses(peaks((HERE, 1.0))), poses(peaks((THERE, 1.0)))
    np.testing.assert_allclose(two.points_frame, after.points_frame, atol=0.1)
    np.testing.assert_allclose(found.points_frame, before.points_frame, atol=0.1)
    assert found.scores.tolist() == two.scores.tolist()


def test_a_lone_peak_stays_wherever_the_joint_was() -> None:
    alone = poses(peaks((THERE, 0.6)))
    np.testing.assert_array_equal(joined(alone, peaks((HERE, 0.9)), ROWS, 0.8).heatmaps, alone.heatmaps)
    same = joined(alone, peaks((THERE, 0.9)), ROWS, 0.8)
    np.testing.assert_allclose(same.points_frame, alone.points_frame, atol=0.1)
    assert same.heatmaps.max() == alone.heatmaps.max()


def test_nothing_seen_before_and_no_trust_change_nothing() -> None:
    two = poses(np.concatenate([peaks((HERE, 0.5), (THERE, 0.6))] * 2))
    assert np.array_equal(joined(two, peaks((HERE, 0.0)), ROWS, 0.8).heatmaps, two.heatmaps)
    assert np.array_equal(joined(two, peaks((HERE, 0.9)), ROWS, 0.0).heatmaps, two.heatmaps)
    assert np.array_equal(joined(two, peaks((HERE, 0.9)), ROWS, 0.8).heatmaps[1], two.heatmaps[1])


def test_a_crowd_is_joined_one_by_one() -> None:
    crowd, joints = 12, 17
    two = poses(np.tile(peaks((HERE, 0.5), (THERE, 0.6)), (crowd, joints, 1, 1)))
    before = np.tile(peaks((HERE, 0.9)), (crowd, joints, 1, 1))
    together = joined(two, before, np.arange(crowd), 0.8)
    alone = joined(two, before[:1], ROWS, 0.8)
    assert np.array_equal(together.heatmaps, np.tile(alone.heatmaps[:1], (crowd, 1, 1, 1)))


def test_a_follower_and_the_frame_before_meet_in_the_middle() -> None:
    now = poses(np.concatenate([peaks((HERE, 0.8))] * 2))
    found = mixed(now, peaks((HERE + 2, 0.8)), ROWS, np.full((1, 1), 0.5))
    middle = poses(peaks((HERE + 1, 0.8))).points_frame
    np.testing.assert_allclose(found.points_frame[0], middle[0], atol=0.2)
    np.testing.assert_array_equal(found.points_frame[1], now.points_frame[1])
    assert found.scores.tolist() == now.scores.tolist()
