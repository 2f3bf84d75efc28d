"""What `vipnas eval people` does: run a person detector on labelled images and score its boxes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vipnas_cli.cli.console import counted, message_console, print_json, result_console
from vipnas_cli.cli.eval.data import WHERE, DataSet, find_data
from vipnas_cli.cli.eval.options import EvalOptions, PeopleOptions
from vipnas_cli.cli.eval.report import SCHEMA, numbers, shown
from vipnas_cli.data.files.coco import read_images
from vipnas_cli.errors import VipnasError
from vipnas_cli.evaluation.people import PeopleRules, PeopleScores, evaluate_people
from vipnas_cli.inference.people import CellDetector, Newcomers, PeopleSource, Verifier
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import DETECTED_EVIDENCE, detector_source, people_source
from vipnas_cli.latency.model import CHECKPOINT, Model, open_detector, open_model
from vipnas_cli.pose.letterbox import Letterbox

NAME = "coco"
COLUMNS = {
    "AP50": "average_precision",
    "precision": "precision",
    "recall": "recall",
    "recall at precision 0.8": "recall_at_precision",
}


def people_job(options: EvalOptions, people: PeopleOptions) -> None:
    """Scores the person detector of a bundle or of a checkpoint on labelled images."""
    console = message_console(options.quiet)
    printer = result_console()
    detector = _detector(options, people)
    # What `run` would show is told at the threshold.
    own = DETECTED_EVIDENCE if people.distinct else detector_source(detector).threshold
    rules = PeopleRules(own if people.threshold is None else people.threshold, people.shortest)
    source = _source(detector, options, people)
    with ExitStack() as stack:
        data = find_data(NAME, options, console, stack)
        if options.chatty:
            _introduce(data, printer)
        images = read_images(data.labels)
        started = time.perf_counter()
        with counted(console, "images", len(images)) as on_image:
            scores = evaluate_people(source, images, rules, on_image)
    wall_s = time.perf_counter() - started
    if options.json:
        print_json(_document(data, options, (rules, scores), len(images), wall_s))
    else:
        _print(rules, scores, len(images), printer)


@dataclass(frozen=True)
class _Parts:
    """A detector with a verifier of its own, of another origin, or none."""

    detector: CellDetector
    verifier: Verifier | None

    @property
    def letterbox(self) -> Letterbox:
        return self.detector.letterbox

    @property
    def threshold(self) -> float:
        return self.detector.threshold

    def detect(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.detector.detect(picture)


def _detector(options: EvalOptions, people: PeopleOptions) -> CellDetector:
    """The detector of a folder of pipelines, or of a checkpoint, with the verifier that is asked for."""
    if options.weights is None or options.weights.suffix != CHECKPOINT:
        detector: CellDetector = open_detector(dataclasses.replace(options, workers=1).model, people.verify)
    else:
        detector = _from_checkpoint(options.weights, options)
    verifier = None if people.verify is False else detector.verifier
    return _Parts(detector, verifier if people.verifier is None else _verifier(people.verifier, options))


def _source(detector: CellDetector, options: EvalOptions, people: PeopleOptions) -> PeopleSource:
    if people.distinct:
        return Newcomers(people_source(detector, _poses(options).estimator, people.size, ranked=True))
    return detector_source(detector, people.size, ranked=True)


def _poses(options: EvalOptions) -> Model:
    """The pipeline that `run` takes by default, of the folder that the detector comes from or of the bundle."""
    own = options.weights if options.weights is not None and options.weights.suffix != CHECKPOINT else None
    return open_model(dataclasses.replace(options, weights=own, workers=1).model)


def _from_checkpoint(path: Path, options: EvalOptions) -> CellDetector:
    with _needing_torch(path):
        import torch

        from vipnas_cli.inference.torch import TorchDetector
        from vipnas_cli.nets.checkpoints import load_detector

    net = load_detector(path)
    torch.set_num_threads(RuntimeOptions(options.threads).resolved_threads)
    return TorchDetector(net, torch.device("cpu"))


def _verifier(path: Path, options: EvalOptions) -> Verifier:
    with _needing_torch(path):
        import torch

        from vipnas_cli.inference.torch import TorchVerifier
        from vipnas_cli.nets.checkpoints import load_verifier

    net = load_verifier(path)
    torch.set_num_threads(RuntimeOptions(options.threads).resolved_threads)
    return TorchVerifier(net, torch.device("cpu"))


@contextmanager
def _needing_torch(path: Path) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise VipnasError(
            f"{path} is a checkpoint, and torch to run it is not installed", "pip install 'vipnas[train]'"
        ) from error


def _introduce(data: DataSet, printer: Console) -> None:
    if data.synthetic:
        printer.print(f"No --data given: scoring a {data.name}; its numbers compare detectors with each other only.")
        for line in WHERE[NAME]:
            printer.print(line)
    else:
        printer.print(f"Labels: {data.labels}")


def _document(
    data: DataSet, options: EvalOptions, found: tuple[PeopleRules, PeopleScores], images: int, wall_s: float
) -> dict[str, Any]:
    rules, scores = found
    values = dataclasses.asdict(scores)
    return {
        "schema": SCHEMA,
        "dataset": data.name,
        "detector": str(options.weights) if options.weights else "bundled",
        "rules": dataclasses.asdict(rules),
        "metrics": numbers({name: 100 * values[field] for name, field in COLUMNS.items()}),
        "synthetic": data.synthetic,
        "labels": {"images": images, "people": scores.persons},
        "detections": scores.detections,
        "speed": {"images_per_second": round(images / max(wall_s, 1e-9), 1), "wall_s": round(wall_s, 2)},
    }


def _print(rules: PeopleRules, scores: PeopleScores, images: int, printer: Console) -> None:
    printer.print(
        f"{images} images, {scores.persons} people taller than {rules.shortest:.0%} of the image, "
        f"{scores.detections} detections with a score of {rules.threshold:g} or more\n"
    )
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_row(*(shown(100 * getattr(scores, field)) for field in COLUMNS.values()))
    printer.print(table)
