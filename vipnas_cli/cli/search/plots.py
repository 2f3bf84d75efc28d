"""The picture of a search; matplotlib is loaded only when it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipnas_cli.cli.search.report import SearchResult
from vipnas_cli.files import whole_file
from vipnas_cli.search.selection import front_of
from vipnas_cli.spec import S_VIPNET_MOBILENETV3, S_VIPNET_RES50, Plan
from vipnas_cli.spec.cost import plan_cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    "evolution": ("#4477aa", "o"),
    "random": ("#bbbbbb", "s"),
    "uniform": ("#ee9944", "^"),
    "preset": ("#aa3377", "D"),
}
PAPER = {"s-vipnet-mobilenetv3": S_VIPNET_MOBILENETV3, "s-vipnet-res50": S_VIPNET_RES50}
# Costs of the paper's networks are marked as long as they do not squeeze everything else.
PAPER_REACH = 2.0


def draw_search(path: Path, result: SearchResult) -> bool:
    """Draws all candidates and the fronts of all methods; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    # No pyplot: it would look for a screen.
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in reversed(list(result.outcome.found)):
        _method(axes, name, result)
    for other in result.compared:
        cost = result.amount(other.cost(result.budget.unit))
        axes.plot([cost], [other.score.mean], "*", markersize=12, color="black")
        axes.annotate(
            f"{other.name}, every frame", (cost, other.score.mean), (-6, -12), textcoords="offset points", ha="right"
        )
    _limits(axes, result)
    clips = "synthetic clips" if result.synthetic else f"{result.options.clips} clips"
    frames = result.options.cycle if len(result.winner.schedule) > 1 else "1"
    axes.set(
        title=f"{result.options.mode} search, cycle of {frames}",
        xlabel=f"{result.unit} per person and frame",
        ylabel=f"PCK@0.1 on {clips}, mean over the cycle",
    )
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.25)
    options: dict[str, Any] = {"dpi": 120, "format": "png", "metadata": {"Software": None}}
    with whole_file(path) as file, file.bytes() as stream:
        figure.savefig(stream, **options)
    return True


def _method(axes: Axes, name: str, result: SearchResult) -> None:
    """All candidates of a method as dots, its front as a stair."""
    unit, found = result.budget.unit, result.outcome.found[name]
    colour, marker = STYLES[name]
    costs = [result.amount(e.cost(unit)) for e in found]
    alone = name == "preset"
    axes.scatter(
        costs,
        [e.score.mean for e in found],
        s=36 if alone else 10,
        color=colour,
        marker=marker,
        alpha=1 if alone else 0.35,
        label="presets" if alone else None,
    )
    if alone or not found:
        return
    front = front_of(found, unit)
    x, y = [result.amount(e.cost(unit)) for e in front], [e.score.mean for e in front]
    ends = ([*x, result.amount(result.budget.value)], [*y, y[-1]])
    axes.step(*ends, where="post", color=colour, label=f"{name}, {len(found)} candidates")
    axes.plot(x, y, marker, color=colour, markersize=5)


def _limits(axes: Axes, result: SearchResult) -> None:
    """The budget, and what the paper's networks cost on every frame, as lines."""
    budget = result.amount(result.budget.value)
    axes.axvline(budget, color="black", linewidth=1, linestyle="--", label="budget")
    if result.budget.unit != "macs":
        return
    for name, arch in PAPER.items():
        cost = result.amount(plan_cost(Plan(arch)).macs)
        if cost <= PAPER_REACH * budget:
            axes.axvline(cost, color="#aa3377", linewidth=1, linestyle=":", label=f"cost of {name}")
