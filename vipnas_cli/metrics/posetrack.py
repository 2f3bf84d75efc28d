"""Pose scores by the rules of poseval, the evaluator of PoseTrack.

Joints are those of POSETRACK15, in its order; lengths are frame pixels; scores are percent, NaN where undefined.
Shapes: N people of a sequence over all frames, G labelled and P predicted people of a frame, J = 15 joints.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import DataError
from vipnas_cli.pose import POSETRACK15

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

JOINT_COUNT = len(POSETRACK15.keypoints)
# A joint is found when it lies within half a head, and a head is 0.6 times the diagonal of the head box.
REACH = 0.5
HEAD_SHARE = 0.6
GROUPS = {
    "Head": ("head_top", "neck", "nose"),
    "Shou": ("right_shoulder", "left_shoulder"),
    "Elb": ("right_elbow", "left_elbow"),
    "Wri": ("right_wrist", "left_wrist"),
    "Hip": ("right_hip", "left_hip"),
    "Knee": ("right_knee", "left_knee"),
    "Ankl": ("right_ankle", "left_ankle"),
}


@dataclass(frozen=True)
class TruthSequence:
    """The labels of one sequence.

    frames (N,) counts from 0 and says where each person is; track_ids (N,); points_frame (N, J, 2); labelled (N, J);
    head_boxes_frame (N, 4) xyxy; ignore_regions: for each frame its polygons (V, 2).
    """

    name: str
    frames: Ints
    track_ids: Ints
    points_frame: Floats
    labelled: Mask
    head_boxes_frame: Floats
    ignore_regions: tuple[tuple[Floats, ...], ...]

    @property
    def frame_count(self) -> int:
        """Frames of the sequence, those without people included."""
        return len(self.ignore_regions)


@dataclass(frozen=True)
class PredictedSequence:
    """The predictions for one sequence, fields as in TruthSequence; scores (N, J) rank the joints."""

    name: str
    frame_count: int
    frames: Ints
    track_ids: Ints
    points_frame: Floats
    present: Mask
    scores: Floats


@dataclass(frozen=True)
class JointScores:
    """One score in percent for each joint."""

    joints: tuple[float, ...]

    @property
    def total(self) -> float:
        """Mean over the joints that have a score."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing is NaN, as it should be
            return float(np.nanmean(self.joints))

    @property
    def groups(self) -> dict[str, float]:
        """The columns of poseval's table: mean of each group of joints, and Total, the mean of all joints."""
        means = {
            group: float(np.mean([self.joints[POSETRACK15.index(name)] for name in names]))
            for group, names in GROUPS.items()
        }
        return {**means, "Total": self.total}


@dataclass(frozen=True)
class PoseScores:
    """Average precision, and precision and recall of all predicted joints."""

    average_precision: JointScores
    precision: JointScores
    recall: JointScores


@dataclass(frozen=True)
class Meeting:
    """Labels and predictions of a cleaned frame; distances (P, G, J) in heads, infinite where a joint is absent."""

    truth_ids: Ints
    predicted_ids: Ints
    labelled: Mask
    present: Mask
    scores: Floats
    distances: Floats


def meetings(truth: TruthSequence, predicted: PredictedSequence) -> Iterator[Meeting]:
    """The frames that count, in order: those with labelled people, without what lies in regions to ignore.

    DataError if the two are not of the same sequence.
    """
    if (truth.name, truth.frame_count) != (predicted.name, predicted.frame_count):
        raise DataError(
            f"the predictions of {predicted.name!r} ({predicted.frame_count} frames) do not belong to the labels of "
            f"{truth.name!r} ({truth.frame_count} frames)",
            "Give predictions for every frame of each labelled sequence, in the same order.",
        )
    for frame, regions in enumerate(truth.ignore_regions):
        rows, predicted_rows = np.flatnonzero(truth.frames == frame), np.flatnonzero(predicted.frames == frame)
        if not len(rows):
            continue
        labelled, present = truth.labelled[rows], predicted.present[predicted_rows]
        if regions:
            labelled = labelled & ~inside_any(truth.points_frame[rows], regions)
            present = present & ~inside_any(predicted.points_frame[predicted_rows], regions)
            kept, predicted_kept = labelled.any(1), present.any(1)
            rows, labelled = rows[kept], labelled[kept]
            predicted_rows, present = predicted_rows[predicted_kept], present[predicted_kept]
        distances = _distances(
            predicted.points_frame[predicted_rows], truth.points_frame[rows], truth.head_boxes_frame[rows]
        )
        yield Meeting(
            truth.track_ids[rows],
            predicted.track_ids[predicted_rows],
            labelled,
            present,
            predicted.scores[predicted_rows],
            np.where(present[:, None] & labelled[None], distances, np.inf),
        )


