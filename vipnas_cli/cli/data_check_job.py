"""What `vipnas data check` does: look through each label file and tell what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from vipnas_cli.cli.console import counted, message_console, print_json
from vipnas_cli.cli.options import CheckOptions
from vipnas_cli.data.checks.files import Checked, check_file, label_files
from vipnas_cli.data.checks.problems import Problem
from vipnas_cli.errors import DataError

SCHEMA = 1
# More lines of one kind than this say nothing new; --json has them all.
MOST_LINES = 200


def check_job(options: CheckOptions) -> None:
    """Prints what is wrong; DataError when something is impossible to train on or to score."""
    console = message_console(options.quiet or options.json)
    checked = [check_file(file, options.pictures, partial(counted, console)) for file in label_files(options.path)]
    problems = [problem for one in checked for problem in one.problems]
    if options.json:
        print_json(_document(checked))
    else:
        _print(checked, problems)
    wrong = sum(problem.fatal for problem in problems)
    if wrong:
        raise DataError(f"{options.path} has {wrong} problem{'s' * (wrong > 1)}", "correct or remove these entries")


def _document(checked: Sequence[Checked]) -> dict[str, Any]:
    """The result as JSON."""
    files = [
        {"file": str(one.file), "layout": one.layout, "images": one.images, "persons": one.persons}
        | {"keypoints_by_visibility": one.flags}
        for one in checked
    ]
    problems = [
        {"file": str(problem.file), "entry": problem.entry, "what": problem.what, "fatal": problem.fatal}
        for one in checked
        for problem in one.problems
    ]
    fatal = sum(problem["fatal"] is True for problem in problems)
    counts = {"fatal": fatal, "warnings": len(problems) - fatal}
    return {"schema": SCHEMA, "files": files, "counts": counts, "problems": problems}


def _print(checked: Sequence[Checked], problems: Sequence[Problem]) -> None:
    # What is impossible first: a long list of warnings must not hide it.
    for problem in sorted(problems, key=lambda problem: not problem.fatal)[:MOST_LINES]:
        print(problem)
    if len(problems) > MOST_LINES:
        print(f"… and {len(problems) - MOST_LINES} more; --json lists them all")
    layouts = ", ".join(sorted({one.layout for one in checked}))
    images, persons = sum(one.images for one in checked), sum(one.persons for one in checked)
    flags: Counter[str] = Counter()
    for one in checked:
        flags.update(one.flags)
    joints = ", ".join(f"{count} with v={flag}" for flag, count in sorted(flags.items()))
    fatal = sum(problem.fatal for problem in problems)
    print(f"{len(checked)} file{'s' * (len(checked) != 1)} ({layouts}): {images} images, {persons} persons")
    print(f"keypoints: {joints or 'none'}")
    print(f"{fatal} impossible, {len(problems) - fatal} doubtful")
