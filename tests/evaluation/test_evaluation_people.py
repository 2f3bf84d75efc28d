"""Precision and recall of boxes, on a case counted by hand."""

import numpy as np

from vipnas_cli.evaluation_people import match


def test_each_person_is_found_once_and_by_enough_overlap() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    found = np.array([[0, 0, 10, 9], [1, 0, 10, 10], [20, 6, 30, 16]], np.float32)
    assert match(found, truth, 0.5).tolist() == [0, -1, -1]
    assert match(found, truth, 0.2).tolist() == [0, -1, 1]
    assert match(found, truth[:0], 0.5).tolist() == [-1, -1, -1]
