"""Ranks of pipelines: every kind of clips counts alike, and errors count videos, not clips."""

from __future__ import annotations

import pytest

from vipnas_cli.evaluation.pck import ClipCount
from vipnas_cli.evaluation.ranking import Comparison, compared, rank_of

WALKS = [ClipCount(f"still{i}", right, 10) for i, right in enumerate((9, 5, 7, 7))]
CLIPS = [ClipCount(f"{'video' * 6}{i}_{j}", 4 + j, 10) for i in range(2) for j in range(2)]


def test_each_kind_of_clips_counts_alike() -> None:
    assert rank_of([WALKS]).score == pytest.approx(70)
    assert rank_of([WALKS, CLIPS]).score == pytest.approx((70 + 45) / 2)
    assert rank_of([WALKS, CLIPS * 5]).score == pytest.approx((70 + 45) / 2)


def test_the_error_is_that_of_a_mean_over_videos() -> None:
    # The standard error of 90, 50, 70, 70: their deviation over the root of four.
    assert rank_of([WALKS]).error == pytest.approx(16.33 / 2, abs=0.01)
    assert rank_of([WALKS, WALKS]).error == pytest.approx(16.33 / 2 / 2**0.5, abs=0.01)
    # Clips of one video, told by the beginning of their names, are one: however many there are, all say the same.
    one_video = [ClipCount("video" * 6 + str(i), 4, 10) for i in range(50)]
    other = [ClipCount("other", 6, 10)] * 50
    assert rank_of([one_video + other]).error == pytest.approx(10)


def test_clip_by_clip() -> None:
    other = [ClipCount(clip.sequence, right, 10) for clip, right in zip(WALKS, (5, 9, 7, 7), strict=True)]
    assert compared(WALKS, other) == Comparison(1, 2, 1)
