"""What `vipnas eval coco` does: find and check annotations, run or read results, score, report."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vipnas_cli.cli.console import command_line, counted, message_console, naming, print_json, result_console
from vipnas_cli.cli.eval.data import WHERE, DataSet, find_data, report_problems
from vipnas_cli.cli.eval.options import EvalOptions
from vipnas_cli.cli.eval.plots import check_plots, plot_stills
from vipnas_cli.cli.eval.report import SCHEMA, cost_json, numbers, shown
from vipnas_cli.data.checks.coco import result_problems, truth_problems
from vipnas_cli.data.files.coco import people_only, person_ids, read_json, results_of_people
from vipnas_cli.data.files.detections import read_detections
from vipnas_cli.evaluation.coco import StillOptions, labelled_people, predict_people
from vipnas_cli.files import check_outputs, write_json
from vipnas_cli.inference.people import GivenBoxesSource, PeopleSource
from vipnas_cli.inference.tracker import people_source
from vipnas_cli.latency.model import Cost, Model, open_detector, open_model
from vipnas_cli.metrics.coco import KeypointScores, evaluate_coco, evaluation_package, precision_at_recall

NAME = "coco"
Truth = dict[str, Any]
Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """Results and their scores; `model` where a pipeline ran, and the seconds it took."""

    results: Results
    scores: KeypointScores
    model: Model | None = None
    wall_s: float = 0.0


def coco_job(options: EvalOptions) -> None:
    """Scores the key network of a pipeline, or the results of any tool, on labelled images."""
    console = message_console(options.quiet)
    printer = result_console()
    evaluation_package()  # better missed now than after the networks have run
    check_plots(options.plots, NAME)
    model = None if options.predictions else open_model(options.model)
    if options.out is not None:
        check_outputs([options.out], _inputs(options), tried=True)
    with ExitStack() as stack:
        data = find_data(NAME, options, console, stack)
        if options.chatty:
            _introduce(data, printer)
        truth: Truth = read_json(data.labels)
        report_problems(truth_problems(data.labels, truth, images=model is not None))
        persons = person_ids(truth["categories"], data.labels)
        truth = people_only(truth, data.labels)
        if model:
            outcome = _predicted(data, truth, (model, _source(truth, persons, model, options)), options, console)
        else:
            outcome = _read(truth, persons, options)
    if options.out is not None:
        write_json(options.out, outcome.results, indent=None)
    if options.plots is not None:
        plot_stills(options.plots, outcome.scores, precision_at_recall(truth, outcome.results))
    document = _document(data, truth, outcome, options)
    if options.json:
        print_json(document)
    else:
        _print(document, outcome, options, printer)


def _inputs(options: EvalOptions) -> list[Path]:
    """The files that a result may not replace."""
    named = [options.predictions, None if options.boxes in ("gt", "detector") else Path(options.boxes)]
    return [path for path in named if path is not None]


def _introduce(data: DataSet, printer: Console) -> None:
    if data.synthetic:
        printer.print(f"No --data given: scoring a {data.name}; its numbers compare pipelines with each other only.")
        for line in WHERE[NAME]:
            printer.print(line)
    else:
        printer.print(f"Labels: {data.labels}")


def _read(truth: Truth, persons: Collection[int], options: EvalOptions) -> Outcome:
    assert options.predictions is not None
    results = results_of_people(options.predictions, truth, persons)
    report_problems(result_problems(options.predictions, results, truth))
    return Outcome(results, evaluate_coco(truth, results))


def _predicted(
    data: DataSet, truth: Truth, who: tuple[Model, PeopleSource], options: EvalOptions, console: Console
) -> Outcome:
    model, source = who
    started = time.perf_counter()
    with counted(console, "images", len(truth["images"])) as on_image:
        settings = StillOptions(workers=options.resolved_workers)
        results = predict_people(model.estimator, truth, data.labels, source, settings, on_image)
    wall_s = time.perf_counter() - started
    return Outcome(results, evaluate_coco(truth, results), model, wall_s)


def _source(truth: Truth, persons: Collection[int], model: Model, options: EvalOptions) -> PeopleSource:
    if options.boxes == "gt":
        return GivenBoxesSource(labelled_people(truth))
    if options.boxes == "detector":
        return people_source(open_detector(options.model), model.estimator, ranked=True)
    images = {image["id"] for image in truth["images"]}
    return GivenBoxesSource(read_detections(Path(options.boxes), images, persons))


def _document(data: DataSet, truth: Truth, outcome: Outcome, options: EvalOptions) -> dict[str, Any]:
    model = outcome.model
    cost = model.cost(Counter({0: 1}), followed=1) if model else Cost(float("nan"), float("nan"))
    people = sum(1 for row in truth["annotations"] if row["num_keypoints"] and not row["iscrowd"])
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "dataset": data.name,
        "pipeline": model.name if model else None,
        "boxes": options.boxes if model else None,
        "metrics": numbers(dataclasses.asdict(outcome.scores)),
        "cost": cost_json(cost),
        "ablation": [],
        "synthetic": data.synthetic,
        "labels": {"images": len(truth["images"]), "people": people},
        "results": len(outcome.results),
    }
    if model:
        images = len(truth["images"])
        document["flip"] = options.flip
        document["speed"] = {
            "images": images,
            "images_per_second": round(images / max(outcome.wall_s, 1e-9), 1),
            "wall_s": round(outcome.wall_s, 2),
            "workers": options.resolved_workers,
        }
    else:
        document["predictions"] = str(options.predictions)
    return document


def _print(document: dict[str, Any], outcome: Outcome, options: EvalOptions, printer: Console) -> None:
    if outcome.model:
        flipped = ", flip test" if options.flip else ""
        cost = document["cost"]
        printer.print(
            f"key network of pipeline {outcome.model.name}: {cost['macs_per_person_frame'] / 1e9:.3f} GFLOPs, "
            f"{cost['ms_per_person_frame']:.2f} ms per person; boxes: {options.boxes}{flipped}"
        )
    labels = document["labels"]
    printer.print(
        f"{labels['images']} images, {labels['people']} people with keypoints, {document['results']} results\n"
    )
    table = Table(box=None, pad_edge=False)
    for name in document["metrics"]:
        table.add_column(name, justify="right")
    table.add_row(*(shown(value) for value in document["metrics"].values()))
    printer.print(table)
    if options.chatty and outcome.model:
        speed = document["speed"]
        printer.print(f"\n{speed['images_per_second']} images per second with {speed['workers']} workers.")
        printer.print(f"Next: {command_line('eval', 'posetrack', *naming(options.weights))}")
