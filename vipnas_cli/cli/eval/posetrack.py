"""What `vipnas eval posetrack` does: find and check labels, run or read predictions, score, report."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from vipnas_cli.cli.console import command_line, counted, message_console, naming, print_json, result_console
from vipnas_cli.cli.eval.data import WHERE, DataSet, find_data, report_problems
from vipnas_cli.cli.eval.options import EvalOptions
from vipnas_cli.cli.eval.plots import check_plots, plot_sequences
from vipnas_cli.cli.eval.report import (
    SCHEMA,
    ablation_json,
    cost_json,
    joints_json,
    numbers,
    print_ablation,
    print_scores,
    print_sequences,
    sequence_metrics,
    sequences_json,
)
from vipnas_cli.data.checks.posetrack import label_release, prediction_problems, truth_problems
from vipnas_cli.data.checks.problems import Problem
from vipnas_cli.data.files.detections import read_detections
from vipnas_cli.data.files.posetrack import LabelledSequence, read_predictions, read_truth, write_predictions
from vipnas_cli.errors import OutputError
from vipnas_cli.evaluation.ablation import Variant, ablation, runs_needed
from vipnas_cli.evaluation.posetrack import (
    RunSettings,
    Sources,
    boxes_by_image,
    label_source,
    truth_as_prediction,
    without_unsure,
)
from vipnas_cli.evaluation.scores import SequenceScores, score_sequences
from vipnas_cli.files import make_folder
from vipnas_cli.inference.people import GivenBoxesSource
from vipnas_cli.inference.tracker import TrackerOptions, people_source
from vipnas_cli.latency.choice import default_budget, stated_budget
from vipnas_cli.latency.model import CHECKPOINT, Cost, Model, open_detector, open_model
from vipnas_cli.metrics import CLEAR_MOT, POSEVAL, PredictedSequence, pose_scores

NAME = "posetrack"
MOT_RULES = {"poseval": POSEVAL, "clear-mot": CLEAR_MOT}


@dataclass(frozen=True)
class Outcome:
    """Predictions and their scores; `model` and `variants` where a pipeline ran, and the seconds it took."""

    predicted: tuple[PredictedSequence, ...]
    scores: SequenceScores
    model: Model | None = None
    variants: tuple[Variant, ...] = ()
    wall_s: float = 0.0


def posetrack_job(options: EvalOptions) -> None:
    """Scores a pipeline, or the predictions of any tool, on labelled sequences."""
    console = message_console(options.quiet)
    results = result_console()
    check_plots(options.plots, NAME)
    model = None if options.predictions else open_model(options.model)
    with ExitStack() as stack:
        data = find_data(NAME, options, console, stack)
        if options.chatty:
            _introduce(data, results)
        sequences = _checked(data, options)
        if options.chatty:
            results.print(_labels_line(sequences, options))
        if options.out is not None:
            _check_out(options.out, sequences)
        outcome = _predicted(data, sequences, model, options, console) if model else _read(sequences, options)
    document = _document(data, sequences, outcome, options)
    if options.out is not None:
        write_predictions(options.out, outcome.predicted, sequences)
    if options.plots is not None:
        plot_sequences(options.plots, [s.truth for s in sequences], outcome.predicted, outcome.scores, outcome.variants)
    if options.json:
        print_json(document)
    else:
        _print(document, outcome, options, results)


def _introduce(data: DataSet, results: Console) -> None:
    if data.synthetic:
        results.print(f"No --data given: scoring a {data.name}; its numbers compare pipelines with each other only.")
        for line in WHERE[NAME]:
            results.print(line)
    else:
        results.print(f"Labels: {data.labels}")


def _checked(data: DataSet, options: EvalOptions) -> tuple[LabelledSequence, ...]:
    """The labels, after a look at all that could be wrong with them and with the predictions."""
    pictures = data.root if options.predictions is None else None
    report_problems(truth_problems(data.labels, pictures))
    if options.predictions is not None:
        report_problems(prediction_problems(options.predictions, data.labels))
    sequences = read_truth(data.labels)
    report_problems(_self_test(data, sequences))
    return sequences


def _self_test(data: DataSet, sequences: tuple[LabelledSequence, ...]) -> list[Problem]:
    """Labels scored as predictions must give 100 for every joint that is labelled at all."""
    truth = [sequence.truth for sequence in sequences]
    scores = pose_scores(truth, [truth_as_prediction(labels) for labels in truth]).average_precision
    labelled = sum(labels.labelled.sum(0) for labels in truth)
    worst = min((ap for ap, count in zip(scores.joints, labelled, strict=True) if count), default=100.0)
    if worst >= 100 - 1e-9:
        return []
    what = f"the labels scored as predictions give {worst:.2f} for a joint, not 100: do people lie on one another?"
    return [Problem(data.labels, "", what, False)]


def _labels_line(sequences: tuple[LabelledSequence, ...], options: EvalOptions) -> str:
    people = sum(len(sequence.truth.frames) for sequence in sequences)
    frames = sum(sequence.truth.frame_count for sequence in sequences)
    release = label_release(len(sequences), options.split)
    return f"{len(sequences)} sequences, {frames} frames, {people} labelled people; label version: {release}\n"


def _check_out(folder: Path, sequences: tuple[LabelledSequence, ...]) -> None:
    """Makes the folder; OutputError before any work if it cannot be made, or holds results already."""
    for sequence in sequences:
        path = folder / f"{sequence.truth.name}.json"
        if path.exists():
            raise OutputError(f"{path} exists already", "choose another folder with --out")
    make_folder(folder)


def _read(sequences: tuple[LabelledSequence, ...], options: EvalOptions) -> Outcome:
    """The predictions of another tool."""
    assert options.predictions is not None
    read = read_predictions(options.predictions, sequences)
    predicted = tuple(without_unsure(guesses, options.joint_score) for guesses in read)
    truth = [sequence.truth for sequence in sequences]
    return Outcome(predicted, score_sequences(truth, predicted, MOT_RULES[options.mot]))


def _predicted(
    data: DataSet, sequences: tuple[LabelledSequence, ...], model: Model, options: EvalOptions, console: Console
) -> Outcome:
    """The predictions of a pipeline, and those of its ablation."""
    settings = RunSettings(
        data.root,
        _sources(sequences, model, options),
        TrackerOptions(early_keys=options.early_keys),
        joint_score=options.joint_score,
        workers=min(options.resolved_workers, len(sequences)),
    )
    frames = sum(sequence.truth.frame_count for sequence in sequences) * runs_needed(model.estimator.schedule)
    started = time.perf_counter()
    with counted(console, "frames", frames) as on_frame:
        variants = ablation(model.estimator, sequences, settings, MOT_RULES[options.mot], on_frame)
    propagation = variants[1]
    wall_s = time.perf_counter() - started
    return Outcome(propagation.run.predicted, propagation.scores, model, variants, wall_s)


def _sources(sequences: tuple[LabelledSequence, ...], model: Model, options: EvalOptions) -> Sources:
    """Where the boxes of a sequence's key frames come from."""
    if options.boxes == "gt":
        return label_source
    if options.boxes == "detector":
        detector = people_source(open_detector(options.model), model.estimator)
        return lambda _sequence: detector
    boxes = read_detections(Path(options.boxes), {image for sequence in sequences for image in sequence.image_ids})
    return lambda sequence: GivenBoxesSource(boxes_by_image(boxes, sequence))


