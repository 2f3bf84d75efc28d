"""Scores as JSON values and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from vipnas_cli.evaluation.ablation import KEY_ONLY, Variant
from vipnas_cli.evaluation.scores import SequenceScores
from vipnas_cli.latency.model import Cost, Model
from vipnas_cli.metrics import PCK_THRESHOLDS, JointScores, PredictedSequence, TruthSequence
from vipnas_cli.metrics.posetrack import GROUPS
from vipnas_cli.pose import POSETRACK15

SCHEMA = 1
COLUMNS = (*GROUPS, "Total")


def number(value: float) -> float | None:
    """A value for JSON, which knows no NaN."""
    return float(value) if math.isfinite(value) else None


def shown(value: float | None, digits: int = 1) -> str:
    """A value for people; undefined is a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def sequence_metrics(scores: SequenceScores) -> dict[str, float]:
    """All numbers of the JSON document's `metrics`, in percent: AP by joint group, tracking totals, PCK."""
    pose, tracking = scores.pose, scores.tracking
    return {
        **pose.average_precision.groups,
        "MOTA": tracking.mota.total,
        "MOTP": tracking.motp.total,
        "precision": pose.precision.total,
        "recall": pose.recall.total,
        "MOT_precision": tracking.precision.total,
        "MOT_recall": tracking.recall.total,
        **{f"PCK@{threshold:g}": value for threshold, value in zip(PCK_THRESHOLDS, scores.pck, strict=True)},
    }


def joint_tables(scores: SequenceScores) -> dict[str, JointScores]:
    """The scores that exist per joint, by the names that poseval gives them."""
    return {
        "AP": scores.pose.average_precision,
        "precision": scores.pose.precision,
        "recall": scores.pose.recall,
        "MOTA": scores.tracking.mota,
        "MOTP": scores.tracking.motp,
        "MOT_precision": scores.tracking.precision,
        "MOT_recall": scores.tracking.recall,
    }


def numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """A table of values for JSON."""
    return {name: number(value) for name, value in values.items()}


def joints_json(scores: SequenceScores) -> dict[str, dict[str, float | None]]:
    """Each score by joint, and its total."""
    return {
        name: numbers({**dict(zip(POSETRACK15.keypoints, table.joints, strict=True)), "total": table.total})
        for name, table in joint_tables(scores).items()
    }


def cost_json(cost: Cost) -> dict[str, float | None]:
    """The `cost` of the JSON document."""
    return {
        "macs_per_person_frame": number(cost.macs_per_person_frame),
        "ms_per_person_frame": number(cost.ms_per_person_frame),
    }


def ablation_json(variants: Sequence[Variant], model: Model) -> list[dict[str, Any]]:
    """The `ablation` of the JSON document."""
    return [
        {
            "variant": variant.name,
            "cost": cost_json(model.cost(variant.run.crops, variant.run.followed)),
            "metrics": numbers(sequence_metrics(variant.scores)),
            "by_position": [
                {
                    "position": row.position,
                    "frames": row.frames,
                    "AP": number(row.average_precision),
                    "PCK@0.1": number(row.pck),
                }
                for row in variant.by_position
            ],
        }
        for variant in variants
    ]


def sequences_json(
    truth: Sequence[TruthSequence], predicted: Sequence[PredictedSequence], scores: Sequence[SequenceScores]
) -> list[dict[str, Any]]:
    """One row for each sequence."""
    return [
        {
            "sequence": labels.name,
            "frames": labels.frame_count,
            "labelled_people": len(labels.frames),
            "predicted_people": len(guesses.frames),
            "AP": number(one.pose.average_precision.total),
            "MOTA": number(one.tracking.mota.total),
            "PCK@0.1": number(one.pck[1]),
        }
        for labels, guesses, one in zip(truth, predicted, scores, strict=True)
    ]


def print_scores(scores: SequenceScores, console: Console) -> None:
    """The table of poseval, and PCK."""
    table = Table(box=None, pad_edge=False)
    table.add_column("percent")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, joints in joint_tables(scores).items():
        table.add_row(name, *(shown(joints.groups[column]) for column in COLUMNS))
    console.print(table)
    parts = [f"@{threshold:g} {shown(value)}" for threshold, value in zip(PCK_THRESHOLDS, scores.pck, strict=True)]
    console.print(f"PCK of the 12 limb joints: {', '.join(parts)}\n")


def print_ablation(variants: Sequence[Variant], model: Model, console: Console) -> None:
    """Cost and accuracy of the three variants; AP and PCK@0.1 by position in the cycle."""
    table = Table(
        box=None, pad_edge=False, title="What propagation is worth (per position: AP / PCK@0.1)", title_justify="left"
    )
    for column in ("", "GFLOPs", "ms", "AP", "MOTA", "PCK@0.1"):
        table.add_column(column, justify="right" if column else "left")
    for row in variants[0].by_position:
        table.add_column(f"position {row.position}" if row.position else "key frame", justify="right")
    for variant in variants:
        cost = model.cost(variant.run.crops, variant.run.followed)
        table.add_row(
            variant.name,
            shown(cost.macs_per_person_frame / 1e9, 3),
            shown(cost.ms_per_person_frame, 2),
            shown(variant.scores.pose.average_precision.total),
            shown(variant.scores.tracking.mota.total),
            shown(variant.scores.pck[1]),
            *(f"{shown(row.average_precision)} / {shown(row.pck)}" for row in variant.by_position),
        )
    console.print(table)
    console.print(f"GFLOPs and ms per person and frame; {KEY_ONLY}: scored at the same positions.\n")


def print_sequences(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One row for each sequence."""
    table = Table(box=None, pad_edge=False)
    for column in ("sequence", "frames", "AP", "MOTA", "PCK@0.1"):
        table.add_column(column, justify="left" if column == "sequence" else "right", no_wrap=True)
    for row in rows:
        values = (shown(row[key]) for key in ("AP", "MOTA", "PCK@0.1"))
        table.add_row(row["sequence"], str(row["frames"]), *values)
    console.print(table)
    console.print("")
