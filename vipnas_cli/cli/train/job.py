"""What `vipnas train` does: read the recipe, run the loop, tell of each step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from vipnas_cli.bundle.reader import bundled_weights
from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.console import command_line, message_console, result_console
from vipnas_cli.cli.signals import heeding
from vipnas_cli.cli.train.options import TrainOptions
from vipnas_cli.cli.train.report import draw_curves, reporting
from vipnas_cli.errors import DataError, OutputError, UsageError, VipnasError
from vipnas_cli.files import make_parent, shown

if TYPE_CHECKING:
    from vipnas_cli.training.loop import StepEvent
    from vipnas_cli.training.recipe import Recipe
    from vipnas_cli.training.start import RunPlan

WITH_KEY = ("followers", "temporal", "cycle")
WITH_SPEC = ("pose", "followers", "cycle")
CHECKPOINT = ".safetensors"
# Names of these files are a checkpoint's with another ending, which must not be that of another checkpoint.
BESIDE = (".resume", ".best")


def list_recipes() -> None:
    """Prints the bundled recipes with what each is for."""
    _check_extra()
    from vipnas_cli.training.recipe import recipe_names, recipe_purpose

    console = result_console()
    for name in recipe_names():
        console.print(name, style="bold")
        console.print(f"  {recipe_purpose(name)}")


def train_job(options: TrainOptions) -> None:
    """Trains and writes a checkpoint with a log of JSON lines and a picture beside it."""
    _check_extra()
    import torch

    from vipnas_cli.distributed import process_group
    from vipnas_cli.training.devices import chosen_device
    from vipnas_cli.training.recipe import read_recipe

    assert options.recipe is not None
    recipe = read_recipe(options.recipe)
    options = replace(options, data=options.data or configured_data())
    rehearsed = options.data is None and any(share.format != "synthetic" for share in recipe.data)
    options = replace(options, out=options.out or Path(f"{recipe.name}{'-rehearsal' * rehearsed}.safetensors"))
    _check(options, recipe.kind, rehearsed)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = chosen_device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with process_group(device) as place:
        console = message_console(not place.writes)
        plan = _plan(options, recipe, device)
        if rehearsed:
            plan = _rehearsal(plan, console)
        _train(plan, console, options.tensorboard if place.writes else None)
        if place.writes:
            _tell_end(plan, console, with_data(options, recipe.kind) if rehearsed else "")


def _check_extra() -> None:
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise VipnasError(f"training needs {error.name}", "pip install 'vipnas[train]'") from error


def _check(options: TrainOptions, kind: str, rehearsed: bool) -> None:
    if options.data is not None and not options.data.is_dir():
        raise UsageError(
            f"the data folder {options.data} does not exist",
            "check --data, or leave it out for a rehearsal on synthetic people",
        )
    for named, option, kinds in (
        (options.key, "--key", WITH_KEY),
        (options.teacher, "--teacher", ("pose",)),
        (options.spec, "--spec", WITH_SPEC),
        (options.detector, "--detector", ("verifier",)),
    ):
        if named and kind not in kinds:
            raise UsageError(f"{option} is for recipes of kind {' or '.join(kinds)}, not {kind}", f"leave {option} out")
    if kind in WITH_KEY and not options.key and not rehearsed:
        raise UsageError("followers need the key network of their cycle", "name its checkpoint with --key")
    if kind == "cycle" and options.spec is None and not options.init:
        raise UsageError("a cycle needs the schedule that a search found", "name its file with --spec")
    frozen = (*options.key, *options.teacher)
    for path in (*options.init, *frozen, options.spec, options.detector):
        if path is not None and not (path.is_file() or (path in frozen and path.is_dir())):
            raise UsageError(f"{path} does not exist", "check the path")
    assert options.out is not None
    _check_name(options.out)
    if options.out.exists() and not options.resume:
        raise OutputError(f"{options.out} exists already", "choose another name with --out, or go on with --resume")
    if options.resume and not options.out.exists():
        raise UsageError(f"{options.out} does not exist", "--resume goes on with the checkpoint that --out names")


def _check_name(out: Path) -> None:
    """UsageError for the name of a checkpoint whose resume file, best weights, log or picture would be another's."""
    if out.suffix != CHECKPOINT:
        raise UsageError(f"--out {shown(out)} does not end in {CHECKPOINT}", f"name it {shown(out.name)}{CHECKPOINT}")
    if out.stem.endswith(BESIDE):
        raise UsageError(f"--out {shown(out)} is named like a file beside another checkpoint", "choose another name")


def _plan(options: TrainOptions, recipe: Recipe, device: object) -> RunPlan:
    import torch

    from vipnas_cli.training.data import Folders
    from vipnas_cli.training.start import RunPlan

    assert options.out is not None
    assert isinstance(device, torch.device)
    folders = Folders(options.data or Path(), options.cache)
    start = (options.init, options.key, options.resume)
    plan = RunPlan(recipe, folders, options.out, *start, options.steps, options.compile, device, options.spec)
    if recipe.kind == "verifier":
        return replace(plan, detector=options.detector or _bundled_detector())
    return replace(plan, teachers=options.teacher)


