"""The training loop: one optimizer, one schedule, an average of the weights, atomic checkpoints.

The loop knows nothing of networks or data: it gets a module, a loss of a batch, and a source of batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vipnas_cli.checkpoints import load_checkpoint, save_checkpoint
from vipnas_cli.errors import WeightsError
from vipnas_cli.training.batches import BatchSource, BatchType, prefetched
from vipnas_cli.training.options import LoopOptions


@dataclass(frozen=True)
class StepEvent:
    """What happened in one step."""

    step: int
    loss: float
    learning_rate: float
    elapsed_s: float
    saved: bool


def learning_rate_factor(step: int, options: LoopOptions) -> float:
    """Linear warm-up, then a cosine down to `final_factor`."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    progress = (step - options.warmup) / max(options.steps - options.warmup, 1)
    return options.final_factor + (1 - options.final_factor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))


class Trainer:
    """A network in training with its optimizer, its averaged weights and its step counter."""

    def __init__(self, net: nn.Module, options: LoopOptions, header: dict[str, Any]) -> None:
        self.net = net
        self.options = options
        self.header = header
        self.step = 0
        self.optimizer = torch.optim.AdamW(_parameter_groups(net, options), lr=options.learning_rate)
        self.average = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    def run(
        self,
        source: BatchSource[BatchType],
        loss_of: Callable[[BatchType], Tensor],
        path: Path,
        until: int | None = None,
    ) -> Iterator[StepEvent]:
        """Trains from the current step to `until`, yields an event per step, saves now and then and at the end."""
        saved_at = started = time.monotonic()
        last = min(until or self.options.steps, self.options.steps)
        try:
            for batch in prefetched(source, self.step, last):
                loss = self._advance(loss_of(batch))
                due = time.monotonic() - saved_at > self.options.save_every_s
                if due:
                    self.save(path)
                    saved_at = time.monotonic()
                rate = self.optimizer.param_groups[-1]["lr"]
                yield StepEvent(self.step, loss, rate, time.monotonic() - started, due)
        finally:
            # An interrupt leaves the state of the last finished step.
            self.save(path)

    def _advance(self, loss: Tensor) -> float:
        value = loss.item()
        if not math.isfinite(value):
            raise WeightsError(f"the loss became {value} at step {self.step}", "lower the learning rate and resume")
        factor = learning_rate_factor(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return value

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential average of weights and running statistics; young averages forget faster."""
        decay = min(self.options.average_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    def save(self, path: Path) -> None:
        """Writes the averaged weights to `path` and all that resuming needs beside it."""
        header = {**self.header, "step": self.step, "options": asdict(self.options)}
        save_checkpoint(path, self.average, header)
        state = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        for name, parameter in self.net.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"optimizer.{name}.{key}"] = value
        save_checkpoint(resume_path(path), state, header)

    def resume(self, path: Path) -> None:
        """Takes up the state that `save` left."""
        average, _ = load_checkpoint(path)
        state, header = load_checkpoint(resume_path(path))
        self.average = average
        self.net.load_state_dict({n.removeprefix("net."): t for n, t in state.items() if n.startswith("net.")})
        for name, parameter in self.net.named_parameters():
            prefix = f"optimizer.{name}."
            found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            if found:
                self.optimizer.state[parameter] = found
        self.step = int(header["step"])


def resume_path(path: Path) -> Path:
    """Where the optimizer's state of a checkpoint lies."""
    return path.with_name(f"{path.stem}.resume.safetensors")


def _parameter_groups(net: nn.Module, options: LoopOptions) -> list[dict[str, Any]]:
    """Trunk and head, each with and without weight decay; norms and biases are not decayed."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            trunk = not {"stem", "stages"}.isdisjoint(name.split("."))
            groups.setdefault((trunk, parameter.dim() > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": options.learning_rate * (options.trunk_factor if trunk else 1),
            "weight_decay": options.weight_decay if decayed else 0.0,
        }
        for (trunk, decayed), parameters in groups.items()
    ]
