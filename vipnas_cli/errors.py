"""The errors that the library raises; only the command line turns them into text and exit codes.

VipnasError                 exit code 1
├── UsageError         2    a value that the user typed cannot be used
│   ├── SpecError           an architecture, fusion, schedule or space breaks its rules
│   └── BudgetError         a budget that cannot be read or met
├── InputError         3    something to read is missing, broken or not what it should be
│   ├── VideoError          a video
│   └── DataError           labels, boxes or predictions
├── WeightsError       4    a model or weights file
├── OutputError        1    a result that cannot be written
└── ProgramError       1    an exception that nobody expected: a fault of this program
"""

from typing import ClassVar


class VipnasError(Exception):
    """A failure told in one sentence with the path or value, and a second sentence saying what to do.

    A traceback shows both: the second one is a note of the exception.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        if hint:
            self.add_note(hint)


class UsageError(VipnasError):
    """A value that the user typed cannot be used."""

    exit_code = 2


class SpecError(UsageError):
    """An architecture, fusion, schedule or space breaks its rules."""


class BudgetError(UsageError):
    """A budget that cannot be read or met."""


class InputError(VipnasError):
    """Something to read is missing, broken or not what it should be."""

    exit_code = 3


class VideoError(InputError):
    """A video is missing, damaged beyond use, or holds no picture."""


class DataError(InputError):
    """Labels, boxes or predictions are missing or malformed."""


class WeightsError(VipnasError):
    """A model or weights file is missing, foreign, damaged or of the wrong version."""

    exit_code = 4


class OutputError(VipnasError):
    """A result cannot be written."""


class ProgramError(VipnasError):
    """An exception that nobody expected: a fault of this program."""
