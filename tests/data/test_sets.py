"""Synthetic sets are what the readers and checks of real data expect, and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vipnas_cli.data.checks import coco as coco_checks
from vipnas_cli.data.checks import posetrack as posetrack_checks
from vipnas_cli.data.files.coco import read_json
from vipnas_cli.data.files.posetrack import read_truth
from vipnas_cli.data.sets import SetSize, write_synthetic_coco, write_synthetic_posetrack
from vipnas_cli.evaluation.posetrack import truth_as_prediction
from vipnas_cli.metrics import pose_scores, tracking_scores

SMALL = SetSize(stills=3, frames=4, height=120, width=160)


def test_sequences_in_posetrack_format(tmp_path: Path) -> None:
    steps: list[int] = []
    labels = write_synthetic_posetrack(tmp_path, np.random.default_rng(0), SMALL, lambda: steps.append(1))
    assert posetrack_checks.truth_problems(labels, tmp_path) == []
    truth = [sequence.truth for sequence in read_truth(labels)]
    assert [sequence.frame_count for sequence in truth] == [4, 4, 4]
    assert len(steps) == 12
    assert {len(set(sequence.track_ids.tolist())) for sequence in truth} == {1, 2, 3}
    perfect = [truth_as_prediction(sequence) for sequence in truth]
    assert pose_scores(truth, perfect).average_precision.total == 100
    assert tracking_scores(truth, perfect).mota.total == 100


def test_heads_keep_their_size_through_a_sequence(tmp_path: Path) -> None:
    labels = write_synthetic_posetrack(tmp_path, np.random.default_rng(0), SMALL)
    for sequence in read_truth(labels):
        sides = sequence.truth.head_boxes_frame[:, 2] - sequence.truth.head_boxes_frame[:, 0]
        for track in set(sequence.truth.track_ids.tolist()):
            mine = sides[sequence.truth.track_ids == track]
            assert np.ptp(mine) < 0.01
            assert mine.min() > 5


def test_stills_in_coco_format(tmp_path: Path) -> None:
    labels = write_synthetic_coco(tmp_path, np.random.default_rng(0), SMALL)
    content = read_json(labels)
    assert coco_checks.truth_problems(labels, content, images=True) == []
    assert len(content["images"]) == 3
    assert all(0 < row["area"] <= row["bbox"][2] * row["bbox"][3] for row in content["annotations"])


def test_the_same_generator_gives_the_same_set(tmp_path: Path) -> None:
    first = write_synthetic_coco(tmp_path / "a", np.random.default_rng(3), SMALL)
    second = write_synthetic_coco(tmp_path / "b", np.random.default_rng(3), SMALL)
    assert first.read_bytes() == second.read_bytes()
    picture = Path("images/000001.jpg")
    assert (tmp_path / "a" / picture).read_bytes() == (tmp_path / "b" / picture).read_bytes()
