"""`vipnas eval`: its commands; the options are in options.py, the work of each is in a module of its name."""

from __future__ import annotations

import typer

from vipnas_cli.cli.command import command
from vipnas_cli.cli.eval.options import CocoOptions, EvalOptions, PeopleOptions, SelectionOptions, SteadinessOptions

eval_app = typer.Typer(no_args_is_help=True, help="Score a pipeline, or the results of any tool, by public protocols.")


@eval_app.command()
@command
def posetrack(options: EvalOptions) -> None:
    """AP, MOTA and PCK on whole sequences, by the rules of poseval, with what propagation and fusion are worth.

    Example: vipnas eval posetrack --data DIR --budget 0.5GFLOPs
    """
    from vipnas_cli.cli.eval.posetrack import posetrack_job

    posetrack_job(options)


@eval_app.command()
@command
def coco(options: CocoOptions) -> None:
    """Keypoint AP and AR on still images, by the rules of COCO; the key network of the pipeline runs.

    Example: vipnas eval coco --data DIR/annotations/person_keypoints_val2017.json
    """
    from vipnas_cli.cli.eval.coco import coco_job

    coco_job(options)


@eval_app.command()
@command
def selection(options: SelectionOptions) -> None:
    """PCK@0.1 of whole pipelines, to choose among them: on walks over labelled stills, on clips no training saw.

    Example: vipnas eval selection --stills person_keypoints_val2017.json --clips DIR --held-back 0.1
    """
    from vipnas_cli.cli.eval.selection import selection_job

    selection_job(options)


@eval_app.command()
@command
def steadiness(options: SteadinessOptions) -> None:
    """How steady poses are, without labels: jumps and exchanged sides per 100 steps, median acceleration.

    A step is a person in two consecutive frames; it jumps where a sure keypoint moves by more than 10 % of the person's
    height. Real motion counts too: compare settings on the same clip.

    Example: vipnas eval steadiness clip.mp4 --budget 0.2GFLOPs
    """
    from vipnas_cli.cli.eval.steadiness import steadiness_job

    steadiness_job(options)


@eval_app.command()
@command
def people(options: PeopleOptions) -> None:
    """Average precision, precision and recall of the person detector at IoU 0.5.

    Example: vipnas eval people --data DIR/annotations/person_keypoints_val2017.json --min-height 0.1
    """
    from vipnas_cli.cli.eval.people import people_job

    people_job(options.evaluation, options)
