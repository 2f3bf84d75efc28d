"""The people of one frame.

Shapes: P people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import DataError

Floats = NDArray[np.float32]

# A keypoint with a lower score is unsure: marker files and angles leave it out, COCO files call it hidden.
SURE = 0.3


@dataclass(frozen=True, eq=False)
class People:
    """All poses of one frame, in frame pixels; (0, 0) is the centre of the top-left pixel.

    ids (P,) int64, never reused within a clip; boxes_frame (P, 4) xyxy; points_frame (P, K, 2) x then y;
    scores (P, K) in 0–1, one per keypoint. People are equal if all of these are; places that are not known (NaN) are
    alike.
    """

    ids: NDArray[np.int64]
    boxes_frame: Floats
    points_frame: Floats
    scores: Floats

    def __post_init__(self) -> None:
        people, keypoints = self.scores.shape
        ids, boxes, points = (people,), (people, 4), (people, keypoints, 2)
        if self.ids.shape == ids and self.boxes_frame.shape == boxes and self.points_frame.shape == points:
            return
        for name, shape in {"ids": ids, "boxes_frame": boxes, "points_frame": points}.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, People):
            return NotImplemented
        return all(
            np.array_equal(mine, its, equal_nan=True)
            for mine, its in (
                (self.ids, other.ids),
                (self.boxes_frame, other.boxes_frame),
                (self.points_frame, other.points_frame),
                (self.scores, other.scores),
            )
        )

    # Arrays change in place, and people with them.
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[People]:
        """One after the other, each as people of one."""
        return (self[row : row + 1] for row in range(len(self)))

    def __getitem__(
        self, keep: int | np.integer | Sequence[int] | Sequence[bool] | NDArray[np.integer] | NDArray[np.bool_] | slice
    ) -> People:
        """The people that an index, indices, a mask or a slice select; IndexError for who is not there, TypeError for
        anything else."""
        if not isinstance(keep, slice):
            keep = _rows(keep)
            if chooses_all(keep, len(self)):
                return self
        return People(self.ids[keep], self.boxes_frame[keep], self.points_frame[keep], self.scores[keep])

    def copy(self) -> People:
        """The same people in arrays of their own."""
        return People(self.ids.copy(), self.boxes_frame.copy(), self.points_frame.copy(), self.scores.copy())

    @property
    def person_scores(self) -> Floats:
        """Mean keypoint score of each person (P,)."""
        return self.scores.mean(axis=1, dtype=np.float32) if len(self) else np.zeros(0, np.float32)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which keypoints (P, K) have a place; those of other programs may have none."""
        return finite_places(self.points_frame)

    @staticmethod
    def nobody(keypoints: int) -> People:
        """A frame without people."""
        return People(
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros((0, keypoints, 2), np.float32),
            np.zeros((0, keypoints), np.float32),
        )


def finite_places(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points (…, 2), or boxes (…, 4), are finite (…)."""
    finite: NDArray[np.bool_] = np.isfinite(points).all(-1)
    return finite


def written_scores(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores (…) as result files write them, with three decimals."""
    return scores.astype(np.float64).round(3)


def are_sure(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which keypoints are sure by their scores (…) as files write them, so that poses read back are judged alike."""
    sure: NDArray[np.bool_] = written_scores(scores) >= SURE
    return sure


def pose_scores(scores: Floats) -> Floats:
    """How sure poses are (P,), to rank them: the mean of their keypoint scores (P, K), each weighted by its square.

    Hidden keypoints say little so, and no threshold is needed: on still images with labels that ranks poses better than
    COCO's habit, the mean of the scores above 0.2, and for most networks than the scores themselves as weights.
    """
    found: Floats = (scores**3).sum(1) / np.maximum((scores**2).sum(1), np.finfo(np.float32).tiny)
    return found


def _rows(keep: object) -> NDArray[np.integer] | NDArray[np.bool_]:
    """An index, indices or a mask as an array (N,); TypeError for anything else."""
    rows = np.asarray(keep)
    # What is empty has no type yet.
    rows = rows if rows.size or rows.dtype == np.bool_ else rows.astype(np.int64)
    if rows.dtype.kind not in "biu" or rows.ndim > 1:
        raise TypeError(f"people are chosen by an index, indices, a mask or a slice, not by {keep!r}")
    return rows if rows.ndim else rows[None]


def chooses_all(keep: NDArray[np.integer] | NDArray[np.bool_], count: int) -> bool:
    """Whether a mask or indices choose all of so many rows in their order, as they most often do."""
    if keep.dtype == np.bool_:
        return len(keep) == count and bool(keep.all())
    return len(keep) == count and keep.tolist() == list(range(count))
