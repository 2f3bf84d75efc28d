"""Which runs a command line stands for: inputs that are found, the names of their results, the part that is taken."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vipnas_cli.cli.run.inputs import Shard
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.errors import InputError, UsageError, VideoError
from vipnas_cli.files import make_parent, shown
from vipnas_cli.media.address import STDIN, Origin, Stream, origin_of
from vipnas_cli.media.inputs import is_video
from vipnas_cli.media.pictures import is_picture, natural
from vipnas_cli.media.pipe import is_inherited
from vipnas_cli.media.source import is_drawn, open_container
from vipnas_cli.results.kinds import output_named
from vipnas_cli.results.sink import STDOUT

NAME = "{name}"
ANGLES = ".angles.csv"


@dataclass(frozen=True)
class Found:
    """An input: what is opened, what results are named after, and whether it was `listed` by a folder or a pattern.

    The name has the folders between the one that was typed and the input, so that results keep them; `ending` is what
    it leaves out.
    """

    text: str
    name: str
    listed: bool = False
    ending: str = ""


@dataclass(frozen=True)
class Plan:
    """One record of options per input; `several` inputs were asked for, `skipped` of them have their results."""

    runs: tuple[RunOptions, ...]
    several: bool
    skipped: int = 0


def planned(options: RunOptions) -> Plan:
    """The runs of a command; InputError if a folder or a pattern holds no input, UsageError for names that collide."""
    named: dict[str, Found] = {}
    for text in options.inputs:
        for one in found_inputs(text):
            named.setdefault(one.text, one)
    several = len(options.inputs) > 1 or options.shard is not None or any(one.listed for one in named.values())
    runs = _runs(options, list(named.values()))
    _check_written(runs)
    if several and options.jobs > 1:
        _check_shared(runs)
    shard = Shard() if options.shard is None else Shard.parse(options.shard)
    runs = runs[shard.part - 1 :: shard.count]
    if not options.skip_existing:
        return Plan(tuple(runs), several)
    # What goes to stdout alone is never there.
    left = [run for run in runs if not run.files or not all(path.exists() for path in run.files)]
    left = [replace(run, overwrite=True) for run in left]
    return Plan(tuple(left), several, len(runs) - len(left))


def _runs(options: RunOptions, found: list[Found]) -> list[RunOptions]:
    """The options of each input; results that lie beside the videos are no inputs, and take no name from one."""
    while True:
        runs = [_run(options, one) for one in _told_apart(found)]
        written = {_resolved(path) for run in runs for path in run.outputs}
        inputs = [one for one in found if not (one.listed and _resolved(one.text) in written)]
        if len(inputs) == len(found):
            return runs
        found = inputs


def _told_apart(found: list[Found]) -> list[Found]:
    """The inputs, with their ending in the name where another one of their folder has the same."""
    while True:
        names = [(_resolved(one.text).parent, one.name) for one in found]
        taken = Counter(names)
        apart = [
            replace(one, name=one.name + one.ending, ending="") if taken[name] > 1 else one
            for one, name in zip(found, names, strict=True)
        ]
        if apart == found:
            return found
        found = apart


def found_inputs(text: str) -> list[Found]:
    """What a word of the command line stands for."""
    path = origin_of(text)
    if text == STDIN:
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("stdin is a terminal", "pipe a video into it: cat clip.mp4 | vipnas run -")
        return [Found(text, "stdin")]
    if isinstance(path, Stream):
        return [Found(text, path.stem)]
    if path.is_dir():
        inside = list(_in_folder(path, path))
        if not inside:
            raise InputError(f"{shown(path)} holds no videos and no pictures", "name files, or another folder")
        return inside
    if glob.has_magic(text) and not path.exists():
        matched = list(_matching(text))
        if not matched:
            raise InputError(f"no video or picture matches {shown(text)}", "check the pattern")
        return matched
    return [Found(str(path), path.stem, ending=path.suffix)]


def _in_folder(folder: Path, top: Path) -> Iterator[Found]:
    """The videos in and below a folder; one that holds pictures and no video, but for results, is a video itself."""
    entries = sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=natural)
    videos = [entry for entry in entries if is_video(entry) and entry.is_file()]
    pictures = any(is_picture(entry) and not entry.is_dir() for entry in entries)
    if pictures and all(map(_has_poses, videos)):
        below = folder != top
        yield Found(str(folder), folder.relative_to(top).as_posix() if below else folder.resolve().name, listed=below)
    else:
        for video in videos:
            yield Found(str(video), video.relative_to(top).with_suffix("").as_posix(), True, video.suffix)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _in_folder(entry, top)


def _has_poses(video: Path) -> bool:
    """Whether a video is one that `run` drew."""
    with suppress(VideoError), open_container(video) as container:
        return is_drawn(container)
    return False


def _matching(pattern: str) -> Iterator[Found]:
    """Files that match and are videos or pictures, unless the pattern names their ending; folders as if typed."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    top, rest = Path(*parts[:fixed]), parts[fixed:]
    ending = Path(pattern).suffix
    named = bool(ending) and not glob.has_magic(ending)
    for path in sorted(top.glob(str(Path(*rest))), key=natural):
        inside = path.relative_to(top)
        if any(part.startswith(".") for part in inside.parts):
            continue
        if path.is_dir():
            if "**" not in rest:  # what is below is reached anyway
                yield from (replace(one, listed=True) for one in _in_folder(path, top))
        elif named or is_video(path) or is_picture(path):
            yield Found(str(path), inside.with_suffix("").as_posix(), True, path.suffix)


