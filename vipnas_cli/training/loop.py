"""The training loop: one optimizer, one schedule, an average of the weights, atomic checkpoints.

The loop knows nothing of networks or data: it gets a module, a loss of a batch, and a source of batches.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vipnas_cli.distributed import average_over_ranks, mean_over_ranks, ranks, same_everywhere
from vipnas_cli.errors import OutputError, WeightsError
from vipnas_cli.nets.batchnorm import set_synced
from vipnas_cli.nets.checkpoints import load_checkpoint, save_checkpoint
from vipnas_cli.training.batches import BatchSource, BatchType, prefetched
from vipnas_cli.training.devices import loader_threads, on_device
from vipnas_cli.training.options import LoopOptions

# The folder that synthetic samples name, which is on no disk.
SYNTHETIC = "synthetic"
_OTHER = "resume with the recipe that it was trained with, or choose another name with --out"


@dataclass(frozen=True)
class StepEvent:
    """What happened in one step; `score` is there when the averaged weights were scored after it."""

    step: int
    loss: float
    learning_rate: float
    elapsed_s: float
    saved: bool
    score: float | None = None


@dataclass(frozen=True)
class Validation:
    """Scores (higher is better) the network with averaged weights every `every` steps and after the recipe's last one.

    `score` gets a copy of its own; a super-network's extracts and recalibrates. The best weights are kept beside the
    checkpoint if `keep_best`.
    """

    score: Callable[[nn.Module], float]
    every: int
    keep_best: bool = False


def learning_rate_factor(step: int, options: LoopOptions) -> float:
    """Linear warm-up, then a cosine down to `final_factor` or a fall at each milestone."""
    if step < options.warmup:
        return (step + 1) / options.warmup
    if options.milestones:
        return float(options.milestone_factor ** sum(step >= milestone for milestone in options.milestones))
    progress = (step - options.warmup) / max(options.steps - options.warmup, 1)
    return options.final_factor + (1 - options.final_factor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))


class Trainer:
    """A network in training with its optimizer, its averaged weights and its step counter.

    Of several processes the first one writes; all of them hold the same weights after every step. `best` is the best
    score so far; `saved` says that there is a state to resume.
    """

    def __init__(self, net: nn.Module, options: LoopOptions, header: dict[str, Any]) -> None:
        self.net = net
        self.options = options
        self.header = header
        self.step = 0
        self.best: float | None = None
        self.saved = False
        same_everywhere(net)
        set_synced(net, options.synced_batch_norm)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[options.optimizer]
        self.optimizer = kind(_parameter_groups(net, options), lr=options.learning_rate)
        self.average = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.net.parameters()).device

    def run(
        self,
        source: BatchSource[BatchType],
        loss_of: Callable[[BatchType], Tensor],
        path: Path,
        until: int | None = None,
        validation: Validation | None = None,
    ) -> Iterator[StepEvent]:
        """Trains from the current step to `until`, yields an event per step, saves now and then and at the end.

        A `loss_of` that runs several backward passes itself returns its loss detached: then the gradients are taken to
        be there already. WeightsError, and nothing saved, for a loss or gradients that are no numbers.
        """
        saved_at = started = time.monotonic()
        first, last = self.step, min(until or self.options.steps, self.options.steps)
        consistent = True
        try:
            for batch in prefetched(source, self.step, last, loader_threads(self.device)):
                consistent = False
                loss = self._step(batch, loss_of)
                consistent = True
                score = self._scored(validation, path)
                due = time.monotonic() - saved_at > self.options.save_every_s
                if due:
                    self.save(path)
                    saved_at = time.monotonic()
                rate = self.optimizer.param_groups[-1]["lr"]
                yield StepEvent(self.step, loss, rate, time.monotonic() - started, due, score)
        finally:
            # Whatever ends it leaves the state of the last finished step; half a step is worth nothing, and so is none.
            # Where nothing was left to do, a kill may have left a checkpoint behind that is older than its state.
            if consistent and (self.step > first or self.step >= last):
                self.save(path)

    def _step(self, batch: Any, loss_of: Callable[[Any], Tensor]) -> float:
        # Before the loss is asked for: it may gather the gradients itself.
        self.optimizer.zero_grad(set_to_none=True)
        bfloat16 = self.options.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            loss = loss_of(on_device(batch, self.device))
        value = mean_over_ranks(loss.detach()).item()
        if not math.isfinite(value):
            raise self._not_finite(f"the loss became {value}", batch)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        self._average_over_ranks()
        largest = self.options.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), largest).item()
        if not math.isfinite(norm):
            raise self._not_finite(f"the gradients' norm became {norm}", batch)
        factor = learning_rate_factor(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(value)

    def _not_finite(self, what: str, batch: Any) -> WeightsError:
        names = getattr(batch, "ids", ())
        samples = f" on the samples {', '.join(names)}" if names else ""
        look = "look at these samples with `vipnas data check`, or " if any(map(_from_files, names)) else ""
        again = "resume from the last checkpoint" if self.saved else "begin again"
        return WeightsError(f"{what} at step {self.step}{samples}", f"{look}{again} with a lower learning_rate")

    def _average_over_ranks(self) -> None:
        gradients = [parameter.grad for parameter in self.net.parameters() if parameter.grad is not None]
        average_over_ranks(gradients)
        average_over_ranks([buffer for buffer in self.net.buffers() if buffer.is_floating_point()])

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential average of weights and running statistics; young averages forget faster."""
        decay = min(self.options.average_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.net.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @torch.no_grad()
    def _scored(self, validation: Validation | None, path: Path) -> float | None:
        """The score of the averaged weights if it is due; kept beside the checkpoint when it is the best so far."""
        if validation is None or not ranks().writes:
            return None
        # Where a training is stopped nothing is scored: resumed, it has to choose among the weights of an unbroken one.
        if self.step % validation.every and self.step != self.options.steps:
            return None
        net = copy.deepcopy(self.net)
        net.load_state_dict(self.average)
        score = validation.score(net.eval())
        if self.best is None or score > self.best:
            if validation.keep_best:
                save_checkpoint(best_path(path), self.average, {**self._full_header(), "score": score})
            self.best = score
        return score

    def _full_header(self) -> dict[str, Any]:
        return {**self.header, "step": self.step, "options": asdict(self.options)}

    def save(self, path: Path) -> None:
        """Writes the averaged weights to `path` and all that resuming needs beside it."""
        self.saved = True
        if not ranks().writes:
            return
        header = self._full_header()
        state = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        # Here too: a kill between the two files must not part them.
        state |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        for name, parameter in self.net.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"optimizer.{name}.{key}"] = value
        try:
            save_checkpoint(resume_path(path), state, {**header, "state_of": path.name, "best": self.best})
        except OutputError:
            # Where the disk is too full for all that, the network itself may fit.
            save_checkpoint(path, self.average, header)
            raise
        save_checkpoint(path, self.average, header)

    def resume(self, path: Path) -> None:
        """Takes up the state that `save` left."""
        state, header = load_checkpoint(resume_path(path), of_training=True)
        self._check_same(header, path)
        # Files of earlier versions have the average in the checkpoint alone.
        average = _with_prefix("average.", state) or load_checkpoint(path)[0]
        self.average = {name: tensor.to(self.device) for name, tensor in average.items()}
        try:
            self.net.load_state_dict(_with_prefix("net.", state))
        except RuntimeError as error:
            raise WeightsError(f"{path} does not fit the network of the recipe", _OTHER) from error
        for name, parameter in self.net.named_parameters():
            found = _with_prefix(f"optimizer.{name}.", state)
            if found:
                moved = {key: value if key == "step" else value.to(parameter.device) for key, value in found.items()}
                self.optimizer.state[parameter] = moved
        self.step, self.saved = int(header["step"]), True
        kept = best_path(path)
        if kept.exists():
            # Files of earlier versions do not tell the best score.
            self.best = header["best"] if "best" in header else _best_until(self.step, kept)

    def _check_same(self, header: dict[str, Any], path: Path) -> None:
        """WeightsError if a checkpoint is of another network than the one that is trained."""
        wanted = json.loads(json.dumps(self.header))
        for name in ("kind", "keypoints", "plan", "schedule", "arch", "space", "fusions"):
            if header.get(name) != wanted.get(name):
                raise WeightsError(f"{path} belongs to a training with another {name} than the recipe's", _OTHER)


def resume_path(path: Path) -> Path:
    """Where the optimizer's state of a checkpoint lies."""
    return path.with_name(f"{path.stem}.resume.safetensors")


def best_path(path: Path) -> Path:
    """Where the weights with the best score lie."""
    return path.with_name(f"{path.stem}.best.safetensors")


def _best_until(step: int, path: Path) -> float | None:
    """The score of the best weights in a file; None if they are of a later step."""
    header = load_checkpoint(path)[1]
    return header.get("score") if header.get("step", 0) <= step else None


def _from_files(name: str) -> bool:
    """Whether a sample, or one of several that a picture is made of, is from a file and not synthetic."""
    return any(Path(part).parts[:1] != (SYNTHETIC,) for part in name.split(" + "))


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


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