def pose_scores(truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence]) -> PoseScores:
    """Score the predictions for all sequences, given in the same order, together."""
    columns = np.array([_joint_scores(joint) for joint in _verdicts(truth, predicted)]).T
    return PoseScores(*(JointScores(tuple(100 * float(value) for value in column)) for column in columns))


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall (N,), in 0 to 1, of one joint's N best predictions, N growing."""

    precision: Floats
    recall: Floats


def precision_recall(
    truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence]
) -> tuple[PrecisionRecall, ...]:
    """The curve of each joint whose area pose_scores reports; empty without predictions or labels."""
    return tuple(_curve(joint) for joint in _verdicts(truth, predicted))


@dataclass(frozen=True)
class _Verdicts:
    """All predictions (N,) of one joint: which are right and their scores; `positives` labels exist."""

    found: Mask
    scores: Floats
    positives: int


def _verdicts(truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence]) -> list[_Verdicts]:
    """The verdicts on each of the joints."""
    found: list[Mask] = [np.zeros((0, JOINT_COUNT), np.bool_)]
    present: list[Mask] = [np.zeros((0, JOINT_COUNT), np.bool_)]
    scores: list[Floats] = [np.zeros((0, JOINT_COUNT))]
    positives = np.zeros(JOINT_COUNT, np.int64)
    for labels, guesses in zip(truth, predicted, strict=True):
        for meeting in meetings(labels, guesses):
            found.append(_found(meeting))
            present.append(meeting.present)
            scores.append(meeting.scores)
            positives += meeting.labelled.sum(0)
    all_found, all_present, all_scores = np.concatenate(found), np.concatenate(present), np.concatenate(scores)
    joints = []
    for joint, count in enumerate(positives):
        rows = all_present[:, joint]
        joints.append(_Verdicts(all_found[rows, joint], all_scores[rows, joint], int(count)))
    return joints


def inside_any(points: Floats, polygons: Sequence[Floats]) -> Mask:
    """Which points (..., 2) lie strictly inside one of the polygons (V, 2); their borders are outside."""
    inside = np.zeros(points.shape[:-1], np.bool_)
    x, y = points[..., None, 0], points[..., None, 1]
    for polygon in polygons:
        (x0, y0), (x1, y1) = polygon.T, np.roll(polygon, -1, axis=0).T
        # Twice the area of the triangle of edge and point: its sign tells the side, zero is on the line.
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        crossed = ((y0 <= y) & (y < y1) & (side > 0)) | ((y1 <= y) & (y < y0) & (side < 0))
        within = (np.minimum(x0, x1) <= x) & (x <= np.maximum(x0, x1))
        within &= (np.minimum(y0, y1) <= y) & (y <= np.maximum(y0, y1))
        on_border = ((side == 0) & within).any(-1)
        inside |= (crossed.sum(-1) % 2 == 1) & ~on_border
    return inside


def _distances(points: Floats, points_true: Floats, head_boxes: Floats) -> Floats:
    """Distances (P, G, J) in heads of the labelled person."""
    heads = HEAD_SHARE * np.linalg.norm(head_boxes[:, 2:] - head_boxes[:, :2], axis=-1)
    distances: Floats = np.linalg.norm(points[:, None] - points_true[None], axis=-1) / heads[None, :, None]
    return distances


def _found(meeting: Meeting) -> Mask:
    """Which predicted joints (P, J) are right: within reach of the person that their pose is assigned to."""
    reached = meeting.distances <= REACH
    if not reached.size:
        return np.zeros_like(meeting.present)
    share = reached.sum(2) / np.maximum(meeting.labelled.sum(1), 1)
    # Each prediction keeps its best person, then each person takes the best of what is left; the first wins a tie.
    best = share.argmax(1)
    share = np.where(best[:, None] == np.arange(share.shape[1]), share, 0.0)
    takers = share.argmax(0)
    assigned = np.zeros_like(share, np.bool_)
    assigned[takers, np.arange(len(takers))] = share.max(0) > 0
    found: Mask = (reached & assigned[..., None]).max(1)
    return found


def _joint_scores(verdicts: _Verdicts) -> tuple[float, float, float]:
    """Average precision, precision and recall (0 to 1) of one joint's predictions, as poseval treats the odd cases."""
    if not len(verdicts.found):
        return 0.0, 0.0, 0.0
    if not verdicts.positives:
        return np.nan, float(verdicts.found.mean()), np.nan
    curve = _curve(verdicts)
    # The area under the curve whose precision never rises with recall.
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    area = float(np.sum(np.diff(curve.recall, prepend=0.0) * envelope))
    return area, float(curve.precision[-1]), float(curve.recall[-1])


def _curve(verdicts: _Verdicts) -> PrecisionRecall:
    if not verdicts.positives:
        return PrecisionRecall(np.zeros(0), np.zeros(0))
    hits = np.cumsum(verdicts.found[np.argsort(-verdicts.scores, kind="stable")])
    return PrecisionRecall(hits / np.arange(1, len(hits) + 1), hits / verdicts.positives)
