"""The processes that search together, on one machine or several: torch.distributed with the gloo backend.

Every process runs the same search from the same seed and only the scoring of candidates is divided, so nothing has to
be kept in step but the scores. torch.distributed fits that: torch is there anyway, `torchrun` starts it on several
machines, and gathering in a fixed order makes the result independent of the number of processes. A queue with
shared storage (Ray, optuna) would hand out candidates in the order in which workers finish, which is neither.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class Team(Protocol):
    """The processes of a search; all of them call the same methods in the same order."""

    @property
    def rank(self) -> int:
        """The number of this process; the first one is 0."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them."""
        ...

    def gathered(self, value: T) -> list[T]:
        """The values of all processes in the order of their ranks, in all of them."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process."""

    rank: int = 0
    size: int = 1

    def from_first(self, make: Callable[[], T]) -> T:
        """See Team."""
        return make()

    def gathered(self, value: T) -> list[T]:
        """See Team."""
        return [value]


@dataclass(frozen=True)
class Distributed:
    """Processes joined by torch.distributed; objects are pickled, so all must be trusted."""

    rank: int
    size: int

    def from_first(self, make: Callable[[], T]) -> T:
        """See Team."""
        box: list[T | None] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """See Team."""
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]


@contextmanager
def joined(rank: int, size: int, address: str, threads: int) -> Iterator[Team]:
    """Membership in the team that meets at `address` (an init method of torch.distributed)."""
    torch.set_num_threads(threads)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    try:
        yield Distributed(rank, size)
    finally:
        dist.destroy_process_group()


def torchrun_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Which process of `torchrun` this is, -1 if it was not started by it."""
    launched = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= environment.keys()
    return int(environment["RANK"]) if launched else -1


@contextmanager
def team_of(workers: int, threads: int, part: Callable[[Team], object]) -> Iterator[Team]:
    """The team of this process: that of `torchrun`, or one with `workers` local processes.

    The other local processes run `part`, a function that can be pickled, and end with this one. Every process
    computes with as many `threads`, because sums are rounded differently with other numbers.
    """
    if torchrun_rank() >= 0:
        with joined(torchrun_rank(), int(os.environ["WORLD_SIZE"]), "env://", threads) as team:
            yield team
        return
    if workers == 1:
        torch.set_num_threads(threads)
        yield Alone()
        return
    address = f"tcp://127.0.0.1:{_free_port()}"
    context = multiprocessing.get_context("spawn")
    arguments = [(rank, workers, address, threads, part) for rank in range(1, workers)]
    others = [context.Process(target=_take_part, args=row, daemon=True) for row in arguments]
    try:
        for process in others:
            process.start()
        with joined(0, workers, address, threads) as team:
            yield team
        for process in others:
            process.join()
    finally:
        for process in others:
            if process.is_alive():
                process.terminate()


def _take_part(rank: int, size: int, address: str, threads: int, part: Callable[[Team], object]) -> None:
    """What the other local processes do; Ctrl-C ends the first one, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with joined(rank, size, address, threads) as team:
        part(team)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
