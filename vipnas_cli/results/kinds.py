"""The kinds of result files, and which one a name means: that of its longest known ending, or the one stated before it.

`clip.wide.csv` and `wide:clip.csv` are wide tables, `clip.csv` a tidy one, and `jsonl:-` is JSON Lines on stdout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vipnas_cli.errors import OutputError
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.angles import AnglesSink
from vipnas_cli.results.coco import CocoSink
from vipnas_cli.results.facts import ResultHeader, Results
from vipnas_cli.results.jsonl import JsonlSink, read_jsonl
from vipnas_cli.results.sink import STDOUT, ResultSink, facts_path
from vipnas_cli.results.table import CsvSink, WideSink, read_table


@dataclass(frozen=True)
class Kind:
    """A kind of result file: what it is called, how names of it end, what writes it and what reads it.

    `text` may go to stdout; `facts`: a file of facts stands beside it.
    """

    name: str
    end: str
    sink: Callable[[Path | str, Skeleton, ResultHeader], ResultSink]
    read: Callable[[Path], Results] | None = None
    text: bool = True
    facts: bool = False


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

    def open(self, skeleton: Skeleton, header: ResultHeader) -> ResultSink:
        """What takes the frames; OutputError if it cannot be written."""
        return self.kind.sink(self.path, skeleton, header)


CSV = Kind("csv", ".csv", CsvSink, read_table, facts=True)
KINDS = (
    CSV,
    Kind("wide", ".wide.csv", WideSink, read_table, facts=True),
    Kind("jsonl", ".jsonl", JsonlSink, read_jsonl),
    Kind("angles", ".angles.csv", AnglesSink, facts=True),
    Kind("coco", ".json", CocoSink),
)


def output_named(name: Path | str) -> Output | None:
    """The result that a name means, None if its ending is of no kind; OutputError for a kind that stdout cannot take.

    `-` alone is a tidy table on stdout.
    """
    stated, colon, rest = str(name).partition(":")
    found = next((kind for kind in KINDS if colon and kind.name == stated), None)
    path = Path(rest if found else name)
    if found is None:
        found = CSV if path == STDOUT else _by_end(path)
    if found and path == STDOUT and not found.text:
        raise OutputError(f"{found.name} cannot go to stdout", f"name it: out{found.end}")
    return Output(found, path) if found else None


def _by_end(path: Path) -> Kind | None:
    fitting = [kind for kind in KINDS if path.name.lower().endswith(kind.end)]
    return max(fitting, key=lambda kind: len(kind.end), default=None)
