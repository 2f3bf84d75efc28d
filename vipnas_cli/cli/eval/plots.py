"""Pictures of scores; matplotlib is loaded only when they are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.errors import OutputError, VipnasError
from vipnas_cli.evaluation.ablation import Variant
from vipnas_cli.evaluation.scores import SequenceScores
from vipnas_cli.files import check_outputs, whole_file
from vipnas_cli.metrics import PredictedSequence, TruthSequence
from vipnas_cli.metrics.coco import KeypointScores
from vipnas_cli.metrics.posetrack import GROUPS, PrecisionRecall, precision_recall
from vipnas_cli.pose import POSETRACK15

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKS_SHOWN = {0: "OKS 0.5", 5: "OKS 0.75"}


def check_plots(folder: Path | None, name: str) -> None:
    """Before any work: VipnasError without matplotlib, OutputError if the picture exists or has no place."""
    if folder is None:
        return
    _figure(1)
    check_outputs([folder / f"{name}.png"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", "choose another folder with --plots") from error


def plot_sequences(
    folder: Path,
    truth: Sequence[TruthSequence],
    predicted: Sequence[PredictedSequence],
    scores: SequenceScores,
    variants: Sequence[Variant],
) -> Path:
    """Draws bars per joint, accuracy by position in the cycle, and precision over recall; returns the picture."""
    figure, (bars, cycle, curves) = _figure(3)
    groups = scores.pose.average_precision.groups
    _bars(bars, list(groups), list(groups.values()), "average precision")
    _cycle(cycle, variants)
    _curves(curves, precision_recall(truth, predicted))
    return _saved(figure, folder / "posetrack.png")


def plot_stills(folder: Path, scores: KeypointScores, precision: NDArray[np.float64]) -> Path:
    """Draws the ten numbers as bars and precision (10, 101) over recall; returns the picture."""
    figure, (bars, curves) = _figure(2)
    values = dataclasses.asdict(scores)
    _bars(bars, list(values), list(values.values()), "COCO keypoint scores")
    recall = np.linspace(0, 1, precision.shape[1])
    for row, label in OKS_SHOWN.items():
        curves.plot(recall, precision[row], label=label)
    curves.plot(recall, precision.mean(0), color="black", label="mean, 0.5 … 0.95")
    _finish_curves(curves)
    return _saved(figure, folder / "coco.png")


def _figure(panels: int) -> tuple[Figure, Sequence[Axes]]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VipnasError(
            "pictures need the package matplotlib, which is not installed", "pip install 'vipnas[eval]'"
        ) from error
    # No pyplot: it would look for a screen.
    figure = Figure(figsize=(5 * panels, 4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], title: str) -> None:
    heights = np.nan_to_num(np.asarray(values, np.float64))
    drawn = axes.bar(names, heights, color="#4477aa")
    axes.bar_label(drawn, [f"{value:.0f}" if np.isfinite(value) else "–" for value in values], fontsize=8)
    axes.set(title=title, ylabel="percent", ylim=(0, 105))
    axes.tick_params(axis="x", labelsize=8)


def _cycle(axes: Axes, variants: Sequence[Variant]) -> None:
    axes.set(title="PCK@0.1 by position in the cycle", xlabel="frames after the key frame", ylabel="percent")
    for variant, marker in zip(variants, "os^", strict=False):
        positions = [row.position for row in variant.by_position]
        axes.plot(positions, [row.pck for row in variant.by_position], marker=marker, label=variant.name)
        axes.set_xticks(positions)
    if variants:
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, "no pipeline ran", transform=axes.transAxes, ha="center")


def _curves(axes: Axes, joints: Sequence[PrecisionRecall]) -> None:
    for group, names in GROUPS.items():
        # One line per group: its joints' precisions on common recalls, averaged.
        common = np.linspace(0, 1, 101)
        rows = [_at(joints[POSETRACK15.index(name)], common) for name in names]
        axes.plot(common, np.mean(rows, 0), label=group, linewidth=1)
    _finish_curves(axes)


def _at(curve: PrecisionRecall, recalls: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best precision at each recall or beyond, 0 where the recall is not reached."""
    envelope = np.maximum.accumulate(curve.precision[::-1])[::-1]
    places = np.searchsorted(curve.recall, recalls)
    found: NDArray[np.float64] = np.append(envelope, 0.0)[places]
    return found


def _finish_curves(axes: Axes) -> None:
    axes.set(title="precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.05))
    axes.legend(fontsize=8)


def _saved(figure: Figure, path: Path) -> Path:
    options: dict[str, Any] = {"dpi": 120, "format": "png", "metadata": {"Software": None}}
    with whole_file(path) as file, file.bytes() as stream:
        figure.savefig(stream, **options)
    return path
