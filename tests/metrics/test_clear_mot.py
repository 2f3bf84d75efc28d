"""Tracking scores on cases small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vipnas_cli.metrics.clear_mot import CLEAR_MOT, POSEVAL, MotRules, tracking_scores
from vipnas_cli.metrics.posetrack import JOINT_COUNT, PredictedSequence, TruthSequence

# A head of 30 pixels, so joints match up to 15 pixels.
HEAD_BOX = [0.0, 0.0, 30.0, 40.0]
Rows = list[tuple[int, int, float]]


def points_of(rows: Rows) -> np.ndarray:
    """All joints of a person (frame, track, x) at (x, 0)."""
    xs = np.array([x for _, _, x in rows], float)
    return np.stack([np.repeat(xs[:, None], JOINT_COUNT, 1), np.zeros((len(rows), JOINT_COUNT))], axis=-1)


def scores_of(true: Rows, found: Rows, frames: int, rules: MotRules) -> tuple[float, float, float, float]:
    """MOTA, MOTP, precision and recall, the same for every joint."""
    truth = TruthSequence(
        "walk",
        np.array([row[0] for row in true], np.int64),
        np.array([row[1] for row in true], np.int64),
        points_of(true),
        np.ones((len(true), JOINT_COUNT), bool),
        np.tile(HEAD_BOX, (len(true), 1)),
        ((),) * frames,
    )
    predicted = PredictedSequence(
        "walk",
        frames,
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.int64),
        points_of(found),
        np.ones((len(found), JOINT_COUNT), bool),
        np.ones((len(found), JOINT_COUNT)),
    )
    scores = tracking_scores([truth], [predicted], rules)
    columns = (scores.mota, scores.motp, scores.precision, scores.recall)
    for column in columns:
        assert len(set(map(str, column.joints))) == 1
    return columns[0].total, columns[1].total, columns[2].total, columns[3].total


@pytest.mark.parametrize("rules", [CLEAR_MOT, POSEVAL])
def test_truth_as_prediction_scores_100(rules: MotRules) -> None:
    rows = [(frame, track, 100.0 * track + frame) for frame in range(5) for track in range(3)]
    assert scores_of(rows, rows, 5, rules) == (100, 100, 100, 100)


def test_a_new_hypothesis_is_one_switch() -> None:
    true = [(frame, 0, 0.0) for frame in range(5)]
    found = [(frame, 7 if frame < 2 else 8, 0.0) for frame in range(5)]
    assert scores_of(true, found, 5, CLEAR_MOT) == (pytest.approx(80), 100, 100, 100)


def test_two_exchanged_tracks_are_two_switches() -> None:
    true = [(frame, track, 100.0 * track) for frame in range(4) for track in (0, 1)]
    found = [(frame, track if frame < 2 else 1 - track, x) for frame, track, x in true]
    assert scores_of(true, found, 4, CLEAR_MOT)[0] == pytest.approx(100 * (1 - 2 / 8))


def test_old_partner_goes_before_a_nearer_one() -> None:
    true = [(0, 0, 0.0), (1, 0, 0.0)]
    found = [(0, 7, 0.0), (1, 7, 12.0), (1, 8, 1.0)]
    # No switch, but a false positive; the match has the distance of the old partner.
    mota, motp, precision, recall = scores_of(true, found, 2, CLEAR_MOT)
    assert (mota, precision, recall) == (50, pytest.approx(200 / 3), 100)
    assert motp == pytest.approx(100 * (1 - (12 / 30) / 2))


def test_most_pairs_at_least_distance() -> None:
    true = [(0, 0, 0.0), (0, 1, 14.0)]
    found = [(0, 7, 13.0), (0, 8, 28.0)]
    # Taking the closest pair (1, 7) first would leave 0 without a partner.
    mota, motp, _, _ = scores_of(true, found, 1, CLEAR_MOT)
    assert mota == 100
    assert motp == pytest.approx(100 * (1 - (13 / 30 + 14 / 30) / 2))


def test_partner_is_remembered_through_a_gap() -> None:
    true = [(frame, 0, 0.0) for frame in range(4)]
    assert scores_of(true, [(0, 7, 0.0), (3, 7, 0.0)], 4, CLEAR_MOT)[0] == pytest.approx(50)
    assert scores_of(true, [(0, 7, 0.0), (3, 8, 0.0)], 4, CLEAR_MOT)[0] == pytest.approx(25)


def test_nothing_found() -> None:
    mota, motp, precision, recall = scores_of([(0, 0, 0.0), (0, 1, 99.0)], [], 1, CLEAR_MOT)
    assert (mota, motp, recall) == (0, 0, 0)
    assert math.isnan(precision)


def test_poseval_skips_the_last_frame() -> None:
    rules = MotRules(True, False, False)
    true = [(frame, 0, 0.0) for frame in range(3)]
    assert scores_of(true, [*true[:2], (2, 5, 900.0)], 3, rules)[0] == 100
    assert scores_of(true, [*true[:2], (2, 5, 900.0)], 3, CLEAR_MOT)[0] == pytest.approx(100 * (1 - 2 / 3))


def test_poseval_counts_one_pair_for_a_frame_without_predictions() -> None:
    rules = MotRules(False, True, False)
    true = [(frame, track, 100.0 * track) for frame in range(2) for track in range(3)]
    # Frame 0 has three matches, frame 1 one miss and one false positive instead of three misses.
    assert scores_of(true, true[:3], 2, rules) == (pytest.approx(50), 100, 75, 75)
    assert scores_of(true, true[:3], 2, CLEAR_MOT) == (50, 100, 100, 50)


def test_poseval_adds_the_distances_of_the_whole_log() -> None:
    rules = MotRules(False, False, True)
    # One match at 0.1 heads: it is in reach (0.1) and matched (0.1).
    assert scores_of([(0, 0, 0.0)], [(0, 7, 3.0)], 1, rules)[1] == pytest.approx(100 * (1 - 0.2))
    # The second frame's new partner adds two entries more: it is in reach, matched, and new to the object (ascended).
    shown = scores_of([(0, 0, 0.0), (1, 0, 0.0)], [(0, 7, 0.0), (1, 8, 3.0)], 2, rules)
    assert shown[1] == pytest.approx(100 * (1 - 0.3 / 2))
    # Object 1 takes over the hypothesis of object 0: transferred, and as its first partner also migrated.
    shown = scores_of([(0, 0, 0.0), (1, 1, 0.0)], [(0, 7, 0.0), (1, 7, 3.0)], 2, rules)
    assert shown[1] == pytest.approx(100 * (1 - 0.4 / 2))


def test_sequences_share_no_tracks() -> None:
    def sequence(name: str, track: int) -> tuple[TruthSequence, PredictedSequence]:
        points, flags = points_of([(0, 0, 0.0)]), np.ones((1, JOINT_COUNT), bool)
        frames, tracks = np.zeros(1, np.int64), np.array([track])
        truth = TruthSequence(name, frames, np.zeros(1, np.int64), points, flags, np.array([HEAD_BOX]), ((),))
        return truth, PredictedSequence(name, 1, frames, tracks, points, flags, np.ones((1, JOINT_COUNT)))

    pairs = [sequence("walk", 3), sequence("run", 4)]
    scores = tracking_scores([truth for truth, _ in pairs], [found for _, found in pairs], CLEAR_MOT)
    assert scores.mota.total == 100
