"""What a training tells while it runs: a bar or lines on stderr, a log of JSON lines, TensorBoard, a picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from rich.console import Console

from vipnas_cli.cli.console import progress_bar
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind
from vipnas_cli.errors import DataError, VipnasError
from vipnas_cli.files import shown, whole_file
from vipnas_cli.locks import LineLog

if TYPE_CHECKING:
    from vipnas_cli.training.loop import StepEvent

LOG_EVERY = 20
# How much of the mean loss each step keeps of the one before.
MEMORY = 0.98

LOGS = DocumentKind("a log of a training", DataError, "", LARGEST_LABELS)
Teller = Callable[["StepEvent"], None]


class LogRow(TypedDict):
    """A line of a training's log, as far as it is drawn."""

    step: int
    mean_loss: float
    score: NotRequired[float]


@contextmanager
def reporting(console: Console, total: int, log: Path | None, again: bool, board: Path | None) -> Iterator[Teller]:
    """A function to call after each step; `again` goes on with a log that exists, and with its running mean."""
    with ExitStack() as stack:
        writer = _board(board, stack) if board else None
        show = stack.enter_context(_shown(console, total))
        before = _logged(log) if log is not None and again else []
        lines = None if log is None else stack.enter_context(LineLog(log, anew=not again))
        mean: float | None = None

        def tell(event: StepEvent) -> None:
            nonlocal mean
            if mean is None:
                # What a crash logged after the last save is trained anew and does not count.
                earlier = (row["mean_loss"] for row in reversed(before) if row["step"] < event.step)
                mean = next(earlier, event.loss)
            mean = MEMORY * mean + (1 - MEMORY) * event.loss
            due = event.step % LOG_EVERY == 0 or event.score is not None or event.step == total
            show(event, mean, due)
            if not due:
                return
            row = {name: value for name, value in asdict(event).items() if value is not None}
            if lines is not None:
                lines.append(json.dumps({**row, "mean_loss": round(mean, 5)}))
            if writer is not None:
                values = {"loss": event.loss, "learning_rate": event.learning_rate, "score": event.score}
                for name, value in values.items():
                    if value is not None:
                        writer.add_scalar(name, value, event.step)

        yield tell


@contextmanager
def _shown(console: Console, total: int) -> Iterator[Callable[[StepEvent, float, bool], None]]:
    """A bar with the time left on a terminal, a line now and then elsewhere."""
    score = ""
    with progress_bar(console, "steps", total, transient=False) as bar:

        def show(event: StepEvent, mean: float, due: bool) -> None:
            nonlocal score
            score = score if event.score is None else f"  score {event.score:.1f}"
            bar.move(event.step, f"loss {mean:.4f}{score}")
            if due and not bar.shown:
                console.print(_line(event, mean, total), highlight=False)

        yield show


def _line(event: StepEvent, mean: float, total: int) -> str:
    score = "" if event.score is None else f"  score {event.score:.1f}"
    facts = f"loss {mean:.4f}  rate {event.learning_rate:.1e}  {event.elapsed_s:.0f} s"
    return f"step {event.step}/{total}  {facts}{score}"


def _logged(log: Path) -> list[LogRow]:
    """The lines of a log; none of a damaged one, which costs its picture, not the training."""
    try:
        return LOGS.read_lines(log, LogRow)
    except DataError:
        return []


def _board(folder: Path, stack: ExitStack) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise VipnasError("--tensorboard needs the package tensorboard", "pip install 'vipnas[tensorboard]'") from error
    return stack.enter_context(SummaryWriter(str(folder)))


def draw_curves(log: Path, path: Path) -> Path | None:
    """Draws mean loss and score over the steps of a log; None without matplotlib, which is an extra.

    DataError for a log that is missing, empty or damaged.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    rows = LOGS.read_lines(log, LogRow)
    if not rows:
        raise DataError(f"{shown(log)} is empty")
    scored = [row for row in rows if "score" in row]
    # No pyplot: it would look for a screen.
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([row["step"] for row in rows], [row["mean_loss"] for row in rows], color="#4477aa")
    axes.set(xlabel="step", title=log.name.removesuffix(".log.jsonl"))
    axes.set_ylabel("loss, running mean", color="#4477aa")
    if scored:
        right = axes.twinx()
        right.plot([row["step"] for row in scored], [row["score"] for row in scored], "o-", color="#cc6677")
        right.set_ylabel("validation score, percent", color="#cc6677")
        right.set_ylim(0, 100)
    options: dict[str, Any] = {"dpi": 120, "format": "png", "metadata": {"Software": None}}
    with whole_file(path) as file, file.bytes() as stream:
        figure.savefig(stream, **options)
    return path
