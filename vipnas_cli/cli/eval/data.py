"""Finds the labels that `vipnas eval` scores against, or makes a synthetic set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from vipnas_cli.cli.configuration import configured_data
from vipnas_cli.cli.console import counted, message_console
from vipnas_cli.cli.eval.options import EvalOptions
from vipnas_cli.data.checks.problems import Problem, any_fatal
from vipnas_cli.data.files.coco import folder_above
from vipnas_cli.data.sets import SetSize, write_synthetic_coco, write_synthetic_posetrack
from vipnas_cli.errors import DataError, UsageError
from vipnas_cli.files import scratch_folder

SEED = 0
# More lines than this say nothing new.
MOST_LINES = 100
SYNTHETIC = "synthetic"
WHERE = {
    "coco": (
        "Real data: COCO 2017 from https://cocodataset.org/#download (Val images, Train/Val annotations).",
        "Folders: DIR/images/*.jpg and DIR/annotations/person_keypoints_val2017.json; name that file with --data.",
    ),
    "posetrack": (
        "Real data: PoseTrack18 is requested at https://posetrack.net; when that is closed, "
        "https://github.com/anDoer/PoseTrack21 tells how to get the same videos.",
        "Folders: DIR/images/val/SEQUENCE/000000.jpg and DIR/annotations/val/SEQUENCE.json; then --data DIR.",
    ),
}


@dataclass(frozen=True)
class DataSet:
    """Labels (a file, or a folder of one file per sequence) and the folder that image names start from."""

    name: str
    labels: Path
    root: Path
    synthetic: bool = False


def find_data(kind: str, options: EvalOptions, console: Console, stack: ExitStack) -> DataSet:
    """The data of --data, VIPNAS_DATA or the configuration file, or a synthetic set that lives as long as `stack`.

    DataError if what was named is not there.
    """
    path = options.data or configured_data()
    if path is None:
        if options.predictions is not None:
            raise UsageError("--predictions needs the labels to score against", "name them with --data")
        return _synthetic(kind, console, stack)
    if not path.exists():
        raise DataError(f"{path} does not exist", f"give --data a folder or file. {WHERE[kind][1]}")
    if kind == "coco":
        return _coco(path)
    return _posetrack(path, options.split)


def report_problems(problems: Sequence[Problem]) -> None:
    """Prints one line for each on stderr; DataError if one of them forbids scoring."""
    console = message_console()
    for problem in problems[:MOST_LINES]:
        console.print(str(problem), soft_wrap=True)
    if len(problems) > MOST_LINES:
        console.print(f"… and {len(problems) - MOST_LINES} more")
    if any_fatal(problems):
        count = sum(problem.fatal for problem in problems)
        raise DataError(
            f"the data has {count} problem{'s that forbid' if count > 1 else ' that forbids'} scoring",
            "see the lines above",
        )


def _synthetic(kind: str, console: Console, stack: ExitStack) -> DataSet:
    folder = stack.enter_context(scratch_folder())
    generator, size = np.random.default_rng(SEED), SetSize()
    write: Callable[..., Path] = write_synthetic_coco if kind == "coco" else write_synthetic_posetrack
    total = size.stills if kind == "coco" else sum(clip.frames for clip in size.clips)
    with counted(console, "rendering", total) as on_image:
        labels = write(folder, generator, size, on_image)
    content = f"{size.stills} pictures" if kind == "coco" else f"{len(size.clips)} sequences of {size.frames} frames"
    return DataSet(f"{SYNTHETIC} set ({content}, made on the fly)", labels, folder, True)


def _labelled_folder(path: Path, names: Sequence[str]) -> Path:
    """The folder itself if it has annotations, else the one of these names in it that has."""
    for folder in (path, *(path / name for name in names)):
        if (folder / "annotations").is_dir():
            return folder
    return path


def _coco(path: Path) -> DataSet:
    if path.is_file():
        return DataSet(str(path), path, folder_above(path, 2))
    folder = _labelled_folder(path, ("coco",))
    found = sorted((folder / "annotations").glob("*.json")) + sorted((folder / "annotations").glob("*.json.gz"))
    if not found:
        raise DataError(f"{folder / 'annotations'} holds no annotation file", WHERE["coco"][1])
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(
            f"{folder / 'annotations'} holds {len(found)} annotation files: {names}", "name one of them with --data"
        )
    return DataSet(str(path), found[0], folder)


def _posetrack(path: Path, split: str) -> DataSet:
    if path.is_file():
        return DataSet(str(path), path, folder_above(path, 3))
    folder = _labelled_folder(path, ("posetrack", "posetrack18"))
    labels = folder / "annotations" / split
    if labels.is_dir():
        return DataSet(str(path), labels, folder)
    if (folder / "annotations").is_dir():
        others = ", ".join(sorted(entry.name for entry in (folder / "annotations").iterdir() if entry.is_dir()))
        raise DataError(f"{labels} does not exist", f"choose with --split; there are: {others or 'none'}")
    if any(path.glob("*.json")) or any(path.glob("*.json.gz")):
        root = folder_above(path, 2) if path.absolute().parent.name == "annotations" else path
        return DataSet(str(path), path, root)
    raise DataError(f"{path} holds no annotations", WHERE["posetrack"][1])