def _document(
    data: DataSet, sequences: tuple[LabelledSequence, ...], outcome: Outcome, options: EvalOptions
) -> dict[str, Any]:
    truth = [sequence.truth for sequence in sequences]
    each = [
        score_sequences([labels], [guesses], MOT_RULES[options.mot])
        for labels, guesses in zip(truth, outcome.predicted, strict=True)
    ]
    model, variants = outcome.model, outcome.variants
    run = variants[1].run if variants else None
    cost = model.cost(run.crops, run.followed) if model and run else Cost(float("nan"), float("nan"))
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "dataset": data.name,
        "pipeline": model.name if model else None,
        "boxes": options.boxes if model else None,
        "metrics": numbers(sequence_metrics(outcome.scores)),
        "cost": cost_json(cost),
        "ablation": ablation_json(variants, model) if model else [],
        "synthetic": data.synthetic,
        "labels": {
            "sequences": len(sequences),
            "frames": sum(labels.frame_count for labels in truth),
            "people": sum(len(labels.frames) for labels in truth),
            "version": label_release(len(sequences), options.split),
        },
        "mot_rules": options.mot,
        "joint_score": options.joint_score,
        "joints": joints_json(outcome.scores),
        "sequences": sequences_json(truth, outcome.predicted, each),
    }
    if model:
        document["flip"] = options.flip
        document["early_keys"] = options.early_keys
        excess = _over_budget(options, cost)
        document["over_budget"] = None if excess is None else round(excess, 4)
        document["speed"] = _speed(outcome, options)
    else:
        document["predictions"] = str(options.predictions)
    return document


def _over_budget(options: EvalOptions, cost: Cost) -> float | None:
    """The share by which what ran is above the budget in FLOPs that chose the pipeline, 0 within it."""
    budget = stated_budget(options.budget, options.weights)
    return budget.excess(cost.macs_per_person_frame) if budget else None


def _speed(outcome: Outcome, options: EvalOptions) -> dict[str, Any]:
    """How quickly the variants ran, each over all frames."""
    runs = {id(variant.run): variant.run for variant in outcome.variants}.values()
    frames, seconds = sum(run.frames for run in runs), sum(run.wall_s for run in runs)
    return {
        "frames": frames,
        "frames_per_second": round(frames / max(seconds, 1e-9), 1),
        "wall_s": round(outcome.wall_s, 2),
        "workers": min(options.resolved_workers, len(outcome.predicted)),
    }


def _print(document: dict[str, Any], outcome: Outcome, options: EvalOptions, results: Console) -> None:
    model = outcome.model
    if model:
        flipped = ", flip test" if options.flip else ""
        early = "" if options.early_keys else ", no early key frames"
        results.print(f"pipeline {model.name}, boxes: {options.boxes}{flipped}{early}")
    print_scores(outcome.scores, results)
    if model:
        print_ablation(outcome.variants, model, results)
        if document["over_budget"]:
            on_top = "early key frames, cycles cut short by the end of a clip and people not believed came on top"
            why = "the flip test doubles the cost" if options.flip else on_top
            results.print(f"{100 * document['over_budget']:.0f} % above the budget: {why}.\n")
    print_sequences(document["sequences"], results)
    if options.chatty and model:
        speed = document["speed"]
        results.print(f"{speed['frames_per_second']} frames per second with {speed['workers']} workers.")
        results.print(f"Next: {_next(options)}")


def _next(options: EvalOptions) -> str:
    """The run of the networks that were scored; a checkpoint has to be exported before."""
    if options.weights is not None and options.weights.suffix == CHECKPOINT:
        return command_line("export", options.weights, "--name", "NAME", "-o", "pipelines")
    budget = options.budget or default_budget(options.weights)
    return command_line("run", "CLIP.mp4", *naming(options.weights), "--budget", budget)
