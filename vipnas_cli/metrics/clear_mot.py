"""Tracking scores of joints: CLEAR MOT (Bernardin and Stiefelhagen 2008) with the habits of poseval.

Each joint of each sequence is tracked for itself: objects are labelled joints, hypotheses predicted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.metrics.posetrack import (
    JOINT_COUNT,
    REACH,
    JointScores,
    Meeting,
    PredictedSequence,
    TruthSequence,
    meetings,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MotRules:
    """Three habits of poseval that plain CLEAR MOT does not have.

    skip_last_frame: the last frame with labels of each sequence does not count;
    empty_frame_is_one_pair: a frame where all labels or all predictions are missing counts as one miss and one false
    positive of every joint, however many people it has;
    distances_of_whole_log: MOTP adds up the distances of all entries in the event log of motmetrics, where a pair
    stands once for being within reach, once more for being matched, and again for each way of changing partners.
    """

    skip_last_frame: bool = True
    empty_frame_is_one_pair: bool = True
    distances_of_whole_log: bool = True


POSEVAL = MotRules()
CLEAR_MOT = MotRules(skip_last_frame=False, empty_frame_is_one_pair=False, distances_of_whole_log=False)


@dataclass(frozen=True)
class TrackingScores:
    """Accuracy (MOTA) and precision (MOTP) of tracking, and precision and recall of its matches."""

    mota: JointScores
    motp: JointScores
    precision: JointScores
    recall: JointScores


@dataclass(frozen=True)
class _Counts:
    """What happened to one joint."""

    objects: int = 0
    misses: int = 0
    false_positives: int = 0
    switches: int = 0
    detections: int = 0
    distance: float = 0.0

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.objects + other.objects,
            self.misses + other.misses,
            self.false_positives + other.false_positives,
            self.switches + other.switches,
            self.detections + other.detections,
            self.distance + other.distance,
        )


def tracking_scores(
    truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence], rules: MotRules = POSEVAL
) -> TrackingScores:
    """Score the tracks of all sequences, given in the same order, together; frames without labelled people are free.

    DataError if truth and predictions are not of the same sequence.
    """
    totals = [_Counts()] * JOINT_COUNT
    for labels, guesses in zip(truth, predicted, strict=True):
        frames = list(meetings(labels, guesses))
        for joint in range(JOINT_COUNT):
            totals[joint] += _count(frames[:-1] if rules.skip_last_frame else frames, joint, rules)
    columns = np.array([_scores(counts) for counts in totals]).T
    return TrackingScores(*(JointScores(tuple(100 * float(value) for value in column)) for column in columns))


def _scores(counts: _Counts) -> tuple[float, float, float, float]:
    """MOTA, MOTP, precision and recall (1 is perfect); MOTP without detections is 0, as in poseval."""
    objects = counts.objects or np.nan
    errors = counts.misses + counts.switches + counts.false_positives
    return (
        1 - errors / objects,
        1 - counts.distance / counts.detections if counts.detections else 0.0,
        counts.detections / ((counts.detections + counts.false_positives) or np.nan),
        counts.detections / objects,
    )


def _count(frames: Sequence[Meeting], joint: int, rules: MotRules) -> _Counts:
    """What happens to one joint in the frames of one sequence."""
    partners = _Partners()
    total = _Counts()
    for frame in frames:
        if rules.empty_frame_is_one_pair and not frame.distances.size:
            total += _Counts(objects=1, misses=1, false_positives=1)
            continue
        labelled, present = frame.labelled[:, joint], frame.present[:, joint]
        distances = frame.distances[present][:, labelled, joint].T
        distances = np.where(distances <= REACH, distances, np.inf)
        total += partners.match(frame.truth_ids[labelled], frame.predicted_ids[present], distances, rules)
    return total


class _Partners:
    """Which hypothesis each object was last matched with, over the frames of a sequence."""

    def __init__(self) -> None:
        self._hypothesis_of: dict[int, int] = {}
        # The object each hypothesis was last newly matched with, and all hypotheses ever matched: for the log only.
        self._object_of: dict[int, int] = {}
        self._matched: set[int] = set()

    def match(self, objects: Ints, hypotheses: Ints, distances: Floats, rules: MotRules) -> _Counts:
        """Match a frame by distances (objects, hypotheses), infinite where forbidden; old partners come first."""
        old = self._reunited(objects, hypotheses, distances)
        free = distances.copy()
        for row, column in old:
            free[row], free[:, column] = np.inf, np.inf
        new = _cheapest(free)
        matches = old + new
        distance = sum(float(distances[pair]) for pair in matches)
        if rules.distances_of_whole_log:
            distance += float(distances[np.isfinite(distances)].sum())
        switches = 0
        self._matched.update(int(hypotheses[column]) for _, column in old)
        for row, column in new:
            switched, entries = self._change(int(objects[row]), int(hypotheses[column]))
            switches += switched
            distance += entries * float(distances[row, column]) if rules.distances_of_whole_log else 0.0
        misses, false_positives = len(objects) - len(matches), len(hypotheses) - len(matches)
        return _Counts(len(objects), misses, false_positives, switches, len(matches), distance)

    def _reunited(self, objects: Ints, hypotheses: Ints, distances: Floats) -> list[tuple[int, int]]:
        """Rows and columns of the objects that meet their last partner again."""
        column_of = {int(hypothesis): column for column, hypothesis in enumerate(hypotheses)}
        pairs: list[tuple[int, int]] = []
        for row, thing in enumerate(objects):
            last = self._hypothesis_of.get(int(thing))
            if last in column_of and np.isfinite(distances[row, column_of[last]]):
                # Taken out, as two objects can remember the same hypothesis.
                pairs.append((row, column_of.pop(last)))
        return pairs

    def _change(self, thing: int, hypothesis: int) -> tuple[bool, int]:
        """Note a new pair; whether the object switched, and how many more entries motmetrics' log gets."""
        switched = thing in self._hypothesis_of
        transferred = self._object_of.get(hypothesis, thing) != thing
        ascended = switched and hypothesis not in self._matched
        migrated = transferred and not switched
        self._hypothesis_of[thing] = hypothesis
        self._object_of[hypothesis] = thing
        self._matched.add(hypothesis)
        return switched, int(ascended) + int(transferred) + int(migrated)


def _cheapest(distances: Floats) -> list[tuple[int, int]]:
    """Rows and columns of as many allowed pairs as possible, at the least total distance."""
    from scipy.optimize import linear_sum_assignment

    allowed = np.isfinite(distances)
    if not allowed.any():
        return []
    # One forbidden pair costs more than all allowed ones together.
    forbidden = 2 * min(distances.shape) * (float(distances[allowed].max()) + 1) + 1
    pairs = zip(*linear_sum_assignment(np.where(allowed, distances, forbidden)), strict=True)
    return [(int(row), int(column)) for row, column in pairs if allowed[row, column]]
