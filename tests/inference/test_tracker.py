"""The one assembly: what a detector finds is judged by the product's constants, what is given is believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vipnas_cli.arrays import Boxes, Image, Scores
from vipnas_cli.bundle.pipelines import Bundle
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.estimator import PaintedEstimator
from vipnas_cli.inference.people import DistinctPeople, GivenBoxesSource, PeopleSource, WholeFrameSource
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import (
    DETECT_EVERY_FRAMES,
    DETECT_EVERY_S,
    DETECTED_EVIDENCE,
    LONGEST_REST_S,
    REST_S,
    SCORE_FLOOR,
    SPARE_BOXES,
    TrackerOptions,
    detector_as_run,
    detector_source,
    open_tracker,
    people_source,
    propagation_options,
    propagator_of,
)
from vipnas_cli.pose.letterbox import Letterbox
from vipnas_cli.spec import FAST_BASE, FusionSpec, Plan

ONE_THREAD = RuntimeOptions(1, "cpu")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(bundled_weights())


class Nobody:
    """A detector of somebody else's: any people source that is not a list of boxes."""

    letterbox, threshold, verifier = Letterbox(64), 0.3, None

    def boxes(self, image: Image, frame_index: int) -> tuple[Boxes, Scores]:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)

    def detect(self, picture: Image) -> tuple[Scores, Scores]:
        return np.zeros((2, 2), np.float32), np.zeros((2, 2, 4), np.float32)


def test_a_given_box_has_a_pose_until_the_next_key_frame_however_unsure() -> None:
    plans = (Plan(FAST_BASE), *[Plan(FAST_BASE, FusionSpec("add", 1))] * 3)
    given = GivenBoxesSource({index: np.array([[20, 20, 80, 120, 1]], np.float32) for index in range(4)})
    found = propagator_of(PaintedEstimator(plans), given, TrackerOptions(early_keys=False))
    steps = [found.step(np.zeros((160, 240, 3), np.uint8), index, index / 30) for index in range(8)]
    assert [len(step.people) for step in steps] == [1] * 4 + [0] * 4
    assert max(step.people.scores.max() for step in steps[:4]) < 0.01


@pytest.mark.parametrize("source", [WholeFrameSource(), GivenBoxesSource({})])
def test_given_boxes_are_taken_at_every_key_frame_and_believed(source: PeopleSource) -> None:
    found = propagation_options(TrackerOptions(max_people=3, detect_every_s=9), source)
    believed = 0.0 if isinstance(source, GivenBoxesSource) else PropagationOptions.new_score
    assert found == PropagationOptions(max_people=3, new_score=believed)
    assert (found.detect_every_s, found.new_evidence) == (0, 0)


def test_what_a_detector_finds_has_to_prove_itself_and_is_asked_for_now_and_then() -> None:
    found = propagation_options(TrackerOptions(), Nobody())
    assert found == PropagationOptions(
        detect_every_s=DETECT_EVERY_S,
        search_every_s=DETECT_EVERY_S,
        detect_every_frames=DETECT_EVERY_FRAMES,
        rest_s=REST_S,
        longest_rest_s=LONGEST_REST_S,
        new_evidence=DETECTED_EVIDENCE,
        spare_boxes=SPARE_BOXES,
    )
    assert propagation_options(TrackerOptions(detect_every_s=0), Nobody()).detect_every_s == 0


def test_ablations_change_nothing_else() -> None:
    found = propagation_options(TrackerOptions(early_keys=False, fusion=False), WholeFrameSource())
    assert found == PropagationOptions(early_keys=False, fusion=False)


def test_several_videos_share_a_source_and_no_memory() -> None:
    estimator, source = PaintedEstimator((Plan(FAST_BASE),)), WholeFrameSource()
    one, other = propagator_of(estimator, source), propagator_of(estimator, source)
    assert one.source is other.source
    assert one.tracker is not other.tracker


def test_a_bundle_runs_with_its_detector_or_with_given_boxes(bundle: Bundle) -> None:
    own = open_tracker(bundle.pipelines[0], bundle.detector, ONE_THREAD)
    assert isinstance(own.source, DistinctPeople)
    assert own.source.estimator is own.propagator.estimator
    assert own.detector == bundle.detector
    given = open_tracker(bundle.pipelines[0], bundle.detector, ONE_THREAD, boxes=WholeFrameSource())
    assert given.detector is None
    assert (given.verified, given.compared) == (0, 0)
    with pytest.raises(WeightsError, match="no person detector"):
        open_tracker(bundle.pipelines[0], None, ONE_THREAD)


def test_size_and_verifier_are_as_asked_for_and_counted_so(bundle: Bundle) -> None:
    assert bundle.detector is not None
    assert detector_as_run(bundle.detector, TrackerOptions()) == bundle.detector
    # One that comes without a verifier gets the bundled one only where that is asked for.
    alone = replace(bundle.detector, verifier=None)
    assert detector_as_run(alone, TrackerOptions()) == alone
    assert detector_as_run(alone, TrackerOptions(verify=True)) == bundle.detector
    options = TrackerOptions(detector_size=208, verify=False)
    small = open_tracker(bundle.pipelines[0], bundle.detector, ONE_THREAD, options)
    assert small.detector == detector_as_run(bundle.detector, options)
    assert small.detector is not None
    # The sides of its pictures are multiples of 32.
    assert small.detector.macs == pytest.approx(bundle.detector.macs * (224 / 416) ** 2, rel=1e-6)
    assert isinstance(small.source, DistinctPeople)
    assert (small.source.source.letterbox.side, small.source.source.verifier) == (208, None)


def test_a_ranking_goes_down_to_the_floor_and_never_above_the_own_threshold() -> None:
    assert detector_source(Nobody()).threshold == Nobody.threshold
    assert detector_source(Nobody(), ranked=True).threshold == SCORE_FLOOR
    lenient = Nobody()
    lenient.threshold = 0.001
    estimator = PaintedEstimator((Plan(FAST_BASE),))
    assert people_source(lenient, estimator, side=96, ranked=True).source.threshold == 0.001
    assert people_source(lenient, estimator, side=96).source.letterbox.side == 96
