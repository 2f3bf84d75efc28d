"""The log: what is written is read, cut lines go, foreign logs are refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from vipnas_cli.errors import InputError, OutputError, UsageError
from vipnas_cli.evaluation.cycles import Score
from vipnas_cli.search.candidate import Evaluation
from vipnas_cli.search.log import SearchLog
from vipnas_cli.spec import CycleSpace

PROBLEM = {"mode": "temporal", "seed": 0, "clips": ["a", "b"]}


@pytest.fixture
def rows(small_cycles: CycleSpace) -> list[Evaluation]:
    rng = Random(0)
    return [
        Evaluation(n, "random", small_cycles.sample(rng), 1e6 / 3, 0.1 + n, Score(50 / 3, (1 / 3, 2 / 3)), 0.5, n % 2)
        for n in range(3)
    ]


def written(path: Path, rows: list[Evaluation]) -> SearchLog:
    """A log with rows."""
    log = SearchLog(path / "new" / "candidates.jsonl")
    log.start(PROBLEM)
    for row in rows:
        log.append(row)
    return log


def test_what_is_written_is_read(tmp_path: Path, rows: list[Evaluation]) -> None:
    assert written(tmp_path, rows).resume(PROBLEM) == rows
    assert written(tmp_path / "empty", []).resume(PROBLEM) == []


def test_a_line_that_a_crash_cut_off_is_removed(tmp_path: Path, rows: list[Evaluation]) -> None:
    log = written(tmp_path, rows)
    data = log.path.read_bytes()
    log.path.write_bytes(data[:-10])
    assert log.resume(PROBLEM) == rows[:2]
    log.append(rows[2])
    assert log.path.read_bytes() == data


def test_a_log_of_another_problem_is_refused(tmp_path: Path, rows: list[Evaluation]) -> None:
    log = written(tmp_path, rows)
    with pytest.raises(UsageError, match=r"another seed: 0, not 1"):
        log.resume({**PROBLEM, "seed": 1})
    with pytest.raises(UsageError, match=r"another clips"):
        log.resume({**PROBLEM, "clips": ("a", "c")})
    assert log.resume({**PROBLEM, "clips": ("a", "b")}) == rows


def test_a_log_is_never_overwritten(tmp_path: Path, rows: list[Evaluation]) -> None:
    log = written(tmp_path, rows)
    with pytest.raises(OutputError, match="exists already"):
        log.start(PROBLEM)


@pytest.mark.parametrize("content", ["", "not json\n", '{"format": 9, "problem": {}}\n', "[]\n", '{"a": 1}\n'])
def test_what_is_no_log_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "candidates.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"candidates\.jsonl"):
        SearchLog(path).resume(PROBLEM)
    with pytest.raises(InputError):
        SearchLog(tmp_path / "missing.jsonl").resume(PROBLEM)
