"""Equality with the output of the official PoseTrack evaluator, where its cases are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.files.posetrack import read_predictions, read_truth
from vipnas_cli.metrics.clear_mot import tracking_scores
from vipnas_cli.metrics.posetrack import JointScores, pose_scores
from vipnas_cli.pose import POSETRACK15

DATA = os.environ.get("VIPNAS_TEST_DATA")
CASES = sorted(Path(DATA).glob("clips/posetrack_oracle/*/expected.json")) if DATA else []

pytestmark = pytest.mark.skipif(not CASES, reason="VIPNAS_TEST_DATA has no clips/posetrack_oracle")


def numbers(values: dict[str, float | None]) -> list[float]:
    return [np.nan if values[name] is None else float(values[name]) for name in (*POSETRACK15.keypoints, "total")]


@pytest.mark.parametrize("case", CASES, ids=[case.parent.name for case in CASES])
def test_equal_to_poseval(case: Path) -> None:
    expected = json.loads(case.read_text())
    labelled = read_truth(case.parent / "gt")
    predicted = read_predictions(case.parent / "pred", labelled)
    truth = [sequence.truth for sequence in labelled]
    poses, tracks = pose_scores(truth, predicted), tracking_scores(truth, predicted)
    ours: dict[str, JointScores] = {
        "AP": poses.average_precision,
        "precision": poses.precision,
        "recall": poses.recall,
        "MOTA": tracks.mota,
        "MOTP": tracks.motp,
        "MOT_precision": tracks.precision,
        "MOT_recall": tracks.recall,
    }
    for name, scores in ours.items():
        shown = [*scores.joints, scores.total]
        np.testing.assert_allclose(shown, numbers(expected[name]), rtol=0, atol=1e-9, err_msg=name)
