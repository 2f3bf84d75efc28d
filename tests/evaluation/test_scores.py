"""PCK of sequences by hand, and accuracy by position in the cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.evaluation.posetrack import truth_as_prediction
from vipnas_cli.evaluation.scores import LIMBS, at_frames, score_sequences, scores_by_position, sequence_pck
from vipnas_cli.metrics import PredictedSequence, TruthSequence


def labels(people: list[tuple[int, float]], frames: int) -> TruthSequence:
    """People (frame, x) whose joints lie at (x, 0), (x, 10) … (x, 140); the limbs reach over 110 pixels."""
    points = np.zeros((len(people), 15, 2))
    points[..., 0] = np.array([x for _, x in people]).reshape(-1, 1)
    points[..., 1] = 10.0 * np.arange(15)
    return TruthSequence(
        "walk",
        np.array([frame for frame, _ in people], np.int64),
        np.arange(len(people)),
        points,
        np.ones((len(people), 15), bool),
        np.tile([0.0, 0.0, 30.0, 40.0], (len(people), 1)),
        ((),) * frames,
    )


def shifted(truth: TruthSequence, pixels: float, joints: slice = slice(None)) -> PredictedSequence:
    perfect = truth_as_prediction(truth)
    points = perfect.points_frame.copy()
    points[:, joints, 0] += pixels
    return replace(perfect, points_frame=points)


def test_pck_by_hand() -> None:
    truth = labels([(0, 50.0), (1, 50.0)], frames=2)
    # The limbs are joints 0 to 11, so a person's size is 110 pixels and 0.1 of it 11.
    assert sorted(LIMBS) == list(range(12))
    assert sequence_pck([truth], [shifted(truth, 11.0)]) == (100, 100, 0)
    assert sequence_pck([truth], [shifted(truth, 11.1)]) == (100, 0, 0)
    assert sequence_pck([truth], [shifted(truth, 500.0, slice(0, 3))]) == pytest.approx((75, 75, 75))
    assert sequence_pck([truth], [shifted(truth, 500.0, slice(12, 15))]) == (100, 100, 100)


def test_each_person_has_a_pose_of_its_own() -> None:
    truth = labels([(0, 50.0), (0, 300.0)], frames=1)
    perfect = truth_as_prediction(truth)
    swapped = replace(perfect, points_frame=perfect.points_frame[::-1])
    assert sequence_pck([truth], [swapped]) == (100, 100, 100)
    # Both poses on the first person: one of them is left for the second, who is wrong.
    doubled = replace(perfect, points_frame=perfect.points_frame[[0, 0]])
    assert sequence_pck([truth], [doubled]) == (50, 50, 50)


def test_absent_joints_and_people_without_poses_are_wrong() -> None:
    truth = labels([(0, 50.0), (1, 50.0)], frames=2)
    perfect = truth_as_prediction(truth)
    some = perfect.present.copy()
    some[:, :6] = False
    assert sequence_pck([truth], [replace(perfect, present=some)]) == (50, 50, 50)
    nobody = at_predicted_frames(perfect, 1)
    assert sequence_pck([truth], [nobody]) == (50, 50, 50)


def at_predicted_frames(predicted: PredictedSequence, frame: int) -> PredictedSequence:
    keep = predicted.frames == frame
    return replace(
        predicted,
        frames=predicted.frames[keep],
        track_ids=predicted.track_ids[keep],
        points_frame=predicted.points_frame[keep],
        present=predicted.present[keep],
        scores=predicted.scores[keep],
    )


def test_joints_without_labels_do_not_count() -> None:
    truth = labels([(0, 50.0)], frames=1)
    unlabelled = truth.labelled.copy()
    unlabelled[:, :6] = False
    truth = replace(truth, labelled=unlabelled)
    assert sequence_pck([truth], [shifted(truth, 900.0, slice(0, 6))]) == (100, 100, 100)
    nothing = replace(truth, labelled=np.zeros_like(unlabelled))
    assert np.isnan(sequence_pck([nothing], [truth_as_prediction(nothing)])).all()


def test_accuracy_by_position_looks_at_the_frames_of_that_position() -> None:
    truth = labels([(0, 50.0), (1, 50.0), (2, 50.0), (3, 50.0)], frames=4)
    perfect = truth_as_prediction(truth)
    points = perfect.points_frame.copy()
    points[[1, 3], :, 0] += 900  # the followers' frames
    predicted = replace(perfect, points_frame=points)
    key, follower, never = scores_by_position([truth], [predicted], [np.array([0, 1, 0, 1])], cycle=3)
    assert (key.frames, key.average_precision, key.pck) == (2, 100, 100)
    assert (follower.frames, follower.average_precision, follower.pck) == (2, 0, 0)
    assert never.frames == 0
    assert np.isnan([never.average_precision, never.pck]).all()


def test_frames_left_out_have_nobody() -> None:
    truth = labels([(0, 50.0), (1, 60.0), (1, 300.0)], frames=2)
    kept = at_frames(truth, np.array([False, True]))
    assert kept.frames.tolist() == [1, 1]
    assert kept.frame_count == 2
    assert score_sequences([kept], [truth_as_prediction(truth)]).pose.average_precision.total == 100
