"""The log of a search: one JSON line per scored candidate, from which an interrupted search goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipnas_cli.errors import InputError, OutputError, SpecError, UsageError
from vipnas_cli.files import LineLog, make_parent
from vipnas_cli.search.candidate import Evaluation

FORMAT = 1
Problem = dict[str, Any]


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
        try:
            if rows[0]["format"] != FORMAT:
                raise InputError(f"{self.path} is a log of format {rows[0]['format']}", "start anew with another --out")
            logged = rows[0]["problem"]
            found = [Evaluation.from_json(row) for row in rows[1:]]
        except (IndexError, KeyError, TypeError, SpecError) as error:
            raise InputError(f"{self.path} is not a log of a search: {error!r}", "start anew, another --out") from error
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
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror}", "resume where a search wrote") from error
        whole = data[: data.rfind(b"\n") + 1]
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise InputError(f"{self.path} is damaged: {error}", "start anew with another --out") from error
