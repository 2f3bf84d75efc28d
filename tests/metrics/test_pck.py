"""PCK on cases small enough to compute by hand."""

from __future__ import annotations

import numpy as np

from vipnas_cli.metrics.pck import LIMB_JOINTS, limb_pck, limb_sizes, limbs_of, pck
from vipnas_cli.pose import COCO17, POSETRACK15


def test_twelve_limb_joints_exist_in_both_skeletons() -> None:
    for skeleton in (COCO17, POSETRACK15):
        assert len({skeleton.index(name) for name in LIMB_JOINTS}) == 12


def test_size_is_the_longer_side_around_the_labelled_points() -> None:
    points = np.array([[[0.0, 0.0], [30.0, 40.0], [500.0, 1.0]]] * 3)
    labelled = np.array([[True, True, False], [True, True, True], [False, False, False]])
    assert limb_sizes(points, labelled).tolist() == [40, 500, 0]


def test_pck_by_hand() -> None:
    true = np.zeros((2, 3, 2))
    predicted = np.array([[[20.0, 0], [0, 21.0], [999, 999]], [[3.0, 4.0], [0, 0], [0, 0.0]]])
    labelled = np.array([[True, True, False], [True, False, False]])
    # Reach at 0.2 is 20 pixels for the first person and 10 for the second; errors are 20, 21 and 5.
    scores = pck(true, predicted, labelled, np.array([100.0, 50.0]), (0.2, 0.1, 0.05, 0.21))
    np.testing.assert_allclose(scores, [200 / 3, 100 / 3, 0, 100])


def test_truth_is_right_and_what_is_not_finite_is_wrong() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (4, 12, 2))
    labelled = np.ones((4, 12), bool)
    assert pck(points, points, labelled, limb_sizes(points, labelled)).tolist() == [100, 100, 100]
    assert pck(points, points * np.nan, labelled, limb_sizes(points, labelled)).tolist() == [0, 0, 0]


def test_nothing_labelled_is_undefined() -> None:
    assert np.isnan(pck(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), np.zeros((2, 3), bool), np.ones(2))).all()


def test_limb_pck_leaves_out_the_face_and_measures_in_the_size_of_the_limbs() -> None:
    generator = np.random.default_rng(0)
    true, labelled = generator.uniform(0, 100, (3, 17, 2)), generator.random((3, 17)) < 0.8
    found = true + generator.normal(0, 8, true.shape)
    limbs = limbs_of(COCO17)
    expected = pck(true[:, limbs], found[:, limbs], labelled[:, limbs], limb_sizes(true[:, limbs], labelled[:, limbs]))
    assert limb_pck(true, found, labelled, COCO17).tolist() == expected.tolist()
    face = np.setdiff1d(np.arange(17), limbs)
    found[:, face] += 1000
    assert limb_pck(true, found, labelled, COCO17).tolist() == expected.tolist()
    assert np.isnan(limb_pck(true, found, np.zeros_like(labelled), COCO17)).all()


def test_who_has_no_size_is_left_out() -> None:
    generator = np.random.default_rng(0)
    true, labelled = generator.uniform(0, 100, (2, 17, 2)), np.ones((2, 17), bool)
    found = true + generator.normal(0, 8, true.shape)
    alone = limb_pck(true[:1], found[:1], labelled[:1], COCO17)
    # One limb joint has no box around it, whatever else is labelled.
    labelled[1, limbs_of(COCO17)[1:]] = False
    assert limb_pck(true, found, labelled, COCO17).tolist() == alone.tolist()
    assert np.isnan(limb_pck(true[1:], found[1:], labelled[1:], COCO17)).all()
    assert np.isnan(limb_pck(true[1:], true[1:], labelled[1:], COCO17)).all()
