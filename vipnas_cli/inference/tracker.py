"""The one assembly of the product: networks of a cycle, what finds people on key frames, and how poses are carried on.

Whatever runs, measures or scores it takes its parts from here, so that what is measured is what runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vipnas_cli.bundle.pipelines import DetectorFile, Pipeline
from vipnas_cli.bundle.reader import with_verifier
from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.bounds import MAX_PEOPLE
from vipnas_cli.inference.choosing import Focus, Region
from vipnas_cli.inference.estimator import PoseEstimator
from vipnas_cli.inference.onnx import OnnxDetector, OnnxEstimator
from vipnas_cli.inference.people import (
    MOST_CANDIDATES,
    CellDetector,
    DetectorSource,
    DistinctPeople,
    GivenBoxesSource,
    PeopleSource,
    WholeFrameSource,
)
from vipnas_cli.inference.propagation import PropagationOptions
from vipnas_cli.inference.propagator import Propagator
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.tracking.ids import IdentityTracker

# Seconds between two runs of the detector: people are followed well without, and newcomers wait no longer than that.
# It costs as much as the poses of four frames, so that as many pass in slow video, too. While nothing new comes into
# view it rests for a second, and longer from look to look that finds nobody else.
DETECT_EVERY_S, DETECT_EVERY_FRAMES, REST_S, LONGEST_REST_S = 0.25, 4, 1.0, 4.0
# What the score of someone new and that of the detector have to reach together, as `evidence_of` has it: a table's foot
# stays below, most people are above at one of the first detections.
DETECTED_EVIDENCE = 0.44
# A detector's boxes that are looked at beyond those who may be followed: some of them are nobody.
SPARE_BOXES = 3
# People besides the one who is asked for that are followed as well: whoever comes in the way is not taken for that one.
BESIDE = 3
# Average precision wants everything that a detector has seen, ranked; below this it sees people everywhere.
SCORE_FLOOR = 0.05
# Boxes that a verifier sees for each person that may be there.
CANDIDATES_PER_PERSON = 3


@dataclass(frozen=True)
class TrackerOptions:
    """What may be chosen about a run beside its networks and its boxes.

    `person`: whom to follow alone, or the id to tell of alone; `region`: where people are followed, None: everywhere.
    `detector_size`: longer side in pixels of the picture that the detector sees, None for its own. `detect_every_s`:
    see PropagationOptions; it holds for detectors. `verify`: whether a verifier sees the detector's boxes, None: if one
    comes with the detector. `shortest_cycle`: see PropagationOptions, 0: as long as the pipeline's. `early_keys` and
    `fusion` are switched off for ablations only.
    """

    max_people: int = MAX_PEOPLE
    person: Focus | int | None = None
    region: Region | None = None
    detector_size: int | None = None
    detect_every_s: float = DETECT_EVERY_S
    verify: bool | None = None
    shortest_cycle: int = 0
    early_keys: bool = True
    fusion: bool = True

    @property
    def most_followed(self) -> int:
        """How many people are followed at most, told of or not."""
        return min(self.max_people, 1 + BESIDE) if isinstance(self.person, Focus) else self.max_people


@dataclass(frozen=True)
class Tracker:
    """A pipeline that is ready for the frames of a video; `detector` is what finds people, None where boxes are given.

    `provider` is ONNX Runtime's name of what the networks run on.
    """

    propagator: Propagator
    source: PeopleSource
    detector: DetectorFile | None
    provider: str

    @property
    def verified(self) -> int:
        """Boxes that a verifier has seen so far."""
        return self.source.verified if isinstance(self.source, DistinctPeople) else 0

    @property
    def crops_verified(self) -> int:
        """Crops that it took to verify them."""
        return self.source.crops_verified if isinstance(self.source, DistinctPeople) else 0

    @property
    def compared(self) -> int:
        """Boxes so far whose poses were compared to find duplicates; they count as crops of the key network."""
        return self.source.compared if isinstance(self.source, DistinctPeople) else 0


def open_tracker(
    pipeline: Pipeline,
    detector: DetectorFile | None,
    runtime: RuntimeOptions,
    options: TrackerOptions = TrackerOptions(),
    boxes: PeopleSource | None = None,
) -> Tracker:
    """The tracker of a pipeline with a detector, or with `boxes` in its place; WeightsError if there is neither."""
    estimator = OnnxEstimator(pipeline, runtime)
    if boxes is not None:
        return Tracker(propagator_of(estimator, boxes, options), boxes, None, estimator.provider)
    if detector is None:
        raise WeightsError(f"there is no person detector to run {pipeline.name} with", "give boxes, or restore it")
    found = detector_as_run(detector, options)
    source = open_people_source(detector, estimator, runtime, options)
    return Tracker(propagator_of(estimator, source, options), source, found, estimator.provider)


def detector_as_run(file: DetectorFile, options: TrackerOptions) -> DetectorFile:
    """The detector at the size, and with or without the verifier, that the options ask for."""
    found = file if options.detector_size is None else file.at(options.detector_size)
    if options.verify is None:
        return found
    return with_verifier(found) if options.verify else replace(found, verifier=None)


def open_people_source(
    file: DetectorFile, estimator: PoseEstimator, runtime: RuntimeOptions, options: TrackerOptions = TrackerOptions()
) -> DistinctPeople:
    """What finds people with a detector of a bundle; see people_source. A crowd has as many candidates more."""
    found = people_source(OnnxDetector(detector_as_run(file, options), runtime), estimator)
    found.source.most_candidates = max(MOST_CANDIDATES, CANDIDATES_PER_PERSON * options.max_people)
    return found


def people_source(
    detector: CellDetector, estimator: PoseEstimator, side: int | None = None, ranked: bool = False
) -> DistinctPeople:
    """What finds people with a detector: see detector_source; the estimator's key network tells duplicates."""
    return DistinctPeople(detector_source(detector, side, ranked), estimator)


