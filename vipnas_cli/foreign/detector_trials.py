"""Finds out how a foreign detector is to be read by trying the usual ways on pictures of synthetic people.

The file runs once for each colour order and normalisation. The way that counts is the one with which it ranks people
best and is surest of them: average precision alone differs too little between colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from vipnas_cli.arrays import Image, Scores
from vipnas_cli.data.files.coco import LabelledImage
from vipnas_cli.errors import WeightsError
from vipnas_cli.evaluation.people import PeopleRules, Ranking, ranking, scores_of
from vipnas_cli.foreign.around import NORMALISATIONS, PREFIX, Colour, Normalisation, operator_set
from vipnas_cli.foreign.detector_graph import (
    DetectorConventions,
    DetectorSignature,
    Reading,
    reader_of,
    with_bytes,
    wrapped_detector,
)
from vipnas_cli.foreign.detector_signature import raw_outputs, readings
from vipnas_cli.foreign.signature import open_foreign, run_foreign
from vipnas_cli.inference.people import DetectorSource, Verifier
from vipnas_cli.inference.tracker import SCORE_FLOOR
from vipnas_cli.pose.letterbox import Fit, Letterbox
from vipnas_cli.synthetic import render_still

PICTURES = 24
# Wide, so that what a detector does with the rest of a square matters.
FRAME = (360, 640)
# A detector that ranks synthetic people worse than this (average precision) was not understood.
LEAST_FOUND = 0.4
# Sizes that are tried where the file leaves it open: the smallest counts that is not worse than the best by more than
# the margin.
SIDES = (320, 416, 640)
SIZE_MARGIN = 0.02
# Who stretches pictures has a clear gain from it, where the picture's shape differs from the frame's by such a factor.
FIT_MARGIN, OTHER_SHAPE = 0.05, 1.25
# What a score means from which our own detector with its verifier is believed.
BELIEVED = 0.42
AS_GOOD = 0.02
SCORES = tuple(round(0.05 * step, 2) for step in range(2, 17))


@dataclass(frozen=True)
class DetectorTrial:
    """One way to read a detector, and on synthetic people its average precision and the mean score of a person."""

    conventions: DetectorConventions
    found: float
    sureness: float


@dataclass(frozen=True)
class DetectorUnderstood:
    """The conventions that were found or given, the average precision with them, and the other ways, best first."""

    conventions: DetectorConventions
    found: float
    others: tuple[DetectorTrial, ...]


@dataclass(frozen=True)
class DetectorGiven:
    """What the user states, None for what is to be found out; `side` is the longer side where the file leaves it."""

    colour: Colour | None = None
    normalisation: Normalisation | None = None
    fit: Fit | None = None
    side: int | None = None
    person: int | None = None
    believed: float | None = None


NOTHING_STATED = DetectorGiven()


@dataclass(frozen=True)
class _People:
    """Pictures of synthetic people and their labels."""

    pictures: tuple[Image, ...]
    labels: tuple[LabelledImage, ...]

    def rank(self, detector: _Replayed) -> Ranking:
        """What a detector finds in them, one after the other."""
        source = DetectorSource(detector, SCORE_FLOOR)
        found = [source.boxes(picture, index) for index, picture in enumerate(self.pictures)]
        return ranking(found, self.labels, PeopleRules(SCORE_FLOOR))

    def tried(self, conventions: DetectorConventions, detector: _Replayed) -> DetectorTrial:
        """How well a detector that is read in one way finds them."""
        rows = self.rank(detector)
        sureness = float(rows.scores[rows.hits].sum()) / max(rows.persons, 1)
        return DetectorTrial(conventions, scores_of(rows, SCORE_FLOOR).average_precision, sureness)


@dataclass(frozen=True)
class _Replayed:
    """A detector whose answers are known already, in the order of the pictures."""

    letterbox: Letterbox
    answers: Iterator[tuple[Scores, Scores]]
    threshold: float = SCORE_FLOOR
    verifier: Verifier | None = None

    def detect(self, picture: Image) -> tuple[Scores, Scores]:
        """The next answer; see CellDetector."""
        return next(self.answers)


@dataclass(frozen=True)
class _Foreign:
    """A model with what its input says."""

    model: Any
    signature: DetectorSignature
    name: str

    def letterbox(self, given: DetectorGiven) -> Letterbox:
        """How pictures are made at first: the size of the file or the one stated, the frame in the corner."""
        if self.signature.size is not None:
            return Letterbox.fixed(*self.signature.size, given.fit or "corner")
        return Letterbox(given.side or SIDES[0])


def understand_detector(
    model: Any, signature: DetectorSignature, name: str, given: DetectorGiven = NOTHING_STATED
) -> DetectorUnderstood:
    """How a detector is to be read; WeightsError if it finds no people in any of the usual ways."""
    foreign, people = _Foreign(model, signature, name), _people()
    trials = sorted(_trials(foreign, given, people), key=lambda trial: -trial.found * trial.sureness)
    best = trials[0]
    if best.found < LEAST_FOUND:
        raise WeightsError(
            f"{name} has an average precision of {best.found:.2f} on synthetic people in the best of "
            f"{len(trials)} readings",
            "it may have no class of people, or a preprocessing that has to be stated",
        )
    conventions = _framed(foreign, best, given, people)
    rows = people.rank(_answers(foreign, conventions, people))
    believed = given.believed or _believed(rows)
    # A score that is believed means the same as one of our own detector.
    power = math.log(BELIEVED) / math.log(believed)
    found = replace(conventions, believed=believed, power=round(power, 4))
    return DetectorUnderstood(found, scores_of(rows, believed).average_precision, tuple(trials[1:]))


def _people() -> _People:
    generator = np.random.default_rng(23)
    stills = [render_still(generator, *FRAME) for _ in range(PICTURES)]
    nowhere = np.zeros((0, 4), np.float32)
    labels = tuple(LabelledImage(Path(), *FRAME, still.boxes_frame.astype(np.float32), nowhere) for still in stills)
    return _People(tuple(still.image for still in stills), labels)


def _trials(foreign: _Foreign, given: DetectorGiven, people: _People) -> Iterator[DetectorTrial]:
    colours: Iterable[Colour] = (given.colour,) if given.colour else ("bgr", "rgb")
    norms = (given.normalisation,) if given.normalisation else NORMALISATIONS
    letterbox = foreign.letterbox(given)
    size = letterbox.size or (letterbox.side, letterbox.side)
    opset = operator_set(foreign.model)
    for colour, normalisation in product(colours, norms):
        session = open_foreign(with_bytes(foreign.model, foreign.signature, colour, normalisation))
        names = [output.name.removeprefix(PREFIX) for output in session.get_outputs()]
        runs = [run_foreign(session, {"images": letterbox.of(p).picture[None]}) for p in people.pictures]
        types = {n: int(helper.np_dtype_to_tensor_dtype(array.dtype)) for n, array in zip(names, runs[0], strict=True)}
        told = ", ".join(f"{n} {'x'.join(map(str, a.shape))}" for n, a in zip(names, runs[0], strict=True))
        outputs = raw_outputs(names, runs)
        for reading in readings(outputs, size, given.person, foreign.name, told):
            framing = letterbox if _sizeless(reading) else Letterbox.fixed(*size)
            reader = open_foreign(reader_of(reading, framing, types, opset))
            feeds = [{PREFIX + n: array for n, array in zip(names, run, strict=True)} for run in runs]
            used = [value.name for value in reader.get_inputs()]
            answers = [run_foreign(reader, {name: feed[name] for name in used}) for feed in feeds]
            replayed = _Replayed(letterbox, iter([(scores[0], boxes[0]) for scores, boxes in answers]))
            conventions = DetectorConventions(reading, framing, colour, normalisation)
            yield people.tried(conventions, replayed)


def _sizeless(reading: Reading) -> bool:
    """Whether boxes are read alike in pictures of any size."""
    return reading.form != "grid" and not reading.shares


def _framed(foreign: _Foreign, best: DetectorTrial, given: DetectorGiven, people: _People) -> DetectorConventions:
    """The best reading with the size, or the place of the frame, that finds people best."""
    conventions = best.conventions
    if foreign.signature.size is not None:
        height, width = foreign.signature.size
        shape = (width / height) / (FRAME[1] / FRAME[0])
        if given.fit is not None or max(shape, 1 / shape) < OTHER_SHAPE:
            return conventions
        stretched = replace(conventions, letterbox=replace(conventions.letterbox, fit="stretch"))
        gained = _average_precision(foreign, stretched, people) - best.found
        return stretched if gained > FIT_MARGIN else conventions
    if given.side is not None:
        return conventions
    sized = [replace(conventions, letterbox=conventions.letterbox.at(side)) for side in SIDES]
    if not _sizeless(conventions.reading):
        sized = [replace(one, letterbox=Letterbox.fixed(side, side)) for one, side in zip(sized, SIDES, strict=True)]
    found = [_average_precision(foreign, one, people) for one in sized]
    return next(one for one, share in zip(sized, found, strict=True) if share >= max(found) - SIZE_MARGIN)


def _average_precision(foreign: _Foreign, conventions: DetectorConventions, people: _People) -> float:
    return scores_of(people.rank(_answers(foreign, conventions, people)), SCORE_FLOOR).average_precision


def _answers(foreign: _Foreign, conventions: DetectorConventions, people: _People) -> _Replayed:
    """The detector as it will run."""
    session = open_foreign(wrapped_detector(foreign.model, foreign.signature, conventions))

    def answers() -> Iterator[tuple[Scores, Scores]]:
        for picture in people.pictures:
            scores, boxes = run_foreign(session, {"images": conventions.letterbox.of(picture).picture[None]})
            yield scores[0], boxes[0]

    return _Replayed(conventions.letterbox, answers())


def _believed(rows: Ranking) -> float:
    """The score at which precision and recall are best together (F1): the middle of those that are as good."""

    def harmony(score: float) -> float:
        found = scores_of(rows, score)
        return 2 * found.precision * found.recall / max(found.precision + found.recall, 1e-9)

    found = [harmony(score) for score in SCORES]
    good = [score for score, value in zip(SCORES, found, strict=True) if value >= max(found) - AS_GOOD]
    return round((good[0] + good[-1]) / 2, 3)
