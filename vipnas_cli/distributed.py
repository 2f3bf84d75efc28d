"""Several processes that train one network, as `torchrun` starts them.

Each process takes its rows of every batch. Gradients are averaged once per step by an explicit all-reduce, after all
backward passes of the step: torch's DistributedDataParallel hooks into one backward pass of one module's forward, and
the sub-networks of a super-network run several passes, each through another functional view of the shared weights.

Losses divide by `mean_over_ranks` of their weights, so the averaged gradients are those of the whole batch. Batch
normalisation sees the rows of its own process, and the running statistics are averaged over all, unless the recipe
asks for `synced_batch_norm`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vipnas_cli.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0


def ranks() -> Ranks:
    """This process's place in the process group; alone without one."""
    if not (dist.is_available() and dist.is_initialized()):
        return Ranks()
    return Ranks(dist.get_rank(), dist.get_world_size())


def local_rank() -> int:
    """The number of this process on its machine as torchrun says, 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """The group that torchrun's environment describes, left again at the end; nothing without torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ranks()
    finally:
        dist.destroy_process_group()


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
