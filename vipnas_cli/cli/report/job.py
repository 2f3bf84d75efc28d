"""What `vipnas report` does: tell poses, videos and summaries apart, join what belongs together, write a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipnas_cli.cli.console import message_console
from vipnas_cli.cli.report.options import ReportOptions
from vipnas_cli.documents import LARGEST_LABELS, DocumentKind
from vipnas_cli.errors import InputError, OutputError, UsageError, VideoError
from vipnas_cli.files import check_outputs, shown, write_text
from vipnas_cli.media.inputs import is_video, open_input
from vipnas_cli.media.painter import PictureStyle
from vipnas_cli.media.pictures import is_picture, pictures_in
from vipnas_cli.media.writer import CONTAINERS
from vipnas_cli.report.page import Subject, page_of
from vipnas_cli.report.posters import Poster, chosen, posters_of_poses, posters_of_video
from vipnas_cli.report.run_facts import RunFacts
from vipnas_cli.report.tracks import Clip, Floats, clip_of
from vipnas_cli.results.facts import POSES, Results
from vipnas_cli.results.kinds import KINDS, Output, is_stated, output_named, source_named
from vipnas_cli.results.sink import MOST_MISSING

SUMMARY = DocumentKind("a summary of `run --json`", InputError, "Give what `run --json` printed.", LARGEST_LABELS)
READ = tuple(kind.end for kind in KINDS if kind.read is not None)
ENDS_LEFT_OUT = "Frames without people before the first and after the last are not in the table, and do not count here."


@dataclass(frozen=True)
class Poses:
    """A result file that was read."""

    output: Output
    results: Results

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.output.path

    @property
    def stems(self) -> tuple[str, ...]:
        """Its name without the ending of its kind, walk of walk.wide.csv, and without the last suffix alone."""
        return self.output.stem, self.path.stem

    @property
    def source(self) -> str:
        """The file name of the video."""
        return self.results.header.source

    @property
    def extent(self) -> tuple[int, bool]:
        """How many frames it lists, and whether those without people are among them."""
        return len(self.results.frames), self.results.whole


def report_job(options: ReportOptions) -> None:
    """Writes a page about results."""
    places = [_place(name) for name in options.results]
    out = options.out or Path(f"{places[0].stem}.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{shown(out)} is no name of a page", "let it end in .html")
    _check(out, places, options.overwrite)
    unstated = [path for path in options.results if not is_stated(path)]
    told = {path: _summaries(path) for path in unstated if path.suffix.lower() == ".json"}
    summaries = [summary for found in told.values() for summary in found]
    videos = [path for path in unstated if _is_shown(path)]
    poses = _of_each_clip([path for path in options.results if not told.get(path) and path not in videos])
    subjects = [_subject(one, _one_of(videos, one, poses), _facts(summaries, one, poses), options) for one in poses]
    write_text(out, page_of(subjects))
    console = message_console(options.quiet)
    for subject in subjects:
        if subject.note:
            console.print(f"{shown(subject.name)}: {subject.note}", soft_wrap=True)
    console.print(f"written  {shown(out)}", soft_wrap=True)


def _is_shown(path: Path) -> bool:
    """Whether it is the source of poses, or shows them: a video or a picture by its name, or a folder of pictures."""
    return is_video(path) or is_picture(path) or _is_folder(path)


def _is_folder(path: Path) -> bool:
    """Whether it is a folder of pictures; some kinds of results are folders, too."""
    return path.is_dir() and output_named(path) is None and bool(pictures_in(path))


def _of_each_clip(paths: Sequence[Path]) -> list[Poses]:
    """The poses of each clip; of several files about one clip that with most frames."""
    found: dict[str, Poses] = {}
    for path in paths:
        output = source_named(path)
        if output is None or output.kind.read is None:
            raise InputError(
                f"{shown(path)} is no file of poses, no video and no picture",
                f"give one of {' '.join(READ)} of `run`, with what shows them",
            )
        output.kind.check()
        one = Poses(output, output.kind.read(output.path))
        other = found.get(one.source)
        if other is None or other.extent < one.extent:
            found[one.source] = one
    if not found:
        raise UsageError("no file of poses is named", f"give one of {' '.join(READ)} that `run` wrote")
    return list(found.values())


def _place(name: Path) -> Path:
    """Where a result lies, whose name may say its kind: posetrack:walk.json."""
    output = output_named(name)
    return output.path if output is not None else name


def _check(out: Path, results: Sequence[Path], overwrite: bool) -> None:
    """OutputError if the page may not be written there."""
    try:
        check_outputs([out], results, overwrite)
    except OutputError as error:
        if "exists already" in error.what:
            hint = "choose another name with -o, or allow it with --overwrite"
            raise OutputError(error.what, hint) from error
        raise


def _summaries(path: Path) -> list[dict[str, Any]]:
    """The summaries in a JSON file, of one run or of several inputs; none in a file of poses."""
    document = SUMMARY.parse_any(SUMMARY.read_bytes(path), path)
    runs = document.get("runs", [document]) if isinstance(document, dict) else []
    found = [run for run in runs if isinstance(run, dict) and "busy_s" in run] if isinstance(runs, list) else []
    return [{**run, "file": str(path)} for run in found]


def _one_of(videos: Sequence[Path], poses: Poses, all_poses: Sequence[Poses]) -> Path | None:
    """What shows a clip: its source, or what is named after it or its results; what lies beside them is found."""
    if len(all_poses) == 1 and len(videos) == 1:
        return videos[0]
    named = [video for video in videos if video.name == poses.source]
    named += [video for video in videos if _is_named_after(video, poses)]
    folders = (poses.path.parent, Path())
    beside = [folder / poses.source for folder in folders if poses.source]
    beside += [poses.path.with_name(f"{stem}{suffix}") for stem in poses.stems for suffix in CONTAINERS]
    return next((path for path in (*named, *beside) if path.is_file() or _is_folder(path)), None)


def _facts(summaries: Sequence[dict[str, Any]], poses: Poses, all_poses: Sequence[Poses]) -> RunFacts:
    """What the run that made the poses says about itself."""
    for document in summaries:
        alone = len(summaries) == 1 and len(all_poses) == 1
        outputs = [Path(str(name)).name for name in document.get("outputs", [])]
        same = Path(str(document.get("input", ""))).name == poses.source or poses.path.name in outputs
        if alone or same:
            with SUMMARY.told(document["file"]):
                return RunFacts.of(document)
    return RunFacts()


def _subject(poses: Poses, video: Path | None, facts: RunFacts, options: ReportOptions) -> Subject:
    header = poses.results.header
    clip, ends = _clip(poses, video, facts)
    settings = (
        [("pipeline", header.pipeline), ("smoothing of the numbers", header.smoothing)] if header.pipeline else []
    )
    size = (("pixels", f"{header.width} × {header.height}"),) if header.width else ()
    subject = Subject(poses.source or poses.path.name, clip, facts=(*size, *facts.figures), note=ends)
    subject = replace(subject, settings=(*settings, *facts.settings), stages=facts.stages, wall_s=facts.wall_s)
    if not options.pictures:
        return subject
    posters, note = _posters(poses, video, clip.times, options.blur_faces)
    return replace(subject, posters=posters, note=" ".join(filter(None, (ends, note))))


def _clip(poses: Poses, video: Path | None, facts: RunFacts) -> tuple[Clip, str]:
    """The frames of a clip, and what is not known of them: where the run began and ended if a table lost its facts."""
    frames, skeleton = poses.results.frames, poses.results.skeleton
    count = None if poses.results.whole else facts.frames or _drawn(video, poses)
    # The times of frames that are not there follow from those of two others.
    known = count is not None and len(frames) > 1 and count <= frames[-1].frame_index + MOST_MISSING
    with POSES.told(poses.path):
        clip = clip_of(frames, skeleton, count if known else None)
    return clip, "" if known or poses.results.whole else ENDS_LEFT_OUT


def _drawn(video: Path | None, poses: Poses) -> int | None:
    """How many frames the run had if it drew this video; of its source it may have taken a part."""
    if video is None or not poses.source or video.is_dir():
        return None
    named = video.name != poses.source and _is_named_after(video, poses)
    try:
        with open_input(video) as reader:
            return reader.info.frames if named or reader.info.drawn else None
    except VideoError:
        return None


def _is_named_after(video: Path, poses: Poses) -> bool:
    """Whether a video has the name of the results, or that which `run` gives the one that it draws."""
    return video.stem in (*poses.stems, f"{Path(poses.source).stem}_pose")


def _is_of(video: Path, poses: Poses) -> bool:
    """Whether a video of another name than the source may show it: by its name, or by the size of its pictures."""
    header = poses.results.header
    if _is_named_after(video, poses) or header.width is None:
        return True
    with open_input(video) as reader:
        return (reader.info.width, reader.info.height) == (header.width, header.height)


def _says_drawn(video: Path) -> bool:
    """Whether a video says that poses are drawn into it, as one may that has the name of its source."""
    with open_input(video) as reader:
        return reader.info.drawn


def _later(video: Path, poses: Poses, times: Floats) -> float:
    """By how many seconds frames of these times are later than in a drawn video, which after --start begins at 0 s."""
    with open_input(video) as reader:
        first, duration, drawn = next(iter(reader), None), reader.info.duration_s or 0.0, reader.info.drawn
    if first is None or not len(times):
        return 0.0
    # One of another name, and long enough, may be a copy of the source.
    copied = not drawn and not _is_named_after(video, poses) and duration > times[-1]
    return 0.0 if copied else float(times[0]) - first.time_s


def _posters(poses: Poses, video: Path | None, times: Floats, blur: bool) -> tuple[tuple[Poster, ...], str]:
    """Pictures, and what is missing in them; frames have these times."""
    frames, skeleton, header = poses.results.frames, poses.results.skeleton, poses.results.header
    note = "Its video was not given and is not beside the results: the poses are shown on black."
    if video is not None:
        try:
            # Nothing is drawn into the pictures of a folder.
            painted = not video.is_dir() and (video.name != poses.source or _says_drawn(video))
            if painted and blur:
                return (), f"Faces in {shown(video)} cannot be blurred, as poses are drawn in: give the source itself."
            if painted and not _is_of(video, poses):
                raise VideoError(
                    f"{shown(video)} is not the video of {shown(poses.source)}, its pictures are of another size"
                )
            later_s = _later(video, poses, times) if painted else 0.0
            found = posters_of_video(video, frames, skeleton, PictureStyle(blur_faces=blur), painted, later_s)
        except VideoError as error:
            note = f"{error.what}: the poses are shown on black."
        else:
            missing = len(chosen(frames)) - len(found)
            return found, f"{missing} of {len(chosen(frames))} pictures are not in {shown(video)}." if missing else ""
    if header.width is None or header.height is None:
        return (), note.partition(":")[0] + ", and the size of its pictures is not known: there are none."
    return posters_of_poses(frames, (header.width, header.height), skeleton), note
