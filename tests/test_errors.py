"""Errors are sentences with a hint; their place in the tree decides the exit code."""

from __future__ import annotations

import inspect
import pickle
import traceback

import pytest

from vipnas_cli import errors
from vipnas_cli.errors import VipnasError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, VipnasError)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_and_hint_are_kept(kind: type[VipnasError]) -> None:
    error = kind("the file is empty", "restore it")
    assert (str(error), error.what, error.hint) == ("the file is empty", "the file is empty", "restore it")
    assert kind("alone").hint == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_traceback_shows_the_hint_once_also_of_another_process(kind: type[VipnasError]) -> None:
    error = kind("the file is empty", "restore it")
    sent = pickle.loads(pickle.dumps(error))
    assert (type(sent), str(sent), sent.hint) == (kind, "the file is empty", "restore it")
    for one in (error, sent):
        one.hint = "told later"
        assert [line.strip() for line in traceback.format_exception_only(one)[-2:]] == [
            f"vipnas_cli.errors.{kind.__name__}: the file is empty",
            "restore it",
        ]
    assert len(traceback.format_exception_only(kind("alone"))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawn_tree_is_the_tree(kind: type[VipnasError]) -> None:
    drawn = {line.replace("│", " ").replace("├──", "   ").replace("└──", "   ") for line in errors.__doc__.splitlines()}
    line = next(line for line in drawn if line.split()[:1] == [kind.__name__])
    depth = (len(line) - len(line.lstrip())) // 4
    assert depth == len(kind.__mro__) - len(VipnasError.__mro__)


def test_exit_codes() -> None:
    codes = {kind.__name__: kind.exit_code for kind in KINDS}
    assert codes == {
        "VipnasError": 1,
        "UsageError": 2,
        "SpecError": 2,
        "BudgetError": 2,
        "InputError": 3,
        "VideoError": 3,
        "DataError": 3,
        "WeightsError": 4,
        "OutputError": 1,
        "ProgramError": 1,
    }
