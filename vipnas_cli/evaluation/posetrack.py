"""Runs a pipeline over labelled sequences as over video, and turns its people into PoseTrack predictions.

Shapes: N boxes, P people, K keypoints, F frames of a sequence, J = 15 joints.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.data.files.boxes import BoxesByFrame
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.files.posetrack import LabelledSequence
from vipnas_cli.inference.estimator import Crops, Heatmaps, PoseEstimator
from vipnas_cli.inference.people import GivenBoxesSource, PeopleSource
from vipnas_cli.inference.propagation import Step
from vipnas_cli.inference.tracker import TrackerOptions, propagator_of
from vipnas_cli.metrics import PredictedSequence, TruthSequence
from vipnas_cli.pose import Skeleton
from vipnas_cli.pose.conversion import posetrack15_from_coco17
from vipnas_cli.spec import Schedule

# Frames per second that the tracker assumes: the files do not say.
FRAME_RATE = 30.0
# How far a person reaches beyond the labelled joints, as a share of their box, where a file has no person box.
JOINT_MARGIN = 0.15

Sources = Callable[[LabelledSequence], PeopleSource]


@dataclass(frozen=True)
class KeyNetworkOnly:
    """An estimator that runs the key network on every frame: what propagation is compared with."""

    inner: PoseEstimator

    @property
    def schedule(self) -> Schedule:
        """A cycle of one frame."""
        return Schedule((self.inner.schedule.plan(0),))

    @property
    def skeleton(self) -> Skeleton:
        """That of the inner estimator."""
        return self.inner.skeleton

    def estimate(self, position: int, crops: Crops, previous: Heatmaps | None) -> Heatmaps:
        """Heatmaps (P, K, h, w) of the key network."""
        return self.inner.estimate(0, crops, None)


@dataclass(frozen=True)
class SequenceRun:
    """Predictions for a sequence, the position of the cycle that computed each frame (F,), crops per position, and how
    many people were followed, summed up over the frames."""

    predicted: PredictedSequence
    positions: NDArray[np.int64]
    crops: Counter[int]
    followed: int


@dataclass(frozen=True)
class PipelineRun:
    """What a pipeline made of all sequences, and how long it took."""

    sequences: tuple[SequenceRun, ...]
    wall_s: float

    @property
    def predicted(self) -> tuple[PredictedSequence, ...]:
        """The predictions of all sequences."""
        return tuple(sequence.predicted for sequence in self.sequences)

    @property
    def positions(self) -> tuple[NDArray[np.int64], ...]:
        """The positions of the cycle of all sequences."""
        return tuple(sequence.positions for sequence in self.sequences)

    @property
    def crops(self) -> Counter[int]:
        """Crops that each position of the cycle computed."""
        return sum((sequence.crops for sequence in self.sequences), Counter[int]())

    @property
    def followed(self) -> int:
        """People who were followed, summed up over all frames."""
        return sum(sequence.followed for sequence in self.sequences)

    @property
    def frames(self) -> int:
        """Frames of all sequences."""
        return sum(len(sequence.positions) for sequence in self.sequences)


@dataclass(frozen=True)
class RunSettings:
    """Where the pictures are, where boxes come from, how poses are carried on, and how many sequences run at once.

    Joints below `joint_score` are not given; None gives all.
    """

    images: Path
    sources: Sources
    options: TrackerOptions = TrackerOptions()
    joint_score: float | None = None
    workers: int = 1


def run_sequences(
    estimator: PoseEstimator,
    sequences: Sequence[LabelledSequence],
    settings: RunSettings,
    on_frame: Callable[[], None] = lambda: None,
) -> PipelineRun:
    """Runs the pipeline over all frames of each sequence; the result does not depend on the number of workers.

    The estimator must bear to be called from several threads, as ONNX Runtime and torch do.
    """
    started = time.perf_counter()

    def run(sequence: LabelledSequence) -> SequenceRun:
        return run_sequence(estimator, sequence, settings, on_frame)

    if settings.workers == 1:
        runs = tuple(map(run, sequences))
    else:
        with ThreadPoolExecutor(settings.workers) as pool:
            runs = tuple(pool.map(run, sequences))
    return PipelineRun(runs, time.perf_counter() - started)


def run_sequence(
    estimator: PoseEstimator, sequence: LabelledSequence, settings: RunSettings, on_frame: Callable[[], None]
) -> SequenceRun:
    """Runs the pipeline over one sequence."""
    propagator = propagator_of(estimator, settings.sources(sequence), settings.options)
    steps = []
    for index, name in enumerate(sequence.image_names):
        steps.append(propagator.step(read_image(settings.images / name), index, index / FRAME_RATE))
        on_frame()
    crops: Counter[int] = Counter()
    for step in steps:
        crops[step.position] += step.crops
    positions = np.array([step.position for step in steps], np.int64)
    predicted = without_unsure(_predictions(sequence.truth.name, steps), settings.joint_score)
    followed = sum(step.followed for step in steps)
    return SequenceRun(predicted, positions, crops, followed)


def _predictions(name: str, steps: Sequence[Step]) -> PredictedSequence:
    """The people of all frames with PoseTrack's joints; every joint is given, its score says how sure it is."""
    people = [step.people for step in steps]
    points, scores = posetrack15_from_coco17(
        np.concatenate([found.points_frame for found in people]), np.concatenate([found.scores for found in people])
    )
    return PredictedSequence(
        name,
        len(steps),
        np.repeat(np.arange(len(steps)), [len(found) for found in people]),
        np.concatenate([found.ids for found in people]),
        points,
        np.ones(points.shape[:2], np.bool_),
        scores,
    )


def without_unsure(predicted: PredictedSequence, joint_score: float | None) -> PredictedSequence:
    """The predictions without joints below a score: average precision falls a little, MOTA rises; None keeps all."""
    if joint_score is None:
        return predicted
    return replace(predicted, present=predicted.present & (predicted.scores >= joint_score))


def label_boxes(sequence: LabelledSequence) -> BoxesByFrame:
    """Rows (N, 5) of the labelled person boxes with score 1 by frame; around the joints where a box is missing."""
    truth = sequence.truth
    found: dict[int, list[list[float]]] = {}
    for frame, box, points, labelled in zip(
        truth.frames, sequence.boxes_frame, truth.points_frame, truth.labelled, strict=True
    ):
        sides = box[2:] - box[:2]
        if not (np.isfinite(box).all() and (sides > 0).all()):
            if not labelled.any():
                continue
            low, high = points[labelled].min(0), points[labelled].max(0)
            margin = JOINT_MARGIN * max(float((high - low).max()), 1.0)
            box = np.concatenate([low - margin, high + margin])
        found.setdefault(int(frame), []).append([*map(float, box), 1.0])
    return {frame: np.asarray(rows, np.float32) for frame, rows in found.items()}


def boxes_by_image(boxes: BoxesByFrame, sequence: LabelledSequence) -> BoxesByFrame:
    """Boxes by image id as boxes by frame of the sequence."""
    return {frame: boxes[image] for frame, image in enumerate(sequence.image_ids) if image in boxes}


def label_source(sequence: LabelledSequence) -> PeopleSource:
    """The labelled boxes as what key frames find."""
    return GivenBoxesSource(label_boxes(sequence))


def truth_as_prediction(truth: TruthSequence) -> PredictedSequence:
    """The labels as if a tool had predicted them."""
    scores = np.ones(truth.labelled.shape)
    return PredictedSequence(
        truth.name, truth.frame_count, truth.frames, truth.track_ids, truth.points_frame, truth.labelled, scores
    )