def _run(options: RunOptions, found: Found) -> RunOptions:
    """The options of one input."""
    boxes = options.boxes and options.boxes.replace(NAME, found.name)
    return replace(options, inputs=(found.text,), out=_with_angles(options, found), boxes=boxes)


def _with_angles(options: RunOptions, one: Found) -> tuple[str, ...]:
    """The results of an input; --angles puts its table beside the first file among them."""
    name = one.name
    results = _results(options.out, one)
    if not options.angles or any(text.lower().endswith(ANGLES) for text in results):
        return results
    paths = [output.path if (output := output_named(text)) else Path(text) for text in results]
    first = next((path for path in paths if path != STDOUT), Path(f"{name}_pose.csv"))
    return (*results, _as_file(str(first.with_suffix(ANGLES))))


def _results(out: tuple[str, ...], one: Found) -> tuple[str, ...]:
    """Where the results of an input go."""
    found: list[str] = []
    path = Path(one.text)
    drawn = ".jpg" if is_picture(path) and not path.is_dir() else ".mp4"
    for text in out or (".",):
        # Some kinds of results are folders themselves.
        if output_named(text) is None and (text.endswith(("/", os.sep)) or Path(text).is_dir()):
            found += (_as_file(str(Path(text) / f"{one.name}_pose{ending}")) for ending in (drawn, ".csv"))
        else:
            made = text.replace(NAME, one.name)
            found.append(_as_file(made) if text.startswith(NAME) else made)
    return tuple(found)


def _as_file(text: str) -> str:
    """The name of a file, so that it is not read as KIND:NAME."""
    output = output_named(text)
    return text if output is None or output.path == Path(text) else f"./{text}"


def make_folders(run: RunOptions, options: RunOptions) -> None:
    """Creates the folders of results that are named after their input; those that were typed in full must exist.

    So must that of a table of angles beside one that was typed.
    """
    results = list(zip(run.outputs, run.out, strict=True))
    typed = {path.parent for path, text in results if text in options.out}
    for path, text in results:
        if text not in options.out and not (text.lower().endswith(ANGLES) and path.parent in typed):
            make_parent(path)


def _check_written(runs: list[RunOptions]) -> None:
    """UsageError if two inputs would write the same result."""
    owner: dict[Path, Origin] = {}
    for run in runs:
        for path, text in zip(run.outputs, run.out, strict=True):
            other = owner.setdefault(_resolved(path), run.video)
            if other != run.video and _are_one(other, run.video):
                raise UsageError(f"{other} and {run.video} are the same file", "name it once")
            if other != run.video:
                raise UsageError(
                    f"{other} and {run.video} would both be written to {shown(text)}",
                    f"name results after inputs, with -o FOLDER/ or {NAME} in the name; inputs of the same name in "
                    "several folders: name the folder above them",
                )


def _check_shared(runs: list[RunOptions]) -> None:
    """UsageError if a process of --jobs would have to read what is open in this one alone."""
    for run in runs:
        if isinstance(run.video, Path) and is_inherited(run.video):
            raise UsageError(f"{run.video} is open in this process alone, not in those of --jobs", "leave out --jobs")


def _are_one(one: Origin, other: Origin) -> bool:
    """Whether two names are those of one file that exists."""
    with suppress(OSError):
        return isinstance(one, Path) and isinstance(other, Path) and one.samefile(other)
    return False


def _resolved(path: Path | str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() may fail for what is no path
