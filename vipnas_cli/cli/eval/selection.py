"""What `vipnas eval selection` does: score whole pipelines on walks over stills and on held-back clips, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vipnas_cli.bundle.archive import is_archive
from vipnas_cli.bundle.reader import Pipeline, bundled_weights, open_bundle
from vipnas_cli.cli.console import counted, message_console, print_json, result_console
from vipnas_cli.cli.eval.options import SelectionOptions
from vipnas_cli.cli.eval.report import SCHEMA, number, shown
from vipnas_cli.data.clips import PersonClip, is_held_back, read_clips
from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.data.walks import Walks
from vipnas_cli.errors import DataError, UsageError, WeightsError
from vipnas_cli.evaluation.pck import ClipScores, evaluate_clips
from vipnas_cli.inference.onnx import OnnxEstimator, RuntimeOptions, pipeline_from_onnx
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.metrics import PCK_THRESHOLDS

# Fewer labelled keypoints say too little about a whole body.
FEWEST_JOINTS = 8
WALKS, CLIPS = "walks", "clips"


@dataclass(frozen=True)
class _Material:
    """Clips to score on and how their pictures are read."""

    clips: list[PersonClip]
    read: Callable[[Path], NDArray[np.uint8]]

    @property
    def frames(self) -> int:
        """Frames of all clips."""
        return sum(len(clip.frames) for clip in self.clips)


def selection_job(options: SelectionOptions) -> None:
    """Scores the pipelines and prints one row for each."""
    console = message_console(options.quiet or options.json)
    if not options.stills and options.clips is None:
        raise UsageError("there is nothing to score on", "name a COCO keypoint file with --stills or a folder --clips")
    pipelines = _pipelines(options)
    material = {}
    if options.stills:
        walks = Walks(_people(options), options.frames, np.random.default_rng(options.seed))
        material[WALKS] = _Material(walks.clips, walks.read)
    if options.clips is not None:
        material[CLIPS] = _Material(_held_back(options.clips, options.held_back), read_image)
    scores = {}
    for pipeline in pipelines:
        estimator = OnnxEstimator(pipeline, RuntimeOptions(options.threads, options.provider))
        scores[pipeline.name] = {
            name: _scored(estimator, part, f"{pipeline.name} on {name}", console) for name, part in material.items()
        }
    if options.json:
        print_json(_document(options, material, pipelines, scores))
    else:
        _print(material, pipelines, scores, options)


def _pipelines(options: SelectionOptions) -> list[Pipeline]:
    """The pipelines of the bundle that are asked for; all if none is named."""
    weights = options.weights
    if weights is not None and weights.is_file() and not is_archive(weights):
        return [pipeline_from_onnx(weights)]
    if weights is not None and not weights.exists():
        raise WeightsError(f"{weights} does not exist", "name pipelines, or an exported .onnx network")
    known = {pipeline.name: pipeline for pipeline in open_bundle(weights or bundled_weights()).pipelines}
    for name in options.pipelines:
        if name not in known:
            raise UsageError(f"there is no pipeline {name}", f"choose from {', '.join(known)}")
    return [known[name] for name in options.pipelines or known]


def _people(options: SelectionOptions) -> list[LabelledPerson]:
    """The first people of each file who have enough keypoints."""
    found: list[LabelledPerson] = []
    for path, count in options.people_by_file:
        people = read_people(path, FEWEST_JOINTS)[:count]
        if not people:
            raise DataError(f"{path} has nobody with {FEWEST_JOINTS} labelled keypoints", "name another file")
        found += people
    return found


def _held_back(root: Path, share: float) -> list[PersonClip]:
    """The clips of the train split whose sequences no training saw."""
    clips = [clip for clip in read_clips(root, "train") if is_held_back(clip.sequence, share)]
    if not clips:
        raise DataError(f"no sequence of {root / 'annotations' / 'train'} is held back", "raise --held-back")
    return clips


def _scored(estimator: OnnxEstimator, material: _Material, label: str, console: Console) -> ClipScores:
    with counted(console, label, material.frames) as on_frame:

        def read(path: Path) -> NDArray[np.uint8]:
            on_frame()
            return material.read(path)

        # The cycle as stated, so that every pipeline costs what its name says.
        return evaluate_clips(estimator, material.clips, TrackerOptions(early_keys=False), read)


def _document(
    options: SelectionOptions,
    material: dict[str, _Material],
    pipelines: list[Pipeline],
    scores: dict[str, dict[str, ClipScores]],
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "stills": [{"file": str(path), "people": count} for path, count in options.people_by_file],
        "frames": options.frames,
        "seed": options.seed,
        "clips": None if options.clips is None else str(options.clips),
        "held_back": options.held_back if CLIPS in material else None,
        "counted": {name: {"clips": len(part.clips), "frames": part.frames} for name, part in material.items()},
        "pipelines": [
            {
                "name": pipeline.name,
                "macs_per_person_frame": round(pipeline.macs_per_person_frame),
                **{name: _numbers(found) for name, found in scores[pipeline.name].items()},
            }
            for pipeline in pipelines
        ],
    }


def _numbers(scores: ClipScores) -> dict[str, Any]:
    return {
        **{f"PCK@{limit:g}": number(value) for limit, value in zip(PCK_THRESHOLDS, scores.pck, strict=True)},
        "PCK@0.1_by_position": [number(value) for value in scores.pck_by_position],
    }


def _print(
    material: dict[str, _Material],
    pipelines: list[Pipeline],
    scores: dict[str, dict[str, ClipScores]],
    options: SelectionOptions,
) -> None:
    printer = result_console()
    table = Table(box=None, pad_edge=False)
    for column in ("pipeline", "GFLOPs", *(f"PCK@0.1 {name}" for name in material)):
        table.add_column(column, justify="left" if column == "pipeline" else "right", no_wrap=True)
    for pipeline in pipelines:
        found = (shown(scores[pipeline.name][name].pck[1]) for name in material)
        table.add_row(pipeline.name, shown(pipeline.macs_per_person_frame / 1e9, 3), *found)
    printer.print(table)
    if not options.quiet:
        for name, part in material.items():
            printer.print(f"{name}: {len(part.clips)} clips, {part.frames} frames")
