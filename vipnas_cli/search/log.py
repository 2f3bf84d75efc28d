"""The log of a search: one JSON line per scored candidate, from which an interrupted search goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli.documents import LARGEST_LABELS, DocumentKind, brief
from vipnas_cli.errors import InputError, OutputError, UsageError
from vipnas_cli.files import make_parent
from vipnas_cli.locks import LineLog
from vipnas_cli.search.candidate import Evaluation, EvaluationRow

FORMAT = 1
Problem = dict[str, Any]
LOGS = DocumentKind("a log of a search", InputError, "start anew with another --out", LARGEST_LABELS)


@dataclass(frozen=True)
class SearchLog:
    """A file whose first line says what is searched for, and whose other lines are evaluations in their order."""

    path: Path

    def start(self, problem: Problem) -> None:
        """Begins a log; OutputError if there is one or it cannot be written."""
        if self.path.exists():
            raise OutputError(f"{self.path} exists already", "go on with --resume, or choose another folder with --out")
        make_parent(self.path)
        self._write({"format": FORMAT, "problem": problem})

    def resume(self, problem: Problem) -> list[Evaluation]:
        """The evaluations so far; a line that a crash cut off is left out.

        UsageError if the log belongs to another problem, InputError if it is no log.
        """
        rows = self._rows()
        with LOGS.told(self.path):
            if not rows:
                raise ValueError("it is empty")
            if rows[0]["format"] != FORMAT:
                raise ValueError(f"it has format {brief(rows[0]['format'])}, not {FORMAT}")
            logged = LOGS.convert(rows[0]["problem"], self.path, Problem)
            found = [Evaluation.from_json(LOGS.convert(row, self.path, EvaluationRow)) for row in rows[1:]]
        wanted = json.loads(json.dumps(problem))
        for name in wanted:
            if logged.get(name) != wanted[name]:
                raise UsageError(
                    f"{self.path} belongs to a search with another {name}: {logged.get(name)!r}, not {wanted[name]!r}",
                    "repeat the options of that search, or choose another folder with --out",
                )
        return found

    def append(self, evaluation: Evaluation) -> None:
        """Adds a line, whole and on the disk before this returns."""
        self._write(evaluation.to_json())

    def _write(self, row: dict[str, Any]) -> None:
        with LineLog(self.path, durable=True) as log:
            log.append(json.dumps(row, sort_keys=True, separators=(",", ":")))

    def _rows(self) -> list[Any]:
        return LOGS.read_lines(self.path, dict[str, Any])
