"""A pipeline over labelled sequences: ids, positions, predictions, and that nothing depends on the workers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.files.posetrack import read_predictions, read_truth, write_predictions
from vipnas_cli.evaluation.ablation import KEY_ONLY, NO_FUSION, PROPAGATION, ablation, runs_needed
from vipnas_cli.evaluation.posetrack import (
    FRAME_RATE,
    KeyNetworkOnly,
    PipelineRun,
    RunSettings,
    boxes_by_image,
    label_boxes,
    label_source,
    run_sequences,
    truth_as_prediction,
    without_unsure,
)
from vipnas_cli.evaluation.scores import score_sequences
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import PeopleSource
from vipnas_cli.inference.pipeline import RunStatistics
from vipnas_cli.inference.tracker import TrackerOptions, propagator_of
from vipnas_cli.media.frames import Frame
from vipnas_cli.metrics import CLEAR_MOT
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan

if TYPE_CHECKING:
    from vipnas_cli.data.files.posetrack import LabelledSequence

SMALL = replace(FAST_BASE, height=128, width=96)
KEY = Plan(SMALL)
CYCLE = (KEY, Plan(SMALL, FusionSpec("add", 2)), Plan(SMALL, FusionSpec("add", 2)))
# Key frames exactly where the cycle puts them.
STEADY = TrackerOptions(early_keys=False)


@pytest.fixture
def sequences(walkers) -> tuple[LabelledSequence, ...]:  # type: ignore[no-untyped-def]
    return read_truth(walkers.labels)


@pytest.fixture
def settings(walkers) -> RunSettings:  # type: ignore[no-untyped-def]
    return RunSettings(walkers.folder, label_source, STEADY)


def run(settings: RunSettings, sequences: tuple[LabelledSequence, ...]) -> PipelineRun:
    return run_sequences(PaintedEstimator(CYCLE), sequences, settings)


def test_painted_people_are_found_and_followed(settings: RunSettings, sequences: tuple[LabelledSequence, ...]) -> None:
    found = run(settings, sequences)
    # `visit` shows its second person at frame 3, which is a key frame.
    scores = score_sequences([sequence.truth for sequence in sequences], found.predicted, CLEAR_MOT)
    assert scores.pose.average_precision.total == pytest.approx(100)
    assert scores.tracking.mota.total == pytest.approx(100)
    assert scores.pck[0] == pytest.approx(100)
    assert [where.tolist() for where in found.positions] == [[0, 1, 2, 0, 1, 2, 0]] * 2
    assert found.crops == {0: 6 + 5, 1: 4 + 3, 2: 4 + 3}
    assert found.frames == 14
    # Boxes of the labels are all of somebody who is followed.
    assert found.followed == found.crops.total()


class _AlsoNobody:
    """The boxes of another source, and one where nobody is."""

    def __init__(self, people: PeopleSource) -> None:
        self._people = people

    def boxes(self, image: NDArray[np.uint8], frame_index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, scores = self._people.boxes(image, frame_index)
        corner = np.array([[200, 120, 230, 155]], np.float32)
        return np.concatenate([boxes, corner]), np.append(scores, np.float32(0.9)).astype(np.float32)


def test_people_are_counted_as_a_run_counts_them_and_boxes_of_nobody_are_none(
    settings: RunSettings, sequences: tuple[LabelledSequence, ...]
) -> None:
    seen = replace(settings, sources=lambda sequence: _AlsoNobody(label_source(sequence)))
    found = run(seen, sequences)
    assert found.crops.total() > found.followed > 0
    statistics = RunStatistics()
    for sequence in sequences:
        propagator = propagator_of(PaintedEstimator(CYCLE), seen.sources(sequence), seen.options)
        for index, name in enumerate(sequence.image_names):
            image, pts = read_image(settings.images / name), index
            frame = Frame(index, pts, Fraction(1, int(FRAME_RATE)), image)
            statistics.add(propagator.step(image, index, index / FRAME_RATE), frame)
    assert statistics.crops == found.crops
    assert statistics.people.total() + statistics.others.total() == found.followed


def test_every_frame_is_told_and_workers_change_nothing(
    settings: RunSettings, sequences: tuple[LabelledSequence, ...]
) -> None:
    frames: list[int] = []
    alone = run(settings, sequences)
    together = run_sequences(PaintedEstimator(CYCLE), sequences, replace(settings, workers=2), lambda: frames.append(1))
    assert len(frames) == 14
    for one, other in zip(alone.predicted, together.predicted, strict=True):
        np.testing.assert_array_equal(one.points_frame, other.points_frame)
        np.testing.assert_array_equal(one.track_ids, other.track_ids)


def test_written_results_score_the_same(
    tmp_path: Path, settings: RunSettings, sequences: tuple[LabelledSequence, ...]
) -> None:
    predicted = without_unsure(run(settings, sequences).predicted[0], 0.5)
    write_predictions(tmp_path / "out", [predicted], sequences[:1])
    truth = [sequences[0].truth]
    again = read_predictions(tmp_path / "out", sequences[:1])
    assert score_sequences(truth, again) == score_sequences(truth, [predicted])


def test_the_key_network_alone_runs_on_every_frame(
    settings: RunSettings, sequences: tuple[LabelledSequence, ...]
) -> None:
    inner = PaintedEstimator(CYCLE)
    found = run_sequences(KeyNetworkOnly(inner), sequences, settings)
    assert {position for position, _ in inner.calls} == {0}
    assert found.crops == {0: 14 + 11}


def test_the_ablation_has_three_variants(settings: RunSettings, sequences: tuple[LabelledSequence, ...]) -> None:
    estimator = PaintedEstimator(CYCLE)
    key_only, propagation, no_fusion = ablation(estimator, sequences, settings)
    assert [key_only.name, propagation.name, no_fusion.name] == [KEY_ONLY, PROPAGATION, NO_FUSION]
    assert runs_needed(estimator.schedule) == 3
    assert key_only.run.crops == {0: 25}
    assert propagation.run.crops == no_fusion.run.crops == {0: 11, 1: 7, 2: 7}
    for variant in (key_only, propagation, no_fusion):
        assert [row.position for row in variant.by_position] == [0, 1, 2]
        assert [row.frames for row in variant.by_position] == [6, 4, 4]
        assert [row.pck for row in variant.by_position] == pytest.approx([100, 100, 100])


@pytest.mark.parametrize(("plans", "runs"), [((KEY,), 1), ((KEY, KEY), 2)])
def test_variants_that_cannot_differ_run_once(
    settings: RunSettings, sequences: tuple[LabelledSequence, ...], plans: tuple[Plan, ...], runs: int
) -> None:
    estimator = PaintedEstimator(plans)
    variants = ablation(estimator, sequences, settings)
    assert runs_needed(estimator.schedule) == runs
    assert len({id(variant.run) for variant in variants}) == runs


def test_boxes_of_the_labels(sequences: tuple[LabelledSequence, ...]) -> None:
    sequence = sequences[1]
    boxes = label_boxes(sequence)
    assert [len(boxes[frame]) for frame in range(7)] == [1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_allclose(boxes[0][0, :4], sequence.boxes_frame[0])
    assert boxes[0][0, 4] == 1
    lost = replace(sequence, boxes_frame=np.full_like(sequence.boxes_frame, np.nan))
    around = label_boxes(lost)[0][0]
    points = sequence.truth.points_frame[0][sequence.truth.labelled[0]]
    assert (around[:2] < points.min(0)).all()
    assert (around[2:4] > points.max(0)).all()


def test_boxes_by_image_id_become_boxes_by_frame(sequences: tuple[LabelledSequence, ...]) -> None:
    rows = np.ones((1, 5), np.float32)
    assert boxes_by_image({2003: rows, 1001: rows, 77: rows}, sequences[1]) == {3: rows}


def test_labels_as_predictions_are_perfect(sequences: tuple[LabelledSequence, ...]) -> None:
    truth = [sequence.truth for sequence in sequences]
    scores = score_sequences(truth, [truth_as_prediction(labels) for labels in truth])
    assert scores.pose.average_precision.total == 100
    assert scores.tracking.mota.total == 100
    assert scores.pck == (100, 100, 100)


def test_unsure_joints_can_be_left_out(sequences: tuple[LabelledSequence, ...]) -> None:
    perfect = truth_as_prediction(sequences[0].truth)
    assert without_unsure(perfect, None) is perfect
    doubtful = replace(perfect, scores=np.where(np.arange(15) < 5, 0.2, 0.8) * perfect.scores)
    kept = without_unsure(doubtful, 0.5)
    assert not kept.present[:, :5].any()
    np.testing.assert_array_equal(kept.present[:, 5:], perfect.present[:, 5:])
