"""Stills by COCO's protocol: boxes, rescoring, doubles, and pictures of the wrong size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

from vipnas_cli.data.files.coco import read_json
from vipnas_cli.errors import DataError
from vipnas_cli.evaluation.coco import StillOptions, labelled_people, predict_people
from vipnas_cli.inference.estimator import Crops, Heatmaps, PaintedEstimator
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.metrics.coco import evaluate_coco
from vipnas_cli.pose import HeatmapCodec
from vipnas_cli.spec import FAST_BASE, Plan

pytest.importorskip("faster_coco_eval")
SMALL = replace(FAST_BASE, height=128, width=96)


@dataclass
class Dimmed(PaintedEstimator):
    """Finds the first five keypoints with 0.8, the next five with 0.1, and the rest with 0.6."""

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        heatmaps = super().estimate(position, crops, previous)
        factors = np.repeat(np.float32([0.8, 0.1, 0.6]), (5, 5, 7))
        return heatmaps * factors[:, None, None]


def predicted(painted: Any, options: StillOptions | None = None, boxes: Any = None) -> list[dict[str, Any]]:
    truth = read_json(painted.labels)
    source = GivenBoxesSource(labelled_people(truth) if boxes is None else boxes)
    return predict_people(Dimmed((Plan(SMALL),)), truth, painted.labels, source, options or StillOptions())


def test_painted_people_score_100(stills: Any) -> None:
    results = predicted(stills)
    assert [row["image_id"] for row in results] == [1, 1, 2, 4]
    scores = evaluate_coco(read_json(stills.labels), results)
    assert pytest.approx((100, 100)) == (scores.AP, scores.AR)


def scores_of_peaks() -> tuple[float, float, float]:
    """What the codec calls peaks of 0.8, 0.1 and 0.6."""
    codec = HeatmapCodec(SMALL.height, SMALL.width)
    heatmaps = codec.encode(np.full((1, 3, 2), 41.5)) * np.float32([0.8, 0.1, 0.6])[:, None, None]
    first, second, third = codec.decode(heatmaps)[1][0].tolist()
    return first, second, third


def test_the_score_is_that_of_the_box_times_that_of_the_pose(stills: Any) -> None:
    sure, doubtful, fair = scores_of_peaks()
    expected = (5 * sure**3 + 5 * doubtful**3 + 7 * fair**3) / (5 * sure**2 + 5 * doubtful**2 + 7 * fair**2)
    for row in predicted(stills):
        assert row["score"] == pytest.approx(expected, abs=0.01)
    whole = predicted(stills)
    boxes = {image: rows * (1, 1, 1, 1, 0.5) for image, rows in labelled_people(read_json(stills.labels)).items()}
    for row, half in zip(whole, predicted(stills, boxes=boxes), strict=True):
        assert half["score"] == pytest.approx(row["score"] / 2)


def test_the_better_of_two_equal_poses_stays(stills: Any) -> None:
    (box,) = labelled_people(read_json(stills.labels))[2]
    (alone,) = predicted(stills, boxes={2: box[None]})
    both = {2: np.stack([box + np.float32([1, 1, 1, 1, -0.25]), box])}
    assert predicted(stills, boxes=both) == [alone]
    assert len(predicted(stills, StillOptions(same_person_oks=1.1), boxes=both)) == 2


def test_workers_change_nothing(stills: Any) -> None:
    images: list[int] = []
    truth = read_json(stills.labels)
    source = GivenBoxesSource(labelled_people(truth))
    estimator = PaintedEstimator((Plan(SMALL),))
    options = StillOptions(workers=3)
    found = predict_people(estimator, truth, stills.labels, source, options, lambda: images.append(1))
    assert found == predict_people(estimator, truth, stills.labels, source)
    assert len(images) == 4


def test_crowds_and_people_without_keypoints_are_not_asked_for(stills: Any) -> None:
    boxes = labelled_people(read_json(stills.labels))
    assert {image: len(rows) for image, rows in boxes.items()} == {1: 2, 2: 1, 4: 1}


def test_a_picture_of_another_size_is_an_error(stills: Any) -> None:
    cv2.imwrite(str(stills.folder / "images" / "2.png"), np.zeros((80, 120, 3), np.uint8))
    with pytest.raises(DataError, match=r"2\.png has 120×80 pixels, its labels say 240×160"):
        predicted(stills)
