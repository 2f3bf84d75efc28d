"""Signals that ask a command to stop: all do what Ctrl-C does."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# `docker stop`, `timeout`, systemd and queues send SIGTERM; a terminal that is closed sends SIGHUP.
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
# Signals that come within this time are one wish: a closed terminal, for one, sends two.
TOGETHER_S = 0.5

Handler = Callable[[int, FrameType | None], None]


def heed_signals() -> None:
    """Makes each of them raise KeyboardInterrupt, once more if a second one comes later; ignored ones stay so."""
    interrupt = _once(_interrupt)
    for number in _stopping():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interrupt)


def ignore_signals() -> None:
    """Lets a command that was asked to stop end with its own exit code, whatever else comes."""
    for number in _stopping():
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def heeding(stop: Callable[[], None]) -> Iterator[None]:
    """Within it each of them calls `stop`, once more if a second one comes later; ignored ones stay so."""
    handler = _once(stop)
    # None is a handler that Python knows nothing of and could not put back.
    kept = (signal.SIG_IGN, None)
    before = {number: found for number in _stopping() if (found := signal.getsignal(number)) not in kept}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


def _stopping() -> list[signal.Signals]:
    """Those that this system has; Windows lacks some."""
    return [signal.Signals[name] for name in STOPPING if name in signal.Signals.__members__]


def _once(act: Callable[[], None]) -> Handler:
    """A handler that does something for the first of the signals that come together."""
    last = -TOGETHER_S

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= TOGETHER_S:
            act()

    return handle


def _interrupt() -> None:
    raise KeyboardInterrupt
