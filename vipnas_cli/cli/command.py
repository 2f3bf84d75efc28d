"""Options written once: the fields of a frozen dataclass are the options of a command, and what its job is given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Options = TypeVar("Options")


def command(work: Callable[[Options], None]) -> Callable[..., None]:
    """What Typer makes a command of: a function with the fields of the dataclass that `work` takes as its parameters.

    Its help is the docstring of `work`. An option whose field is a tuple of any length may be given several times; a
    field that is no argument of the dataclass is no option.
    """
    options = next(iter(get_type_hints(work).values()))
    hints = get_type_hints(options, include_extras=True)
    asked = [field for field in fields(options) if field.init]
    several = {field.name for field in asked if get_origin(get_args(hints[field.name])[0]) is tuple}

    def run(**values: Any) -> None:
        work(options(**{name: tuple(value or ()) if name in several else value for name, value in values.items()}))

    run.__name__, run.__doc__ = work.__name__, work.__doc__
    parameters = []
    for field in asked:
        annotation, default = hints[field.name], field.default
        if field.name in several:
            kind, option = get_args(annotation)
            typed: Any = list[get_args(kind)[0]]  # type: ignore[misc]
            if default is not MISSING:
                typed, default = typed | None, None
            annotation = Annotated[typed, option]
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if default is MISSING else default,
                annotation=annotation,
            )
        )
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
