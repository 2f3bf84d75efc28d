"""Where a training computes, and how batches get there."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, TypeVar

import torch
from torch import Tensor

from vipnas_cli.distributed import local_rank
from vipnas_cli.errors import UsageError

Anything = TypeVar("Anything")
MOST_LOADERS = 8


def chosen_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU where there is one. UsageError for one that this machine lacks."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{name!r} is no device", "use auto, cpu, cuda or mps with --device") from error
    lacking = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available(), "cpu": False}
    if lacking.get(device.type, True):
        raise UsageError(f"this machine has no device {name!r} that torch can use", "use --device auto or cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", local_rank())
    return device


def on_device(batch: Anything, device: torch.device) -> Anything:
    """A tensor, or a dataclass or tuple of them, on the device; everything else as it is."""
    moved: Any = batch
    if device.type == "cpu":
        return batch
    if isinstance(batch, Tensor):
        moved = batch.to(device, non_blocking=True)
    elif isinstance(batch, tuple):
        moved = tuple(on_device(part, device) for part in batch)
    elif dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        parts = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
        moved = dataclasses.replace(batch, **{name: on_device(part, device) for name, part in parts.items()})
    return moved  # type: ignore[no-any-return]


def loader_threads(device: torch.device) -> int:
    """How many threads make batches: one beside a network on the CPU, most of the cores beside one on a GPU."""
    if device.type == "cpu":
        return 1
    return max(1, min(MOST_LOADERS, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else 4))
