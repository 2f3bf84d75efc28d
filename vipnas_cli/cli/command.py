"""Options written once: the fields of a frozen dataclass are the options of a command, and what its job is given."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

Options = TypeVar("Options")
Work = Callable[[Options], None]

# What stands for a value in the help, where an option does not say it; flags have none.
STANDS_FOR = {int: "N", float: "X", Path: "PATH", str: "TEXT", bool: ""}
# A list of choices longer than this takes the place of the help beside it, which tells them then.
SHORT_CHOICES = 20


def command(app: typer.Typer, module: str, name: str | None = None) -> Callable[[Work[Options]], Work[Options]]:
    """Makes the function below a command of `app`, with the fields of the dataclass that it takes as its parameters.

    Its help is the docstring of the function. The dataclass is in `module`, which is loaded when the command is called
    or its options are asked for.
    """

    def add(work: Work[Options]) -> Work[Options]:
        typed = name or work.__name__.replace("_", "-")
        late: Any = partial(LateCommand, lambda: _function(work, module))
        app.command(typed, cls=late, help=work.__doc__)(lambda: None)
        return work

    return add


class LateCommand(TyperCommand):
    """A command that learns its parameters when they are asked for; the overview of all commands needs none."""

    def __init__(self, late: Callable[[], Callable[..., None]], *, params: Any, callback: Any, **about: Any) -> None:
        super().__init__(**about)
        self._late = late
        del self.params, self.callback

    def __getattr__(self, name: str) -> Any:
        """The parameters, and what is called with their values, for the first time."""
        if name not in ("params", "callback"):
            raise AttributeError(name)
        alone = typer.Typer(add_completion=False)
        alone.command()(self._late())
        whole = typer.main.get_command(alone)
        self.params, self.callback = whole.params, whole.callback
        return getattr(self, name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the options; an error says where a setting is from that cannot be read."""
        from vipnas_cli.cli.defaults import heed_settings

        heed_settings(ctx, asks_for_help=any(word in ctx.help_option_names for word in args))
        with _set_somewhere(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Does the work; an error says where a setting is from that cannot be used."""
        from vipnas_cli.cli.defaults import heed_settings

        # Once more, as --help may have been the value of an option.
        heed_settings(ctx)
        with _set_somewhere(ctx):
            return super().invoke(ctx)


@contextmanager
def _set_somewhere(context: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        from vipnas_cli.cli.defaults import say_where_set, unusable

        if unusable(context) is None:
            say_where_set(error, context)
        raise


def _function(work: Work[Options], module: str) -> Callable[..., None]:
    """The work as a function of the fields of the dataclass that it takes, with the signature that Typer reads.

    An option whose field is a tuple of any length may be given several times; a field that is no argument of the
    dataclass is no option.
    """
    options = next(iter(get_type_hints(work, localns=vars(import_module(module))).values()))
    hints = get_type_hints(options, include_extras=True)
    asked = [field for field in fields(options) if field.init]
    several = {field.name for field in asked if get_origin(get_args(hints[field.name])[0]) is tuple}

    def run(**values: Any) -> None:
        work(options(**{name: tuple(value or ()) if name in several else value for name, value in values.items()}))

    parameters = []
    for field in asked:
        annotation, default = _shortly(hints[field.name]), field.default
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


def _shortly(annotation: Any) -> Any:
    """The annotation of an option, its type said in a word, so that the help has room at any width of the terminal."""
    kind, option, *others = get_args(annotation)
    plain = next((part for part in (*get_args(kind), kind) if part in STANDS_FOR or _is_choice(part)), None)
    if not isinstance(option, OptionInfo) or plain is None or option.metavar is not None or option.parser is not None:
        return annotation
    option = copy.copy(option)
    if plain in STANDS_FOR:
        option.metavar = STANDS_FOR[plain]
    else:
        choices = [str(choice.value) for choice in plain]
        if len("|".join(choices)) > SHORT_CHOICES:
            option.metavar, option.help = "NAME", f"{option.help} One of {', '.join(choices)}."
    return Annotated[kind, option, *others]


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)
