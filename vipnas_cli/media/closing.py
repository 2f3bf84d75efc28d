"""Letting go of what a thread may be using at that moment, without waiting for it and without pulling it away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import TypeVar

from vipnas_cli.errors import UsageError
from vipnas_cli.files import SelfClosing
from vipnas_cli.media.frames import Frame

ResultT = TypeVar("ResultT")


class Closer:
    """Releases what is used in steps, of one thread at a time: at `close`, or at the end of a step that is under way.

    `closed` is set from the first `close` on.
    """

    def __init__(self, name: str, release: Callable[[], None]) -> None:
        self.closed = False
        self.name, self._release = name, release
        self._used = Lock()

    def step(self, use: Callable[[], ResultT]) -> ResultT | None:
        """What `use` returns, None without calling it once closed; UsageError during another step."""
        if not self._used.acquire(blocking=False):
            if self.closed:
                return None
            raise UsageError(f"{self.name} is being read by another thread", "Read it in one thread.")
        try:
            return None if self.closed else use()
        finally:
            self._used.release()
            if self.closed:
                self.close()

    def close(self) -> None:
        """Release it, now or at the end of the step that is under way; again is nothing."""
        self.closed = True
        # Nobody waits here: a signal handler or a finaliser may close what its own thread is using.
        if self._used.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._used.release()

    def check(self) -> None:
        """UsageError once closed."""
        if self.closed:
            raise refusal(self.name)


class SteppedReader(SelfClosing):
    """Iterates over `_frames`, each taken in a step of `_closer`; UsageError for who begins once it is closed."""

    _frames: Iterator[Frame]
    _closer: Closer

    def __iter__(self) -> Iterator[Frame]:
        self._closer.check()
        return self

    def __next__(self) -> Frame:
        frame = self._closer.step(lambda: next(self._frames, None))
        if frame is None:
            raise StopIteration
        return frame


def refusal(name: str) -> UsageError:
    """The error for who begins to read what is closed."""
    return UsageError(f"{name} is closed already", "Read it inside its with block, before close().")
