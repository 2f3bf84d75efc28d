"""The rules of poseval on cases small enough to compute by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vipnas_cli.errors import DataError
from vipnas_cli.metrics.posetrack import (
    GROUPS,
    JOINT_COUNT,
    JointScores,
    PredictedSequence,
    TruthSequence,
    inside_any,
    pose_scores,
)
from vipnas_cli.pose import POSETRACK15

NOSE, KNEE = POSETRACK15.index("nose"), POSETRACK15.index("left_knee")
# A head box of 30 by 40 has the diagonal 50, so the head is 30 pixels and the reach 15.
REACH_PIXELS = 15.0


def labels(*people: tuple[int, float], frames: int = 1, name: str = "walk") -> TruthSequence:
    """People (frame, x), each with all joints at (x, 10) ... (x, 150)."""
    xs = np.array([x for _, x in people], float)
    points = np.stack(np.broadcast_arrays(xs[:, None], 10.0 * np.arange(1, JOINT_COUNT + 1)), axis=-1)
    return TruthSequence(
        name,
        np.array([frame for frame, _ in people], np.int64),
        np.arange(len(people)),
        points.copy(),
        np.ones((len(people), JOINT_COUNT), bool),
        np.tile([0.0, 0.0, 30.0, 40.0], (len(people), 1)),
        ((),) * frames,
    )


def guesses(truth: TruthSequence, scores: list[float] | None = None, shift: float = 0.0) -> PredictedSequence:
    """The labels as predictions, `shift` pixels to the right."""
    people = len(truth.frames)
    ranks = np.ones(people) if scores is None else np.array(scores, float)
    return PredictedSequence(
        truth.name,
        truth.frame_count,
        truth.frames.copy(),
        truth.track_ids.copy(),
        truth.points_frame + np.array([shift, 0.0]),
        truth.labelled.copy(),
        np.tile(ranks[:, None], JOINT_COUNT),
    )


def average_precision(truth: TruthSequence, predicted: PredictedSequence) -> JointScores:
    return pose_scores([truth], [predicted]).average_precision


def test_truth_as_prediction_scores_100() -> None:
    truth = labels((0, 0), (0, 200), (2, 50), frames=3)
    scores = pose_scores([truth, truth], [guesses(truth), guesses(truth)])
    for joints in (scores.average_precision, scores.precision, scores.recall):
        assert set(joints.joints) == {100.0}
        assert joints.total == 100


@pytest.mark.parametrize(("shift", "expected"), [(REACH_PIXELS, 100), (REACH_PIXELS + 0.01, 0)])
def test_reach_is_half_of_the_head(shift: float, expected: float) -> None:
    truth = labels((0, 100))
    assert average_precision(truth, guesses(truth, shift=shift)).total == expected


def test_average_precision_by_hand() -> None:
    # Ranked by score: right, wrong, right. Precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3 of three labelled people.
    truth = labels((0, 0), (1, 0), (2, 0), frames=3)
    predicted = guesses(truth, [0.9, 0.5, 0.7])
    predicted.points_frame[2] += 500.0
    scores = pose_scores([truth], [predicted])
    assert scores.average_precision.joints[NOSE] == pytest.approx(100 * (1 / 3 + 1 / 3 * 2 / 3))
    assert scores.precision.total == pytest.approx(100 * 2 / 3)
    assert scores.recall.total == pytest.approx(100 * 2 / 3)


def test_precision_is_made_to_fall_with_recall() -> None:
    # Wrong first, then right: the precision at full recall, 1/2, holds from the start.
    truth = labels((0, 0), frames=1)
    predicted = guesses(labels((0, 0), (0, 900)), [0.1, 0.9])
    assert average_precision(truth, predicted).total == pytest.approx(50)


def test_one_person_is_found_once() -> None:
    truth = labels((0, 0))
    twice = guesses(labels((0, 0), (0, 1)), [0.1, 0.9])
    scores = pose_scores([truth], [twice])
    # The first of two equally good poses is right, though the other has the better score.
    assert scores.average_precision.total == pytest.approx(50)
    assert scores.precision.total == pytest.approx(50)


def test_pose_goes_to_the_person_with_most_joints_found() -> None:
    truth = labels((0, 0), (0, 20))
    predicted = guesses(labels((0, 10)), [1.0])
    predicted.points_frame[0, :8, 0] = 20.0
    scores = pose_scores([truth], [predicted])
    # Joints 8 to 14 are within reach of both, but the pose belongs to the second person: all joints are right.
    assert scores.precision.total == 100
    assert scores.recall.total == 50


def test_missing_joints() -> None:
    truth = labels((0, 0), (1, 0), frames=2)
    predicted = guesses(truth, [0.9, 0.8])
    truth.labelled[1, NOSE] = False
    truth.labelled[:, KNEE] = False
    scores = pose_scores([truth], [predicted])
    # A predicted nose that nobody labelled is wrong; a joint without any label has no average precision.
    assert scores.precision.joints[NOSE] == 50
    assert scores.recall.joints[NOSE] == 100
    assert math.isnan(scores.average_precision.joints[KNEE])
    assert scores.precision.joints[KNEE] == 0
    assert math.isnan(scores.recall.joints[KNEE])
    assert scores.average_precision.total == 100
    predicted.present[:, NOSE] = False
    assert average_precision(truth, predicted).joints[NOSE] == 0


def test_frames_without_labels_are_free_and_frames_without_predictions_cost_recall() -> None:
    truth = labels((0, 0), (2, 0), frames=3)
    predicted = guesses(labels((0, 0), (1, 0), (1, 400), frames=3))
    scores = pose_scores([truth], [predicted])
    assert scores.precision.total == 100
    assert scores.recall.total == 50


def test_no_predictions_score_zero() -> None:
    truth = labels((0, 0))
    scores = pose_scores([truth], [guesses(labels())])
    assert scores.average_precision.total == scores.recall.total == 0


def test_regions_to_ignore_hide_labels_and_predictions() -> None:
    truth = labels((0, 0), (0, 100))
    predicted = guesses(labels((0, 0), (0, 130)), [0.5, 0.9])
    assert average_precision(truth, predicted).total == pytest.approx(25)
    region = np.array([[50.0, 0.0], [200.0, 0.0], [200.0, 300.0], [50.0, 300.0]])
    hidden = TruthSequence(**{**vars(truth), "ignore_regions": ((region,),)})
    assert average_precision(hidden, predicted).total == 100


def test_inside_a_polygon_is_strict() -> None:
    arrow = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [5.0, 5.0], [0.0, 10.0]])
    points = np.array([[5, 2], [5, 5], [5, 6], [1, 8], [0, 5], [10, 10], [-1, 5], [20, 0], [2, 8]], float)
    expected = [True, False, False, True, False, False, False, False, False]
    for polygon in (arrow, arrow[::-1]):
        assert inside_any(points, [polygon]).tolist() == expected
    assert inside_any(points.reshape(3, 3, 2), [arrow + 100, arrow]).ravel().tolist() == expected
    assert not inside_any(points, []).any()


def test_groups_are_means_of_joints_and_total_of_all_joints() -> None:
    scores = JointScores(tuple(float(joint) for joint in range(JOINT_COUNT)))
    assert scores.groups == {
        **{"Head": 13, "Shou": 8.5, "Elb": 8.5, "Wri": 8.5, "Hip": 2.5, "Knee": 2.5, "Ankl": 2.5, "Total": 7},
    }
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(POSETRACK15.keypoints)
    assert math.isnan(JointScores((math.nan,) * JOINT_COUNT).total)


def test_foreign_predictions_are_refused() -> None:
    truth = labels((0, 0))
    with pytest.raises(DataError, match="'run'"):
        pose_scores([truth], [guesses(labels((0, 0), name="run"))])
    with pytest.raises(DataError, match="2 frames"):
        pose_scores([truth], [guesses(labels((0, 0), frames=2))])
