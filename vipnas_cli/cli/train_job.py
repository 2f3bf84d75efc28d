"""What `vipnas train` does: read the recipe, run the loop, log each step."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from vipnas_cli.errors import OutputError, UsageError, VipnasError

LOG_EVERY = 20


@dataclass(frozen=True)
class TrainOptions:
    """The options of `vipnas train` as typed."""

    recipe: str
    data: Path
    out: Path
    init: Path | None = None
    key: Path | None = None
    resume: bool = False
    steps: int | None = None
    threads: int = 0
    compile: bool = True
    cache: Path = Path("cache")


def train_job(options: TrainOptions) -> None:
    """Trains and writes a checkpoint and a log of JSON lines beside it."""
    try:
        import torch

        from vipnas_cli.training.data_sets import Folders
        from vipnas_cli.training.recipe import read_recipe
        from vipnas_cli.training.runs import RunPlan, train
    except ImportError as error:
        raise VipnasError(f"training needs {error.name}", "pip install 'vipnas[train]'") from error
    recipe = read_recipe(options.recipe)
    _check(options, recipe.kind)
    if options.threads:
        torch.set_num_threads(options.threads)
    folders = Folders(options.data, options.cache)
    plan = RunPlan(
        recipe, folders, options.out, options.init, options.key, options.resume, options.steps, options.compile
    )
    # A stop from outside ends like Ctrl-C, which saves.
    signal.signal(signal.SIGTERM, _interrupt)
    console, average = Console(stderr=True), None
    log = options.out.with_suffix(".log.jsonl")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a" if options.resume else "w", encoding="utf-8") as file:
        for event in train(plan):
            average = event.loss if average is None else 0.98 * average + 0.02 * event.loss
            if event.step % LOG_EVERY == 0:
                file.write(json.dumps({**asdict(event), "mean_loss": round(average, 5)}) + "\n")
                file.flush()
                console.print(
                    f"step {event.step}  loss {average:.4f}  rate {event.learning_rate:.1e}  {event.elapsed_s:.0f} s"
                )
    console.print(f"Written: {options.out}; log: {log}")


def _check(options: TrainOptions, kind: str) -> None:
    if not options.data.is_dir():
        raise UsageError(f"the data folder {options.data} does not exist", "check --data")
    if kind == "followers" and options.key is None:
        raise UsageError("followers need the key network of their cycle", "name its checkpoint with --key")
    if options.out.exists() and not options.resume:
        raise OutputError(f"{options.out} exists already", "choose another name, or go on with --resume")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
