"""PCK of the propagation on clips of one person: who has no size is in no count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.evaluation.pck import evaluate_clips
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.metrics import limbs_of
from vipnas_cli.pose import COCO17
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan

PLANS = (Plan(FAST_BASE), Plan(FAST_BASE, FusionSpec("add", 1)))
POINTS = np.stack([np.linspace(40, 120, 17), np.linspace(150, 30, 17)], 1).astype(np.float32)
BOX = np.array([30, 20, 130, 160], np.float32)


def painted(_path: Path) -> np.ndarray:
    """A black picture with a dot at each keypoint."""
    image = np.zeros((180, 160, 3), np.uint8)
    for keypoint, (x, y) in enumerate(POINTS.round().astype(int)):
        image[y - 1 : y + 2, x - 1 : x + 2] = (10 * (keypoint + 1), 255, 0)
    return image


def clip(name: str, labelled: int) -> PersonClip:
    """Four frames in which so many limb joints are labelled."""
    weights = np.zeros(17, np.float32)
    weights[limbs_of(COCO17)[:labelled]] = 1
    return PersonClip(name, tuple(LabelledPerson(Path(f"{name}{i}"), BOX, POINTS, weights) for i in range(4)))


@pytest.mark.parametrize("labelled", [0, 1])
def test_clips_in_which_nobody_has_a_size_count_for_nothing(labelled: int) -> None:
    estimator, options = PaintedEstimator(PLANS), TrackerOptions(early_keys=False)
    plain = evaluate_clips(estimator, [clip("whole", 12)], options, painted)
    both = evaluate_clips(estimator, [clip("whole", 12), clip("few", labelled)], options, painted)
    assert both.pck == plain.pck
    assert both.pck_by_position == plain.pck_by_position
    whole, few = both.clips
    assert whole == plain.clips[0]
    assert whole.labelled == 4 * 12
    assert (few.right, few.labelled) == (0, 0)


def test_counts_of_clips_add_up_to_the_whole() -> None:
    estimator, options = PaintedEstimator(PLANS), TrackerOptions(early_keys=False)
    moved = clip("moved", 12)
    wrong = replace(moved, frames=tuple(replace(frame, points_frame=POINTS + 60) for frame in moved.frames))
    found = evaluate_clips(estimator, [clip("whole", 12), wrong], options, painted)
    assert [one.right for one in found.clips] == [48, 0]
    assert [one.group for one in found.clips] == ["whole", "moved"]
    long = [replace(clip("video" * 6 + end, 12), still=still) for still in (False, True) for end in "ab"]
    # Names of clips that begin alike are of one video; names of stills are not cut.
    groups = [one.group for one in evaluate_clips(estimator, long, options, painted).clips]
    assert groups == ["videovideovideovideovide"] * 2 + ["video" * 6 + end for end in "ab"]
    assert found.pck[1] == pytest.approx(50)