def detector_source(detector: CellDetector, side: int | None = None, ranked: bool = False) -> DetectorSource:
    """Detected people, duplicates left in, in pictures of `side` pixels (None: the detector's own size).

    `ranked` gives all scores down to SCORE_FLOOR, for average precision.
    """
    source = DetectorSource(detector, side=side)
    if ranked:
        source.threshold = min(SCORE_FLOOR, source.threshold)
    return source


def propagator_of(
    estimator: PoseEstimator, source: PeopleSource, options: TrackerOptions = TrackerOptions()
) -> Propagator:
    """What carries poses over the frames of one video; one source may serve several."""
    tracker = IdentityTracker(estimator.skeleton)
    return Propagator(estimator, source, tracker, propagation_options(options, source))


def propagation_options(options: TrackerOptions, source: PeopleSource) -> PropagationOptions:
    """What is given is taken at every key frame, and a box believed with any pose; a detector costs time and errs."""
    found = PropagationOptions(
        max_people=options.most_followed,
        one=isinstance(options.person, Focus),
        focus=options.person if isinstance(options.person, Focus) else Focus(),
        region=options.region,
        identity=options.person if isinstance(options.person, int) else None,
        shortest_cycle=options.shortest_cycle,
        early_keys=options.early_keys,
        fusion=options.fusion,
    )
    if isinstance(source, GivenBoxesSource):
        return replace(found, new_score=0.0)
    if isinstance(source, WholeFrameSource):
        return found
    return replace(
        found,
        detect_every_s=options.detect_every_s,
        search_every_s=DETECT_EVERY_S,
        detect_every_frames=DETECT_EVERY_FRAMES,
        rest_s=REST_S,
        longest_rest_s=LONGEST_REST_S,
        new_evidence=DETECTED_EVIDENCE,
        spare_boxes=SPARE_BOXES,
    )
