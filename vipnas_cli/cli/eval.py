"""`vipnas eval`: the options of its commands; the work of each is in its own eval_*_job."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vipnas_cli.cli.run import Provider

eval_app = typer.Typer(no_args_is_help=True, help="Score a pipeline, or the results of any tool, by public protocols.")


class Mot(StrEnum):
    """Rules of the tracking scores."""

    poseval = "poseval"
    clear_mot = "clear-mot"


Data = Annotated[
    Path | None,
    typer.Option(
        envvar="VIPNAS_DATA",
        metavar="DIR|FILE",
        help="A folder with images/ and annotations/, or its annotation file. Without it (and without `data` in the "
        "configuration file) a small synthetic set is made on the fly.",
        rich_help_panel="Data",
        show_default=False,
    ),
]
Split = Annotated[str, typer.Option(help="The folder of labels in annotations/.", rich_help_panel="Data")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|DIR",
        help="Score these results instead of running a pipeline; no images are needed.",
        rich_help_panel="Data",
    ),
]
Boxes = Annotated[
    str,
    typer.Option(
        metavar="gt|detector|FILE",
        help="Person boxes: those of the labels, of the own detector, or of a .json list of image_id, bbox and score.",
        rich_help_panel="Data",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE",
        help="A folder of pipelines, an exported .onnx network, or a .safetensors checkpoint.",
        rich_help_panel="Model",
    ),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="0.5GFLOPs|12ms",
        help="Mean cost per person and frame over a cycle. FLOPs are multiply-accumulates. Default: 0.2GFLOPs.",
        rich_help_panel="Model",
    ),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the mirrored picture, at twice the cost.", rich_help_panel="Model")
]
EarlyKeys = Annotated[
    bool,
    typer.Option(
        "--early-keys/--no-early-keys",
        help="Look anew before a cycle ends where a pose gets lost; without, the cost is exactly that of the cycle.",
        rich_help_panel="Model",
    ),
]
JointScore = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        help="Leave out joints below this score (0–1): AP falls a little, MOTA rises. Default: all joints count.",
        rich_help_panel="Scores",
    ),
]
MotRules = Annotated[
    Mot,
    typer.Option(
        help="Rules of MOTA and MOTP. poseval skips the last frame of a sequence, and takes a frame where labels "
        "or predictions are missing for one miss and one false positive; clear-mot does neither.",
        rich_help_panel="Scores",
    ),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Write PoseTrack18 results here.", rich_help_panel="Output"),
]
OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write COCO results here.", rich_help_panel="Output")
]
Plots = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Draw the scores into this folder.", rich_help_panel="Output")
]
Workers = Annotated[
    int, typer.Option(min=0, help="How many sequences or images run at once; 0 chooses.", rich_help_panel="Speed")
]
Threads = Annotated[
    int,
    typer.Option(
        min=0, help="Threads of the networks when their time is measured; 0 chooses.", rich_help_panel="Speed"
    ),
]
Device = Annotated[
    Provider, typer.Option(help="What the networks run on; auto: CUDA if there, else the CPU.", rich_help_panel="Speed")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel="Output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The scores only.", rich_help_panel="Output")]


@eval_app.command()
def posetrack(
    data: Data = None,
    split: Split = "val",
    predictions: Predictions = None,
    boxes: Boxes = "gt",
    weights: Weights = None,
    budget: BudgetText = None,
    flip: Flip = False,
    early_keys: EarlyKeys = True,
    joint_score: JointScore = None,
    mot: MotRules = Mot.poseval,
    out: OutFolder = None,
    plots: Plots = None,
    workers: Workers = 0,
    threads: Threads = 0,
    provider: Device = Provider.auto,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """AP, MOTA and PCK on whole sequences, by the rules of poseval, with what propagation and fusion are worth.

    Example: vipnas eval posetrack --data DIR --budget 0.5GFLOPs
    """
    from vipnas_cli.cli.eval_options import EvalOptions
    from vipnas_cli.cli.eval_posetrack_job import posetrack_job

    posetrack_job(
        EvalOptions(
            data=data,
            split=split,
            predictions=predictions,
            boxes=boxes,
            weights=weights,
            budget=budget,
            flip=flip,
            early_keys=early_keys,
            joint_score=joint_score,
            mot=mot.value,
            out=out,
            plots=plots,
            workers=workers,
            threads=threads,
            provider=provider.value,
            json=json_,
            quiet=quiet,
        )
    )


@eval_app.command()
def coco(
    data: Data = None,
    predictions: Predictions = None,
    boxes: Boxes = "gt",
    weights: Weights = None,
    budget: BudgetText = None,
    flip: Flip = False,
    out: OutFile = None,
    plots: Plots = None,
    workers: Workers = 0,
    threads: Threads = 0,
    provider: Device = Provider.auto,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keypoint AP and AR on still images, by the rules of COCO; the key network of the pipeline runs.

    Example: vipnas eval coco --data DIR/annotations/person_keypoints_val2017.json
    """
    from vipnas_cli.cli.eval_coco_job import coco_job
    from vipnas_cli.cli.eval_options import EvalOptions

    coco_job(
        EvalOptions(
            data=data,
            predictions=predictions,
            boxes=boxes,
            weights=weights,
            budget=budget,
            flip=flip,
            out=out,
            plots=plots,
            workers=workers,
            threads=threads,
            provider=provider.value,
            json=json_,
            quiet=quiet,
        )
    )


