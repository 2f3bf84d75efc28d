"""What `vipnas eval selection` does: score pipelines on walks over stills and held-back clips, rank, record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vipnas_cli.bundle.archive import is_archive
from vipnas_cli.bundle.pipelines import SELECTION, SELECTION_ERROR, SELECTION_KEY, Pipeline
from vipnas_cli.bundle.reader import bundled_weights, open_bundle
from vipnas_cli.bundle.scores import record_scores
from vipnas_cli.cli.console import counted, message_console, print_json, result_console
from vipnas_cli.cli.eval.options import SelectionOptions
from vipnas_cli.cli.eval.report import SCHEMA, number, shown
from vipnas_cli.data.clips import PersonClip, is_held_back, read_clips
from vipnas_cli.data.files.coco import read_people
from vipnas_cli.data.files.image_store import read_image
from vipnas_cli.data.people_labels import LabelledPerson
from vipnas_cli.data.walks import Walks
from vipnas_cli.errors import DataError, UsageError, WeightsError
from vipnas_cli.evaluation.pck import ClipCount, ClipScores, evaluate_clips
from vipnas_cli.evaluation.ranking import Rank, compared, rank_of
from vipnas_cli.inference.onnx import OnnxEstimator, pipeline_from_onnx
from vipnas_cli.inference.sessions import RuntimeOptions
from vipnas_cli.inference.tracker import TrackerOptions
from vipnas_cli.metrics import PCK_THRESHOLDS
from vipnas_cli.spec.budget import Taken, least_gflops, taken_within

# Fewer labelled keypoints say too little about a whole body.
FEWEST_JOINTS = 8
WALKS, CLIPS = "walks", "clips"
# From how many percent of a clip's keypoints on a pipeline is called better there.
CLIP_MARGIN = 5.0


@dataclass(frozen=True)
class _Material:
    """Clips to score on and how their pictures are read."""

    clips: list[PersonClip]
    read: Callable[[Path], NDArray[np.uint8]]

    @property
    def frames(self) -> int:
        """Frames of all clips."""
        return sum(len(clip.frames) for clip in self.clips)


@dataclass(frozen=True)
class _Scored:
    """A pipeline, its scores by kind of clips, its rank, and that of its key network on every frame."""

    pipeline: Pipeline
    scores: dict[str, ClipScores]
    key: Rank

    @property
    def rank(self) -> Rank:
        """What the pipeline is chosen by."""
        return rank_of(self.clips)

    @property
    def cost(self) -> float:
        """Multiply-accumulates per person and frame."""
        return self.pipeline.macs_per_person_frame

    @property
    def clips(self) -> list[tuple[ClipCount, ...]]:
        """What is right on each clip, by kind."""
        return [found.clips for found in self.scores.values()]


def selection_job(options: SelectionOptions) -> None:
    """Scores the pipelines, prints one row for each, and records the ranks if that is asked for."""
    console = message_console(options.quiet or options.json)
    if not options.stills and options.clips is None:
        raise UsageError("there is nothing to score on", "name a COCO keypoint file with --stills or a folder --clips")
    if options.record and (options.weights is None or _is_network(options.weights)):
        raise UsageError("--record has no bundle to write to", "name a folder or a .vipnas file with --weights")
    pipelines = _pipelines(options)
    material = _material(options)
    scored = _ranked(pipelines, material, RuntimeOptions(options.threads, options.provider), console)
    if options.json:
        print_json(_document(options, material, scored))
    else:
        _print(material, scored, options)
    if options.record:
        assert options.weights is not None
        record_scores(options.weights, {found.pipeline.name: _recorded(found) for found in scored})
        console.print(f"recorded in {options.weights}")


def _is_network(weights: Path) -> bool:
    return weights.is_file() and not is_archive(weights)


def _pipelines(options: SelectionOptions) -> list[Pipeline]:
    """The pipelines of the bundle that are asked for; all if none is named."""
    weights = options.weights
    if weights is not None and _is_network(weights):
        return [pipeline_from_onnx(weights)]
    if weights is not None and not weights.exists():
        raise WeightsError(f"{weights} does not exist", "name pipelines, or an exported .onnx network")
    known = {pipeline.name: pipeline for pipeline in open_bundle(weights or bundled_weights()).pipelines}
    for name in options.pipelines:
        if name not in known:
            raise UsageError(f"there is no pipeline {name}", f"choose from {', '.join(known)}")
    return [known[name] for name in options.pipelines or known]


def _material(options: SelectionOptions) -> dict[str, _Material]:
    """What is scored on, by kind."""
    material = {}
    if options.stills:
        walks = Walks(_people(options), options.frames, np.random.default_rng(options.seed))
        material[WALKS] = _Material(walks.clips, walks.read)
    if options.clips is not None:
        clips = _held_back(options.clips, options.held_back)
        short = [replace(clip, frames=clip.frames[: options.clip_frames]) for clip in clips]
        material[CLIPS] = _Material(short, read_image)
    return material


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


def _ranked(
    pipelines: list[Pipeline], material: dict[str, _Material], runtime: RuntimeOptions, console: Console
) -> list[_Scored]:
    """Scores each pipeline, and each key network on every frame, once."""

    def scores(pipeline: Pipeline) -> dict[str, ClipScores]:
        estimator = OnnxEstimator(pipeline, runtime)
        return {
            name: _scored(estimator, part, f"{pipeline.name} on {name}", console) for name, part in material.items()
        }

    found: dict[tuple[str, ...], dict[str, ClipScores]] = {}
    for pipeline in pipelines:
        key = Pipeline(f"key network of {pipeline.name}", pipeline.networks[:1], {})
        for run in (pipeline, key):
            digests = tuple(network.sha256 for network in run.networks)
            found[digests] = found[digests] if digests in found else scores(run)
    rows = []
    for pipeline in pipelines:
        digests = tuple(network.sha256 for network in pipeline.networks)
        key_rank = rank_of([part.clips for part in found[digests[:1]].values()])
        rows.append(_Scored(pipeline, found[digests], key_rank))
    return rows


def _scored(estimator: OnnxEstimator, material: _Material, label: str, console: Console) -> ClipScores:
    with counted(console, label, material.frames) as on_frame:

        def read(path: Path) -> NDArray[np.uint8]:
            on_frame()
            return material.read(path)

        # The cycle as stated, so that every pipeline costs what its name says.
        return evaluate_clips(estimator, material.clips, TrackerOptions(early_keys=False), read)


def _recorded(found: _Scored) -> dict[str, float]:
    """The scores that a manifest keeps; NaN where clips are too few to tell a standard error."""
    rank, key = found.rank, found.key
    return {
        SELECTION: round(rank.score, 2),
        SELECTION_ERROR: round(rank.error, 2),
        SELECTION_KEY: round(key.score, 2),
    }


def _chosen(scored: list[_Scored]) -> tuple[Taken[_Scored], ...]:
    """The pipelines that some budget takes, from cheap to dear; an error that nobody knows counts for nothing."""

    def error(found: _Scored) -> float:
        return 0.0 if math.isnan(found.rank.error) else found.rank.error

    return taken_within(scored, lambda f: f.cost, lambda f: f.rank.score, error)


def _document(options: SelectionOptions, material: dict[str, _Material], scored: list[_Scored]) -> dict[str, Any]:
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
                "name": found.pipeline.name,
                "macs_per_person_frame": round(found.cost),
                **{name: _numbers(part) for name, part in found.scores.items()},
                **{name: number(value) for name, value in _recorded(found).items()},
            }
            for found in scored
        ],
        "chosen": [taken.entry.pipeline.name for taken in _chosen(scored)],
        "compared": [_compared(cheap, dear) for cheap, dear in pairwise(sorted(scored, key=lambda f: f.cost))],
    }


def _compared(cheap: _Scored, dear: _Scored) -> dict[str, Any]:
    """A pipeline against the next cheaper one, see Comparison."""
    clips = compared(dear.clips, cheap.clips, CLIP_MARGIN)
    return {
        "name": dear.pipeline.name,
        "against": cheap.pipeline.name,
        "gain": number(clips.gain.score),
        "gain_error": number(clips.gain.error),
        "clips_better": clips.better,
        "clips_equal": clips.equal,
        "clips_worse": clips.worse,
    }


def _numbers(scores: ClipScores) -> dict[str, Any]:
    return {
        **{f"PCK@{limit:g}": number(value) for limit, value in zip(PCK_THRESHOLDS, scores.pck, strict=True)},
        "PCK@0.1_by_position": [number(value) for value in scores.pck_by_position],
    }


def _print(material: dict[str, _Material], scored: list[_Scored], options: SelectionOptions) -> None:
    printer = result_console()
    table = Table(box=None, pad_edge=False)
    columns = ("pipeline", "GFLOPs", *(f"PCK@0.1 {name}" for name in material), "selection", "±", "key alone")
    for column in columns:
        table.add_column(column, justify="left" if column == "pipeline" else "right", no_wrap=True)
    for found in scored:
        parts = (shown(found.scores[name].pck[1]) for name in material)
        ranks = (shown(found.rank.score), shown(found.rank.error), shown(found.key.score))
        table.add_row(found.pipeline.name, shown(found.cost / 1e9, 3), *parts, *ranks)
    printer.print(table)
    if options.quiet:
        return
    for name, part in material.items():
        printer.print(f"{name}: {len(part.clips)} clips, {part.frames} frames")
    chosen = _chosen(scored)
    for taken in chosen:
        printer.print(f"a budget from {least_gflops(taken.limit)} GFLOPs on takes {taken.entry.pipeline.name}")
    for cheap, dear in pairwise(taken.entry for taken in chosen):
        clips = compared(dear.clips, cheap.clips, CLIP_MARGIN)
        printer.print(
            f"{dear.pipeline.name} against {cheap.pipeline.name}, clip by clip: {clips.gain.score:+.1f} ± "
            f"{shown(clips.gain.error)} points; better on {clips.better}, within {CLIP_MARGIN:g} points on "
            f"{clips.equal}, worse on {clips.worse}"
        )
