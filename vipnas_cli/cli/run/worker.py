"""Processes that run inputs one after another; if one is lost, only its input at hand is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from vipnas_cli.cli.console import Messages
from vipnas_cli.cli.run.attempt import Done, attempt, failed, interrupted
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.signals import heed_signals
from vipnas_cli.errors import UsageError, VipnasError, WeightsError
from vipnas_cli.files import shown
from vipnas_cli.inference.pipeline import RunStatistics

# So many seconds pass at least between two words of a worker about the frames that are done.
TOLD_EVERY_S = 1.0


@dataclass(frozen=True)
class Said:
    """A message of a worker about the input at hand; a `detail` is told to few."""

    text: str
    detail: bool


Heard = Callable[[int], None]
Hears = Callable[[str, Said], None]


class Relay(Messages):
    """Where messages of a worker go: to the process that asked, which has the terminal and the log."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(stderr=True, quiet=True)
        self._pipe = pipe

    def once(self, text: str, before: str = "") -> None:
        """Tells what the other process tells once, whichever worker says it first."""
        self._pipe.send(Said(before + text, detail=False))

    def detail(self, text: str) -> None:
        """Tells something that few want to know."""
        self._pipe.send(Said(text, detail=True))


class Worker:
    """Asks a process of its own, which ends with this one, and begins another where it is lost."""

    def __init__(self, options: RunOptions) -> None:
        self._options = replace(options, quiet=True)
        self._pipe: Connection | None = None
        # Once it has begun.
        self._process: BaseProcess | None = None
        self._interrupted = False

    def ask(
        self, run: RunOptions, heard: Heard = lambda _frames: None, said: Hears = lambda _name, _message: None
    ) -> Done:
        """Runs one input and waits for it; UsageError and WeightsError are raised.

        `heard` is called with the number of frames that are done, every second; `said` with the name of the input and
        each message about it.
        """
        name = shown(str(run.video))
        if self._interrupted:
            return interrupted(name)
        pipe, process = self._begun()
        try:
            pipe.send(run)
            answer: Done | VipnasError | Said | int = pipe.recv()
            while isinstance(answer, int | Said):
                if isinstance(answer, int):
                    heard(answer)
                else:
                    said(name, answer)
                answer = pipe.recv()
        except (EOFError, OSError):
            self._pipe = None
            process.join()
            if self._interrupted:
                return interrupted(name)
            return failed(name, VipnasError(f"its process was lost with exit code {process.exitcode}"))
        if isinstance(answer, VipnasError):
            raise answer
        return answer

    def interrupt(self) -> None:
        """Does to the process what Ctrl-C does to a run."""
        self._interrupted = True
        process = self._process
        if process is not None:
            process.terminate()

    def close(self) -> None:
        """Ends the process, which has nothing to do."""
        if self._pipe is not None and self._process is not None:
            self._pipe.close()
            self._process.join()
            self._pipe = None

    def _begun(self) -> tuple[Connection, BaseProcess]:
        """The process and the pipe to it, which are begun where there are none."""
        if self._pipe is not None and self._process is not None:
            return self._pipe, self._process
        context = multiprocessing.get_context("spawn")
        pipe, far = context.Pipe()
        process = context.Process(target=serve, args=(far, self._options), daemon=True)
        process.start()
        far.close()
        self._pipe, self._process = pipe, process
        # `interrupt`, in another thread, says so before it looks for a process: one of the two ends this one.
        if self._interrupted:
            process.terminate()
        return pipe, process


class Crew:
    """Some workers, each with one input at a time.

    `heard` is called with the frames that are done of all inputs, `said` with an input and a message, one at a time.
    """

    def __init__(
        self,
        options: RunOptions,
        size: int,
        heard: Heard = lambda _frames: None,
        said: Hears = lambda _name, _message: None,
    ) -> None:
        self._heard, self._said, self._frames, self._lock = heard, said, Counter[str](), Lock()
        self._workers = [Worker(options) for _ in range(size)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._pool = ThreadPoolExecutor(max(1, size), "worker")

    def begin(self, run: RunOptions) -> Future[Done]:
        """Runs an input as soon as a worker is free."""
        return self._pool.submit(self._run, run)

    def _run(self, run: RunOptions) -> Done:
        worker = self._idle.get()
        try:
            return worker.ask(run, partial(self._hear, str(run.video)), self._listen)
        finally:
            self._idle.put(worker)

    @contextmanager
    def interrupted_by_errors(self) -> Iterator[None]:
        """An exception in the block, Ctrl-C too, interrupts the runs at hand and cancels the others."""
        try:
            yield
        except BaseException:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in self._workers:
                # One that cannot be asked to end, or Ctrl-C once more, leaves no other to run on.
                with suppress(OSError, KeyboardInterrupt):
                    worker.interrupt()
            raise

    def _hear(self, video: str, frames: int) -> None:
        with self._lock:
            self._frames[video] = frames
            self._heard(self._frames.total())

    def _listen(self, name: str, message: Said) -> None:
        with self._lock:
            self._said(name, message)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        for worker in self._workers:
            worker.close()


def serve(pipe: Connection, options: RunOptions) -> None:
    """Runs each input that comes through a pipe and answers how it ended, until the pipe is closed."""
    heed_signals()
    Thread(target=_end_with_parent, name="parent", daemon=True).start()
    console = Relay(pipe)
    told_s = time.monotonic()

    def tell(statistics: RunStatistics) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TOLD_EVERY_S:
            told_s = time.monotonic()
            pipe.send(statistics.frames)

    # Nobody hears the answer where the process that asked is gone.
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            run = pipe.recv()
            try:
                answer: Done | VipnasError = attempt(run, options, console, heard=tell)
            except (UsageError, WeightsError) as error:
                answer = error
            pipe.send(answer)


def _end_with_parent() -> None:
    """Does what Ctrl-C does as soon as the process that asks was killed: somebody may have begun its work anew."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