def _bundled_detector() -> Path:
    path = bundled_weights() / "detector.fp16.safetensors"
    if not path.is_file():
        raise UsageError(f"{path} does not exist", "name a detector's checkpoint with --detector")
    return path


def _rehearsal(plan: RunPlan, console: Console) -> RunPlan:
    """The plan of a rehearsal; its key network is trained first if it needs one."""
    from vipnas_cli.distributed import together
    from vipnas_cli.training.loop import resume_path
    from vipnas_cli.training.rehearsal import rehearsal, rehearsal_key

    console.print(f"No --data: this is a rehearsal of {plan.recipe.name} on synthetic people.", style="bold yellow")
    console.print("It takes minutes, shows that the training runs here, and its weights are good for nothing else.")
    keys = plan.keys
    if plan.recipe.kind in WITH_KEY and not keys:
        key = plan.out.with_name(f"{plan.out.stem}-key.safetensors")
        keys = (key,)
        small = replace(plan, recipe=rehearsal_key(plan.recipe), out=key, initial=(), until=None, compile=False)
        if _is_trained(small):
            console.print(f"The followers take up the key network that is there already, {shown(key)}.")
        else:
            console.print("First a small key network, which the followers take up:")
            _train(replace(small, resume=resume_path(key).exists()), console, None)
            together()
    return replace(plan, recipe=rehearsal(plan.recipe), keys=keys, compile=False)


def _is_trained(plan: RunPlan) -> bool:
    """Whether a checkpoint is there and of a training that came to its end; one that tells no step counts as such."""
    from vipnas_cli.nets.checkpoints import load_checkpoint

    steps = plan.recipe.loop.steps
    return plan.out.exists() and load_checkpoint(plan.out)[1].get("step", steps) >= steps


class _Stop:
    """What Ctrl-C and its like do: during the first step at once, later after the step, so that it is saved whole."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.training = False
        self.asked = False

    def __call__(self) -> None:
        if self.asked or not self.training:
            raise KeyboardInterrupt
        self.asked = True
        told = "Stopping after this step; once more stops at once and loses what came after the last save."
        with suppress(OSError):  # of a terminal that is closed
            self.console.print(told)


@contextmanager
def _events(plan: RunPlan) -> Iterator[Generator[StepEvent, None, None]]:
    """The training's events; leaving saves at once and does not wait for the garbage collector."""
    from vipnas_cli.training.runs import train

    events = cast("Generator[StepEvent, None, None]", train(plan))
    try:
        yield events
    finally:
        events.close()


def _train(plan: RunPlan, console: Console, board: Path | None) -> None:
    from vipnas_cli.distributed import any_rank, ranks
    from vipnas_cli.training.validation import clip_validation

    plan = replace(plan, validation=clip_validation(plan) if ranks().writes else None, tell=_start_teller(console))
    make_parent(plan.out)
    total = min(plan.until or plan.recipe.loop.steps, plan.recipe.loop.steps)
    log = log_path(plan.out) if ranks().writes else None
    report = reporting(console, total, log, plan.resume, board)
    stop = _Stop(console)
    with report as tell, heeding(stop), _events(plan) as events:
        for event in events:
            stop.training = True
            tell(event)
            # All of them or none: one that goes on alone would wait for the others for ever.
            if any_rank(stop.asked, plan.device):
                raise KeyboardInterrupt


def _start_teller(console: Console) -> Callable[[str, bool], None]:
    """Prints what a training begins with, and that it fits badly."""

    def tell(text: str, warning: bool) -> None:
        console.print(f"Warning: {text}" if warning else text, style="yellow" if warning else None)

    return tell


def with_data(options: TrainOptions, kind: str) -> str:
    """The training that a rehearsal was for, as it is typed."""
    assert options.recipe is not None
    paths: dict[str, tuple[str | Path | None, ...]] = {
        "--init": options.init,
        "--key": options.key or (("KEY",) if kind in WITH_KEY else ()),
        "--teacher": options.teacher,
        "--detector": (options.detector,),
        "--spec": (options.spec,),
    }
    words = [word for option, found in paths.items() for path in found if path is not None for word in (option, path)]
    return command_line("train", options.recipe, "--data", "DATA", *words)


def _tell_end(plan: RunPlan, console: Console, real_one: str) -> None:
    """What was written and what comes next, which after a rehearsal is the training `real_one`."""
    log = log_path(plan.out)
    logged = f"; log: {log}" if log.exists() else ""
    console.print(f"Written: {plan.out}{logged}; {_curves(log, plan.out.with_suffix('.png'))}")
    if real_one:
        console.print(f"For a network that is good for something: {real_one}", soft_wrap=True)
    elif plan.recipe.kind == "pose":
        following = command_line("export", plan.out, "--name", "NAME", "-o", "pipelines")
        console.print(f"Next: {following}", soft_wrap=True)


def _curves(log: Path, path: Path) -> str:
    """Draws the curves of a log, and says where they are or why there are none."""
    try:
        picture = draw_curves(log, path)
    except DataError as error:
        return f"no curves: {error.what}"
    return f"curves: {picture}" if picture else "curves need matplotlib (pip install 'vipnas[eval]')"


def log_path(out: Path) -> Path:
    """Where the log of a checkpoint lies."""
    return out.with_suffix(".log.jsonl")
