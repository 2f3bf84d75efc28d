"""Average precision, precision and recall of boxes, on cases counted by hand."""

from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.evaluation.people import PeopleRules, match, ranking, scores_of

RULES = PeopleRules(threshold=0.5)


def image(boxes: list[list[float]], ignored: list[list[float]] | None = None) -> LabelledImage:
    """A picture of 100 × 100 pixels."""
    return LabelledImage(
        Path("a.png"),
        100,
        100,
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(ignored or [], np.float32).reshape(-1, 4),
    )


def detections(*rows: tuple[float, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores, best first."""
    return np.asarray([box for _, box in rows], np.float32).reshape(-1, 4), np.asarray([s for s, _ in rows], np.float32)


def test_each_person_is_found_once_and_by_enough_overlap() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [1, 0, 10, 10], [20, 6, 30, 16]], np.float32)
    assert match(found, truth, 0.5).tolist() == [0, -1, -1]
    assert match(found, truth, 0.2).tolist() == [0, -1, 1]
    assert match(found, truth[:0], 0.5).tolist() == [-1, -1, -1]


def test_scores_of_a_small_case() -> None:
    labels = [image([[0, 0, 20, 40], [50, 0, 70, 40]]), image([[0, 0, 20, 40], [50, 50, 70, 90]])]
    found = [
        detections((0.9, [0, 0, 20, 40]), (0.6, [30, 50, 45, 90])),
        detections((0.8, [0, 0, 20, 40]), (0.4, [50, 50, 70, 90])),
    ]
    scores = scores_of(ranking(found, labels, RULES), 0.5)
    assert (scores.persons, scores.detections) == (4, 3)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 4)
    # In order: hit, hit, false, hit; precision 1, 1, 2/3, 3/4 at recalls 1/4, 2/4, 2/4, 3/4.
    assert scores.recall_at_precision == pytest.approx(2 / 4)
    assert scores.average_precision == pytest.approx((51 * 1 + 25 * 0.75) / 101)


def test_what_nobody_tells_is_no_number() -> None:
    nobody = scores_of(ranking([detections((0.9, [0, 0, 20, 40]))], [image([])], RULES), 0.5)
    assert (nobody.persons, nobody.detections, nobody.precision) == (0, 1, 0)
    assert np.isnan([nobody.average_precision, nobody.recall, nobody.recall_at_precision]).all()
    unseen = scores_of(ranking([detections()], [image([[0, 0, 20, 40]])], RULES), 0.5)
    assert np.isnan(unseen.precision)
    assert (unseen.average_precision, unseen.recall, unseen.recall_at_precision) == (0, 0, 0)


def test_small_people_and_regions_to_ignore_count_neither_way() -> None:
    label = image([[0, 0, 20, 40], [50, 0, 55, 12]], ignored=[[0, 60, 100, 100]])
    found = detections((0.9, [0, 0, 20, 40]), (0.8, [50, 0, 55, 12]), (0.7, [10, 65, 20, 95]), (0.6, [80, 0, 84, 10]))
    scores = scores_of(ranking([found], [label], RULES), 0.5)
    assert (scores.persons, scores.detections) == (1, 1)
    assert scores.average_precision == pytest.approx(1)
    lower = scores_of(ranking([found], [label], PeopleRules(0.5, shortest=0.05)), 0.5)
    assert (lower.persons, lower.detections) == (2, 3)


def test_nothing_found_scores_nothing() -> None:
    scores = scores_of(ranking([detections()], [image([[0, 0, 20, 40]])], RULES), 0.5)
    assert (scores.average_precision, scores.recall, scores.recall_at_precision) == (0, 0, 0)
