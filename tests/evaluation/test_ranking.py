"""Ranks of pipelines: every kind of clips counts alike, and errors count videos and stills, not clips."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vipnas_cli.data.clips import PersonClip
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.data.walks import walked_over
from vipnas_cli.evaluation.pck import ClipCount
from vipnas_cli.evaluation.ranking import Rank, compared, rank_of

WALKS = [ClipCount(f"still{i}", right, 10) for i, right in enumerate((9, 5, 7, 7))]
CLIPS = [ClipCount(f"video{i}", 4 + j, 10) for i in range(2) for j in range(2)]


def test_each_kind_of_clips_counts_alike() -> None:
    assert rank_of([WALKS]).score == pytest.approx(70)
    assert rank_of([WALKS, CLIPS]).score == pytest.approx((70 + 45) / 2)
    assert rank_of([WALKS, CLIPS * 5]).score == pytest.approx((70 + 45) / 2)


def test_the_error_is_that_of_a_mean_over_videos() -> None:
    # The standard error of 90, 50, 70, 70: their deviation over the root of four.
    assert rank_of([WALKS]).error == pytest.approx(16.33 / 2, abs=0.01)
    assert rank_of([WALKS, WALKS]).error == pytest.approx(16.33 / 2 / 2**0.5, abs=0.01)
    # Clips of one video are one: however many there are, all say the same.
    assert rank_of([[ClipCount("one", 4, 10)] * 50 + [ClipCount("other", 6, 10)] * 50]).error == pytest.approx(10)


def test_clips_of_a_video_begin_alike_and_stills_do_not_belong_together_for_that(tmp_path: Path) -> None:
    clips = [PersonClip(f"{'video' * 6}{i}", ()) for i in range(3)]
    assert len({clip.group for clip in clips}) == 1
    people = []
    for number in range(3):
        path = tmp_path / f"COCO_val2014_00000000004{number}.png"
        assert cv2.imwrite(str(path), np.zeros((90, 80, 3), np.uint8))
        box, points = np.array([15, 10, 65, 80], np.float32), np.full((17, 2), 40, np.float32)
        people += [LabelledPerson(path, box, points, np.ones(17, np.float32))] * 2
    walks, _ = walked_over(people, 2, np.random.default_rng(0))
    assert len({clip.group for clip in walks}) == 3


def test_one_video_tells_no_error() -> None:
    alone = [ClipCount("one", right, 10) for right in (4, 6)]
    assert rank_of([alone]).score == pytest.approx(50)
    assert math.isnan(rank_of([alone]).error)
    assert math.isnan(rank_of([WALKS, alone]).error)


def test_clip_by_clip() -> None:
    other = [ClipCount(clip.group, right, 10) for clip, right in zip(WALKS, (5, 9, 7, 7), strict=True)]
    found = compared([WALKS], [other])
    assert (found.better, found.equal, found.worse) == (1, 2, 1)


def test_a_gain_is_the_difference_of_the_ranks_and_errs_by_what_differs() -> None:
    better = [replace(clip, right=clip.right + 1) for clip in WALKS]
    assert compared([better, CLIPS], [WALKS, CLIPS]).gain == Rank(pytest.approx(5), pytest.approx(0))
    varied = [replace(clip, right=right) for clip, right in zip(WALKS, (5, 9, 8, 7), strict=True)]
    there, back = (compared([a, CLIPS], [b, CLIPS]).gain for a, b in ((varied, WALKS), (WALKS, varied)))
    assert there.score == pytest.approx(rank_of([varied, CLIPS]).score - rank_of([WALKS, CLIPS]).score)
    assert back == Rank(pytest.approx(-there.score), pytest.approx(there.error))
    assert there.error > 0
