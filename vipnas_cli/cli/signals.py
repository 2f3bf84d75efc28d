"""Signals that ask a command to stop: all do what Ctrl-C does."""

from __future__ import annotations

import signal
import time
from types import FrameType

# `docker stop`, `timeout`, systemd and queues send SIGTERM; a terminal that is closed sends SIGHUP.
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
# Signals that come within this time are one wish: a closed terminal, for one, sends two.
TOGETHER_S = 0.5


def heed_signals() -> None:
    """Makes each of them raise KeyboardInterrupt, once more if a second one comes later; ignored ones stay so."""
    last = -TOGETHER_S

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= TOGETHER_S:
            raise KeyboardInterrupt

    for name in STOPPING:
        number = getattr(signal, name, None)  # Windows lacks some
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interrupt)


def ignore_signals() -> None:
    """Lets a command that was asked to stop end with its own exit code, whatever else comes."""
    for name in STOPPING:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
