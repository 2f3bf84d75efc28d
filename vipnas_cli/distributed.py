"""Several processes that train one network or search together: one process group of torch.distributed.

`torchrun` starts processes on one machine or several; a search may also start them itself, on this machine.

Training: each process takes its rows of every batch. Gradients are averaged once per step by an explicit all-reduce,
after all backward passes of the step: torch's DistributedDataParallel hooks into one backward pass of one module's
forward, and the sub-networks of a super-network run several passes, each through another functional view of the shared
weights.

Losses divide by `mean_over_ranks` of their weights, so the averaged gradients are those of the whole batch. Batch
normalisation sees the rows of its own process, and the running statistics are averaged over all, unless the recipe
asks for `synced_batch_norm`.

Search: every process runs the same search from the same seed and only the scoring of candidates is divided, so nothing
has to be kept in step but the scores, and gathering them in a fixed order makes the result independent of the number of
processes. A queue with shared storage (Ray, optuna) would hand out candidates in the order in which workers finish.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vipnas_cli.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is; all of them call the methods in the same order."""

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them; objects are pickled, so all must be trusted."""
        if self.count == 1:
            return make()
        box: list[T | None] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """The values of all processes in the order of their ranks, in all of them; objects are pickled."""
        if self.count == 1:
            return [value]
        found: list[T | None] = [None] * self.count
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]


def ranks() -> Ranks:
    """This process's place in the process group; alone without one."""
    if not (dist.is_available() and dist.is_initialized()):
        return Ranks()
    return Ranks(dist.get_rank(), dist.get_world_size())


def local_rank() -> int:
    """The number of this process on its machine as torchrun says, 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def torchrun_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Which process of `torchrun` this is, -1 if it was not started by it."""
    launched = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= environment.keys()
    return int(environment["RANK"]) if launched else -1


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """The group that torchrun's environment describes, left again at the end; nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    with _joined("nccl" if device.type == "cuda" else "gloo", "env://"):
        yield ranks()


@contextmanager
def worker_group(workers: int, threads: int, part: Callable[[Ranks], object]) -> Iterator[Ranks]:
    """The group of `torchrun`, or else one of `workers` processes on this machine, of which this is the first.

    The other local processes run `part`, a function that can be pickled, and end with this one. Every process
    computes with as many `threads`, because sums are rounded differently with other numbers.
    """
    torch.set_num_threads(threads)
    if torchrun_rank() >= 0 or workers == 1:
        with process_group(torch.device("cpu")) as group:
            yield group
        return
    address = f"tcp://127.0.0.1:{_free_port()}"
    context = multiprocessing.get_context("spawn")
    arguments = [(rank, workers, address, threads, part) for rank in range(1, workers)]
    others = [context.Process(target=_take_part, args=row, daemon=True) for row in arguments]
    try:
        for process in others:
            process.start()
        with _joined("gloo", address, 0, workers):
            yield ranks()
        for process in others:
            process.join()
    finally:
        for process in others:
            if process.is_alive():
                process.terminate()


@contextmanager
def _joined(backend: str, address: str, rank: int = -1, count: int = -1) -> Iterator[None]:
    """Membership in the group that meets at an init method of torch.distributed; `env://` knows rank and count."""
    dist.init_process_group(backend, init_method=address, rank=rank, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _take_part(rank: int, count: int, address: str, threads: int, part: Callable[[Ranks], object]) -> None:
    """What the other local processes do; Ctrl-C ends the first one, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    with _joined("gloo", address, rank, count):
        part(ranks())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def together() -> None:
    """Waits until all processes are here."""
    if ranks().count > 1:
        dist.barrier()


@contextmanager
def one_first() -> Iterator[None]:
    """What is inside is done by the first process of each machine, then by the others, which find its files."""
    if local_rank() != 0:
        together()
    yield
    if local_rank() == 0:
        together()


def own_rows(batch_size: int) -> range:
    """The rows of a batch that this process computes; UsageError if they cannot be shared out evenly."""
    place = ranks()
    if batch_size % place.count:
        raise UsageError(
            f"a batch of {batch_size} cannot be shared by {place.count} processes",
            "start as many processes as divide the recipe's batch",
        )
    share = batch_size // place.count
    return range(place.rank * share, (place.rank + 1) * share)


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a tensor without gradient over all processes; the tensor itself when alone."""
    count = ranks().count
    if count == 1:
        return value
    summed = value.detach().clone()
    dist.all_reduce(summed)
    return summed / count


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether a flag is set in one of the processes; all of them get the same answer."""
    if ranks().count == 1:
        return flag
    return bool(mean_over_ranks(torch.tensor(float(flag), device=device)) > 0)


@torch.no_grad()
def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors of one type by their means over all processes, in one message."""
    count = ranks().count
    if count == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    parts = torch.split(flat / count, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


@torch.no_grad()
def same_everywhere(net: nn.Module) -> None:
    """Gives all processes the weights of the first."""
    if ranks().count > 1:
        for tensor in net.state_dict().values():
            # Messages are plain memory, whatever order the channels have here.
            plain = tensor.contiguous()
            dist.broadcast(plain, 0)
            tensor.copy_(plain)
