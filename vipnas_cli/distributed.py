"""Several processes that train one network or search together: one process group of torch.distributed.

`torchrun` starts processes on one machine or several, which meet over the network and trust each other. A search may
also start them itself, on this machine: those talk through pipes that no other process can reach.

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
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vipnas_cli.errors import UsageError, VipnasError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is; all of them call the methods in the same order.

    `pipes` are those of local workers: from the first process to each of the others, from each of those to the first.
    Without them the processes are a group of torch.distributed. Objects are pickled, so all must be trusted.
    """

    rank: int = 0
    count: int = 1
    pipes: tuple[Connection, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them; VipnasError if a local worker is gone."""
        if self.count == 1:
            return make()
        if self.pipes:
            if self.rank:
                return _receive(self.pipes[0])  # type: ignore[no-any-return]
            value = make()
            _send(value, self.pipes)
            return value
        box: list[T | None] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]

    def gathered(self, value: T) -> list[T]:
        """The values of all processes in the order of their ranks, in all of them; VipnasError as `from_first`."""
        if self.count == 1:
            return [value]
        if self.pipes and self.rank:
            _send(value, self.pipes)
        if self.pipes:
            return self.from_first(lambda: [value, *map(_receive, self.pipes)])
        found: list[T | None] = [None] * self.count
        dist.all_gather_object(found, value)
        return found  # type: ignore[return-value]


def _send(value: object, pipes: Sequence[Connection]) -> None:
    # As bytes: sent as they are, tensors would be memory that both processes share.
    data = pickle.dumps(value)
    try:
        for pipe in pipes:
            pipe.send_bytes(data)
    except OSError as error:
        raise _gone() from error


def _receive(pipe: Connection) -> Any:
    try:
        return pickle.loads(pipe.recv_bytes())
    except (EOFError, OSError) as error:
        raise _gone() from error


def _gone() -> VipnasError:
    return VipnasError("a worker of the search has ended before its time", "take fewer --workers if memory is short")


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
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(1, workers)]
    others = [
        context.Process(target=_take_part, args=(Ranks(rank, workers, (theirs,)), threads, part), daemon=True)
        for rank, (_, theirs) in enumerate(pairs, 1)
    ]
    try:
        for process, (_, theirs) in zip(others, pairs, strict=True):
            process.start()
            # Only so does its end show when the other process is gone.
            theirs.close()
        yield Ranks(0, workers, tuple(own for own, _ in pairs))
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


def _take_part(place: Ranks, threads: int, part: Callable[[Ranks], object]) -> None:
    """What the other local processes do; Ctrl-C ends the first one, which ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    # The first process says why it ended.
    with suppress(VipnasError):
        part(place)


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
