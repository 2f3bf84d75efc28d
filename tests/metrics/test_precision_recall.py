"""The curves that are drawn are those whose area is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.metrics import PredictedSequence, TruthSequence, pose_scores
from vipnas_cli.metrics.coco import evaluate_coco, precision_at_recall
from vipnas_cli.metrics.posetrack import precision_recall


def walk(people: int) -> TruthSequence:
    """One person per frame with joints at (0, 0), (0, 10) … and a head that reaches 15 pixels."""
    points = np.stack(np.broadcast_arrays(np.zeros((people, 1)), 10.0 * np.arange(15)), -1)
    heads = np.tile([0.0, 0.0, 30.0, 40.0], (people, 1))
    frames = np.arange(people)
    return TruthSequence("walk", frames, frames, points, np.ones((people, 15), bool), heads, ((),) * people)


def guesses(truth: TruthSequence, right: list[bool], scores: list[float]) -> PredictedSequence:
    shift = np.where(right, 0.0, 500.0)[:, None, None] * np.array([1.0, 0.0])
    ranks = np.repeat(np.array(scores)[:, None], 15, 1)
    points = truth.points_frame + shift
    return PredictedSequence("walk", truth.frame_count, truth.frames, truth.track_ids, points, truth.labelled, ranks)


def test_curves_of_joints_by_hand() -> None:
    truth = walk(4)
    predicted = guesses(truth, [True, False, True, True], [0.9, 0.8, 0.7, 0.6])
    for curve in precision_recall([truth], [predicted]):
        np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4])
        np.testing.assert_allclose(curve.recall, [1 / 4, 1 / 4, 2 / 4, 3 / 4])
    # The envelope is 1 up to a recall of 1/4 and 3/4 from there to 3/4.
    found = pose_scores([truth], [predicted]).average_precision.total
    assert found == pytest.approx(100 * (1 / 4 + 3 / 4 * 2 / 4))


def test_a_joint_without_labels_has_no_curve() -> None:
    truth = walk(1)
    unlabelled = truth.labelled.copy()
    unlabelled[:, 3] = False
    curves = precision_recall([replace(truth, labelled=unlabelled)], [guesses(truth, [True], [1.0])])
    assert [len(curve.recall) for curve in curves] == [1, 1, 1, 0, *[1] * 11]


def test_the_mean_of_coco_precision_is_ap() -> None:
    pytest.importorskip("faster_coco_eval")
    generator = np.random.default_rng(0)
    annotations, results = [], []
    for number in range(1, 13):
        points = generator.uniform(0, 200, (17, 2))
        person = {"id": number, "image_id": number % 4, "category_id": 1, "iscrowd": 0, "area": 20000.0}
        triples = np.concatenate([points, np.full((17, 1), 2.0)], 1).reshape(-1).tolist()
        annotations.append({**person, "bbox": [0.0, 0.0, 200.0, 200.0], "num_keypoints": 17, "keypoints": triples})
        near = np.concatenate([points + generator.normal(0, 12, (17, 2)), np.ones((17, 1))], 1).reshape(-1).tolist()
        score = float(generator.random())
        results.append({"image_id": number % 4, "category_id": 1, "keypoints": near, "score": score})
    images = [{"id": image} for image in range(4)]
    truth = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    precision, scores = precision_at_recall(truth, results), evaluate_coco(truth, results)
    assert precision.shape == (10, 101)
    found = [float(100 * part.mean()) for part in (precision, precision[0], precision[5])]
    assert found == pytest.approx([scores.AP, scores.AP50, scores.AP75])
    assert 5 < found[0] < 95
