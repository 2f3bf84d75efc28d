"""All scores of predictions for labelled sequences: poseval's, and PCK of the limbs.

Shapes: G labelled and P predicted people of a frame, J = 15 joints, L = 12 limb joints, F frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.metrics import (
    PCK_THRESHOLDS,
    POSEVAL,
    MotRules,
    PoseScores,
    PredictedSequence,
    TrackingScores,
    TruthSequence,
    limb_pck,
    limb_sizes,
    limbs_of,
    pose_scores,
    tracking_scores,
)
from vipnas_cli.pose import POSETRACK15

Floats = NDArray[np.float64]
LIMBS = limbs_of(POSETRACK15)
# The PCK threshold by which positions of the cycle are compared.
POSITION_PCK = 0.1


@dataclass(frozen=True)
class SequenceScores:
    """Pose and tracking scores by poseval's rules, and PCK in percent at 0.2, 0.1 and 0.05."""

    pose: PoseScores
    tracking: TrackingScores
    pck: tuple[float, ...]


@dataclass(frozen=True)
class PositionScores:
    """Accuracy in percent on the frames that one position of the cycle computed."""

    position: int
    frames: int
    average_precision: float
    pck: float


def score_sequences(
    truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence], rules: MotRules = POSEVAL
) -> SequenceScores:
    """All scores of the sequences, given in the same order, together."""
    return SequenceScores(
        pose_scores(truth, predicted), tracking_scores(truth, predicted, rules), sequence_pck(truth, predicted)
    )


def scores_by_position(
    truth: Sequence[TruthSequence],
    predicted: Sequence[PredictedSequence],
    positions: Sequence[NDArray[np.int64]],
    cycle: int,
) -> tuple[PositionScores, ...]:
    """Accuracy at each of the `cycle` positions; `positions` (F,) says for each sequence what computed each frame."""
    found = []
    for position in range(cycle):
        chosen = [at_frames(labels, where == position) for labels, where in zip(truth, positions, strict=True)]
        frames = sum(len(np.unique(labels.frames)) for labels in chosen)
        accuracy = pose_scores(chosen, predicted).average_precision.total if frames else np.nan
        (share,) = sequence_pck(chosen, predicted, (POSITION_PCK,))
        found.append(PositionScores(position, frames, accuracy, share))
    return tuple(found)


def at_frames(truth: TruthSequence, chosen: NDArray[np.bool_]) -> TruthSequence:
    """The labels of the `chosen` (F,) frames only; the others are as if without people."""
    keep = chosen[truth.frames]
    return replace(
        truth,
        frames=truth.frames[keep],
        track_ids=truth.track_ids[keep],
        points_frame=truth.points_frame[keep],
        labelled=truth.labelled[keep],
        head_boxes_frame=truth.head_boxes_frame[keep],
    )


def sequence_pck(
    truth: Sequence[TruthSequence],
    predicted: Sequence[PredictedSequence],
    thresholds: Sequence[float] = PCK_THRESHOLDS,
) -> tuple[float, ...]:
    """PCK in percent of the 12 limb joints, measured in the longer side of the box around a person's labelled limbs.

    In each frame labelled people and poses are paired so that they lie close; who is left without a pose is wrong.
    """
    parts = [part for labels, guesses in zip(truth, predicted, strict=True) for part in _paired(labels, guesses)]
    if not parts:
        return (np.nan,) * len(thresholds)
    points, labelled, found = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return tuple(float(value) for value in limb_pck(points, found, labelled, POSETRACK15, thresholds))


def _paired(truth: TruthSequence, predicted: PredictedSequence) -> Iterator[tuple[Floats, NDArray[np.bool_], Floats]]:
    """Per frame: true joints (G, J, 2), which are labelled (G, J), and the joints (G, J, 2) of the paired poses."""
    found = np.where(predicted.present[..., None], predicted.points_frame, np.nan)
    for frame in np.unique(truth.frames):
        rows = truth.frames == frame
        points, labelled = truth.points_frame[rows], truth.labelled[rows]
        yield points, labelled, _nearest(points, labelled, found[predicted.frames == frame])


def _nearest(points: Floats, labelled: NDArray[np.bool_], found: Floats) -> Floats:
    """For each labelled person (G, J, 2) a pose (J, 2) of its own out of `found` (P, J, 2), NaN where none is left.

    Poses are near by their limbs.
    """
    from scipy.optimize import linear_sum_assignment

    chosen = np.full_like(points, np.nan)
    limbs, seen = points[:, LIMBS], labelled[:, LIMBS]
    sizes = np.maximum(limb_sizes(limbs, seen), 1.0)[:, None, None]
    errors = np.linalg.norm(limbs[:, None] - found[None][:, :, LIMBS], axis=-1) / sizes
    # An error of a whole body counts like one of many: which wrong pose it is does not matter.
    errors = np.where(seen[:, None], np.nan_to_num(np.minimum(errors, 1.0), nan=1.0), 0.0)
    people, poses = linear_sum_assignment(errors.sum(-1))
    chosen[people] = found[poses]
    return chosen