@eval_app.command()
def selection(
    stills: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A COCO keypoint file whose people the camera pans over; can be given again.",
            rich_help_panel="Data",
        ),
    ] = None,
    people: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="How many people of each file, or of each --stills in turn. Default: 100.",
            rich_help_panel="Data",
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each walk.", rich_help_panel="Data")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Draws the walks and the boxes.", rich_help_panel="Data")] = 0,
    clips: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Labelled clips in PoseTrack18's layout.", rich_help_panel="Data"),
    ] = None,
    held_back: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of the train clips that no training saw.", rich_help_panel="Data"),
    ] = 0.1,
    weights: Weights = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Score this one; can be given again. Default: all.", rich_help_panel="Model"),
    ] = None,
    threads: Threads = 0,
    provider: Device = Provider.auto,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """PCK@0.1 of whole pipelines, to choose among them: on walks over labelled stills, on clips no training saw.

    Example: vipnas eval selection --stills person_keypoints_val2017.json --clips DIR --held-back 0.1
    """
    from vipnas_cli.cli.eval_selection_job import SelectionOptions, selection_job

    selection_job(
        SelectionOptions(
            stills=tuple(stills or ()),
            people=tuple(people or (100,)),
            frames=frames,
            seed=seed,
            clips=clips,
            held_back=held_back,
            weights=weights,
            pipelines=tuple(pipeline or ()),
            threads=threads,
            provider=provider.value,
            json=json_,
            quiet=quiet,
        )
    )


@eval_app.command()
def people(
    data: Data = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="A folder that holds a detector, or a .safetensors checkpoint. Default: the bundled one.",
            rich_help_panel="Model",
        ),
    ] = None,
    min_height: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Ask for persons taller than this share of the image.", rich_help_panel="Scores"
        ),
    ] = 0.15,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which a detection counts for precision and recall. Default: the detector's own.",
            rich_help_panel="Scores",
        ),
    ] = None,
    detector_size: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            metavar="PIXELS",
            help="Longer side of the picture that the detector sees, as in `vipnas run`. Default: the detector's own.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Look again at each box, as `run` does.", rich_help_panel="Model"),
    ] = True,
    verifier: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .safetensors checkpoint that verifies the boxes. Default: what belongs to the detector.",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    distinct: Annotated[
        bool,
        typer.Option(
            "--distinct/--no-distinct",
            help="Doubt boxes that show the pose of another one, as `run` does.",
            rich_help_panel="Model",
        ),
    ] = True,
    threads: Threads = 0,
    provider: Device = Provider.auto,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Average precision, precision and recall of the person detector at IoU 0.5.

    Example: vipnas eval people --data DIR/annotations/person_keypoints_val2017.json --min-height 0.1
    """
    from vipnas_cli.cli.eval_options import EvalOptions
    from vipnas_cli.cli.eval_people_job import PeopleOptions, people_job

    options = EvalOptions(data=data, weights=weights, threads=threads, provider=provider.value, json=json_, quiet=quiet)
    people_job(options, PeopleOptions(min_height, threshold, detector_size, verify, verifier, distinct))
