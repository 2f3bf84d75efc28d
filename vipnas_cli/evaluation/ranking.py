"""What ranks the pipelines of a bundle: PCK@0.1 on real clips and on walks over stills, with its standard error.

A standard error counts videos and stills, not frames: frames of one video, and clips cut from it, err alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vipnas_cli.evaluation.pck import ClipCount


@dataclass(frozen=True)
class Rank:
    """A score in percent and its standard error, NaN where clips of a kind are all of one video or still."""

    score: float
    error: float


@dataclass(frozen=True)
class Comparison:
    """By how much one pipeline is better than another on the same clips, on how many of them it is better by more than
    a margin, as good, and worse.

    `gain` is the difference of their ranks; its error is that of the differences, mostly less than half of a rank's
    own, as what is hard for one pipeline is so for the other.
    """

    gain: Rank
    better: int
    equal: int
    worse: int


def rank_of(parts: Sequence[Sequence[ClipCount]]) -> Rank:
    """The mean over kinds of clips, each of which counts alike however many clips it has."""
    ranks = [_share(part) for part in parts]
    error = math.sqrt(sum(rank.error**2 for rank in ranks)) / len(ranks)
    return Rank(sum(rank.score for rank in ranks) / len(ranks), error)


def _share(clips: Sequence[ClipCount]) -> Rank:
    """The percentage of all keypoints that are right; its error is a ratio's (Cochran 1977, chapter 6)."""
    groups: dict[str, list[ClipCount]] = defaultdict(list)
    for clip in clips:
        groups[clip.group].append(clip)
    right = np.array([sum(clip.right for clip in group) for group in groups.values()], float)
    labelled = np.array([sum(clip.labelled for clip in group) for group in groups.values()], float)
    share, count = right.sum() / max(labelled.sum(), 1), len(groups)
    # One of them says nothing about others.
    spread = np.square(right - share * labelled).sum() * count / (count - 1) if count > 1 else math.nan
    return Rank(100 * float(share), 100 * math.sqrt(spread) / max(float(labelled.sum()), 1))


def compared(
    one: Sequence[Sequence[ClipCount]], other: Sequence[Sequence[ClipCount]], margin: float = 5.0
) -> Comparison:
    """One pipeline against another on the same clips of each kind; `margin` in percent of a clip's keypoints."""
    differences = [
        [replace(a, right=a.right - b.right) for a, b in zip(*parts, strict=True)]
        for parts in zip(one, other, strict=True)
    ]
    gains = [100 * clip.right / clip.labelled for part in differences for clip in part if clip.labelled]
    better, worse = sum(gain > margin for gain in gains), sum(gain < -margin for gain in gains)
    return Comparison(rank_of(differences), better, len(gains) - better - worse, worse)
