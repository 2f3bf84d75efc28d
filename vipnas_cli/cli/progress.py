"""Progress on stderr: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vipnas_cli.inference.pipeline import RunStatistics


def _silent(_: RunStatistics) -> None:
    """No bar where nobody looks."""


@contextmanager
def frame_progress(console: Console, frames: int | None) -> Iterator[Callable[[RunStatistics], None]]:
    """A function to call after each frame; it moves a bar with frames per second and the time left."""
    if console.quiet or not console.is_terminal:
        yield _silent
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(TextColumn("frames"), *columns, console=console, transient=True) as progress:
        task = progress.add_task("frames", total=frames, fps="")

        def on_frame(statistics: RunStatistics) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=statistics.frames, fps=f"{speed:.0f} fps" if speed else "")

        yield on_frame
