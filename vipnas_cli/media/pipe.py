"""Pipes as inputs: read once, with a bounded wait for data that an interrupt ends."""

from __future__ import annotations

import os
import re
import selectors
import stat
import time
import weakref
from pathlib import Path

from vipnas_cli.media.address import STDIN_PATH

# Seconds without data after which a pipe is given up, and between two looks at whether somebody wants to stop.
PATIENCE_S = 60
LOOK_S = 0.1
# Not select, which fails for descriptors from 1024 on, nor epoll, which takes no device. Windows has no such thing for
# pipes: there each read waits as long as it takes.
_Selector: type[selectors.BaseSelector] | None = getattr(selectors, "PollSelector", None)
# What this process was started with: its stdin, or what a shell opened for it.
_INHERITED = re.compile(r"/dev/stdin|(?:/dev/fd|/proc/self/fd)/([0-9]{1,6})")


def is_inherited(path: Path) -> bool:
    """Whether a path is that of a descriptor of this process, which has another meaning in another one."""
    return _INHERITED.fullmatch(path.as_posix()) is not None


def is_pipe(path: Path) -> bool:
    """Whether a path is a FIFO, a process substitution, a socket or a terminal, which can be read once only."""
    if not path.exists():  # which is so of stdin on Windows
        return path == STDIN_PATH
    mode = path.stat().st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class PipeFile:
    """The data of a pipe for FFmpeg; it ends at `stop`, by Ctrl-C, or when nothing comes for `PATIENCE_S`.

    `interrupted` and `timed_out` say why it ended before its time, `empty` that nothing came.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.interrupted = self.timed_out = False
        self.empty = True
        self._descriptor = _opened(path)
        self._selector = None if _Selector is None else _Selector()
        if self._selector is not None:
            self._selector.register(self._descriptor, selectors.EVENT_READ)
        # Whatever writes to a pipe waits as long as anybody could still read it.
        self._release = weakref.finalize(self, _let_go, self._selector, self._descriptor)
        self._release.atexit = False

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end or after `close`."""
        try:
            return self._wait(size)
        except KeyboardInterrupt:  # FFmpeg calls from C, which no exception passes
            self.interrupted = True
            return b""

    def _wait(self, size: int) -> bytes:
        end = time.monotonic() + PATIENCE_S
        while self._release.alive and not (self.interrupted or self.timed_out):
            if self._selector is None or self._selector.select(LOOK_S):
                try:
                    data = os.read(self._descriptor, size)
                except BlockingIOError:
                    continue
                self.empty = self.empty and not data
                return data
            self.timed_out = time.monotonic() > end
        return b""

    def stop(self) -> None:
        """End the data, also for a thread that waits for them."""
        self.interrupted = True

    def close(self) -> None:
        """Let go of the pipe; again is nothing, as its number may be that of another file by then."""
        self._release()


def _let_go(selector: selectors.BaseSelector | None, descriptor: int) -> None:
    if selector is not None:
        selector.close()
    os.close(descriptor)


def _opened(path: Path) -> int:
    inherited = _INHERITED.fullmatch(path.as_posix())
    # A socket cannot be opened by a name, and Windows has none for stdin.
    if inherited and (not path.exists() or stat.S_ISSOCK(path.stat().st_mode)):
        return os.dup(int(inherited[1] or 0))
    # Without O_NONBLOCK opening would wait for a writer, and nothing could end that.
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
