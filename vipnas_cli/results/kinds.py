"""The kinds of result files, and which one a name means: that of its longest known ending, or the one stated before it.

`clip.wide.csv` and `wide:clip.csv` are wide tables, `clip.csv` a tidy one, and `jsonl:-` is JSON Lines on stdout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from vipnas_cli.errors import InputError, OutputError, UsageError
from vipnas_cli.files import shown
from vipnas_cli.pose.skeletons import POSETRACK15, Skeleton
from vipnas_cli.results import openpose, trc
from vipnas_cli.results.angles import AnglesSink
from vipnas_cli.results.coco import CocoSink, read_coco
from vipnas_cli.results.deeplabcut import DlcCsvSink, DlcH5Sink
from vipnas_cli.results.facts import ResultHeader, Results
from vipnas_cli.results.jsonl import JsonlSink, read_jsonl
from vipnas_cli.results.mot import MotSink
from vipnas_cli.results.openpose import OpenPoseSink
from vipnas_cli.results.parquet import ParquetSink, read_parquet
from vipnas_cli.results.posetrack import PoseTrackSink, is_posetrack, read_posetrack
from vipnas_cli.results.sink import STDOUT, ResultFile, facts_path
from vipnas_cli.results.table import CsvSink, WideSink, read_table
from vipnas_cli.results.trc import TrcSink


class Holds(StrEnum):
    """What a kind of file may hold besides the places of keypoints or boxes and the ids of people."""

    facts = "what it came from and how"
    times = "times"
    scores = "scores of keypoints"
    boxes = "boxes"
    keys = "key frames"
    empty = "frames without people"
    pictures = "names of pictures"


# Another name of stdout.
DEVICE = Path("/dev/stdout")
ALL = frozenset(Holds)
TABLE = ALL - {Holds.boxes, Holds.keys}
FACTS = frozenset({Holds.facts, Holds.times, Holds.pictures})
SCORED = frozenset({Holds.scores, Holds.empty})
BODY = frozenset(openpose.BODY_25)
NO_KEYPOINTS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kind:
    """A kind of result file: what it is called, how names of it end, what writes it and what reads it.

    `text` may go to stdout; `inside`: how names of files end in one that is a folder; `facts`: a file of facts stands
    beside it; `filled`: it has a row for each frame, also for those between the frames that it is given; `keypoints`:
    those that it has places for, None for all that there are; `needs`: packages of the extra `extra`.
    """

    name: str
    end: str
    sink: Callable[[Path | str, Skeleton, ResultHeader], ResultFile]
    holds: frozenset[Holds]
    read: Callable[[Path], Results] | None = None
    text: bool = True
    inside: str = ""
    facts: bool = False
    filled: bool = False
    keypoints: frozenset[str] | None = None
    needs: tuple[str, ...] = ()
    extra: str = ""

    def left_out(self, names: Iterable[str]) -> tuple[str, ...]:
        """The keypoints that it has no places for."""
        return () if self.keypoints is None else tuple(name for name in names if name not in self.keypoints)

    def check(self) -> None:
        """OutputError, which says what to install, if a package is missing."""
        missing = next((package for package in self.needs if find_spec(package) is None), None)
        if missing is not None:
            raise OutputError(f"{self.name} needs the package {missing}", f"pip install 'vipnas[{self.extra}]'")


@dataclass(frozen=True)
class Output:
    """A result as the user named it."""

    kind: Kind
    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """What is written, nothing for stdout."""
        if self.path == STDOUT:
            return ()
        return (self.path, facts_path(self.path)) if self.kind.facts else (self.path,)

    @property
    def stem(self) -> str:
        """The name without the whole ending of its kind, which one with a stated kind may lack."""
        name, end = self.path.name, self.kind.end
        return name[: -len(end)] if name.lower().endswith(end) else self.path.stem

    def open(self, skeleton: Skeleton, header: ResultHeader) -> ResultFile:
        """What takes the frames; OutputError if it cannot be written."""
        return self.kind.sink(self.path, skeleton, header)


CSV = Kind("csv", ".csv", CsvSink, TABLE, read_table, facts=True)
COCO = Kind("coco", ".json", CocoSink, ALL, read_coco)
POSETRACK = Kind(
    "posetrack", ".posetrack.json", PoseTrackSink, ALL, read_posetrack, keypoints=frozenset(POSETRACK15.keypoints)
)
MOT = Kind("mot", ".mot.txt", MotSink, frozenset({Holds.boxes}), keypoints=NO_KEYPOINTS)
KINDS = (
    CSV,
    Kind("wide", ".wide.csv", WideSink, TABLE, read_table, facts=True),
    Kind("jsonl", ".jsonl", JsonlSink, ALL, read_jsonl),
    Kind("angles", ".angles.csv", AnglesSink, FACTS, facts=True, keypoints=NO_KEYPOINTS),
    COCO,
    POSETRACK,
    Kind("openpose", ".openpose", OpenPoseSink, SCORED, text=False, inside=openpose.ENDING, keypoints=BODY),
    Kind("trc", ".trc", TrcSink, frozenset({Holds.times}), text=False, inside=trc.ENDING),
    Kind("dlc", ".dlc.csv", DlcCsvSink, SCORED, filled=True),
    Kind(
        "dlc-h5", ".dlc.h5", DlcH5Sink, SCORED, text=False, filled=True, needs=("pandas", "tables"), extra="deeplabcut"
    ),
    Kind("parquet", ".parquet", ParquetSink, TABLE, read_parquet, text=False, needs=("pyarrow",), extra="parquet"),
    MOT,
)


def output_named(name: Path | str) -> Output | None:
    """The result that a name means, None if its ending is of no kind; UsageError for a kind that stdout cannot take.

    `-` alone is a tidy table on stdout, which may be called /dev/stdout, too.
    """
    stated, colon, rest = str(name).partition(":")
    found = next((kind for kind in KINDS if colon and kind.name == stated), None)
    path = Path(rest if found else name)
    path = STDOUT if path == DEVICE else path
    if found is None:
        found = CSV if path == STDOUT else _by_end(path)
    if found and path == STDOUT and not found.text:
        raise UsageError(f"{found.name} cannot go to stdout", f"name it: out{found.end}")
    return Output(found, path) if found else None


def source_named(name: Path | str) -> Output | None:
    """The result that is read under a name: as in `output_named`, but what a .json holds tells PoseTrack from COCO.

    InputError for stdin, a pipe or a device, UsageError for PoseTrack's layout that is said to be COCO's.
    """
    output = output_named(name)
    if output is None:
        return None
    path = output.path
    if path == STDOUT or (path.exists() and not path.is_file() and not path.is_dir()):
        what = "stdin" if path == STDOUT else shown(path)
        raise InputError(f"{what} is a pipe or a device, and poses are read from files", "write them to a file first")
    if output.kind is not COCO or not is_posetrack(path):
        return output
    if is_stated(name):
        what = f"{shown(path)} has the joints of PoseTrack's layout, not of COCO's"
        raise UsageError(what, f"leave {COCO.name}: out, or say {POSETRACK.name}:")
    return Output(POSETRACK, path)


def is_stated(name: Path | str) -> bool:
    """Whether a name says its kind, as posetrack:walk.json does."""
    output = output_named(name)
    return output is not None and output.path != Path(name)


def _by_end(path: Path) -> Kind | None:
    fitting = [kind for kind in KINDS if path.name.lower().endswith(kind.end)]
    return max(fitting, key=lambda kind: len(kind.end), default=None)


def check_stdout(outputs: Iterable[Output], json: bool) -> None:
    """UsageError if more than one thing wants stdout."""
    wanting = [f"-o {output.kind.name}:-" for output in outputs if output.path == STDOUT] + ["--json"] * json
    if len(wanting) > 1:
        raise UsageError(f"{wanting[0]} and {wanting[1]} both want stdout", "give one of them a file")
