"""Crops per second in training: a plain network beside the same network in a super-network, and where the time goes.

    python examples/training_speed.py [--size 128x96] [--batch 32] [--threads 1] [--repeats 7] [--compile]

Crops are of synthetic people and augmented as in the recipe `spatial`. Plain network and super-network take turns, and
both times are given: by the clock, and on the processor, which is right also on a machine that others use.
"""

from __future__ import annotations

import argparse
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from statistics import median

import torch
from torch import Tensor

from vipnas_cli.latency.machine import this_machine
from vipnas_cli.nets.posenet import PoseNet, network_input
from vipnas_cli.nets.supernet import SuperNet
from vipnas_cli.spec import ArchSpec
from vipnas_cli.spec.spaces import FAST_SPACE
from vipnas_cli.training.batches import Batch, StillBatches
from vipnas_cli.training.data import StillSource, synthetic_people
from vipnas_cli.training.losses import heatmap_loss
from vipnas_cli.training.recipe import read_recipe

PICTURES = 60
PARTS = ("forward", "backward", "optimizer")


@dataclass(frozen=True)
class Seconds:
    """By the clock and on the processor."""

    clock: float
    processor: float


def main() -> None:
    """Measures with the options of the command line and prints a table."""
    options = _options()
    torch.set_num_threads(options.threads)
    height, width = options.size
    machine = this_machine()
    print(f"{machine.cpu}, {options.threads} threads, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"crops of {height}x{width} in batches of {options.batch}, {'compiled' if options.compile else 'eager'}")
    people, pictures = synthetic_people(PICTURES, 1)
    augmentation = read_recipe("spatial").augmentation
    source = StillBatches(StillSource(pictures, ((people, 1.0),)), (height, width), options.batch, augmentation, 0)
    prepared = [_timed(partial(source.batch, step)) for step in range(3)]
    loading = min(prepared, key=lambda seconds: seconds.processor)
    print(f"preparing a crop takes {1e3 * loading.processor / options.batch:.2f} ms, in a thread beside the training")
    net = SuperNet(FAST_SPACE).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    drawn = {"largest": FAST_SPACE.largest, "random": FAST_SPACE.sample(Random(1)), "smallest": FAST_SPACE.smallest}
    for name, arch in drawn.items():
        _compare(name, replace(arch, height=height, width=width), net, source.batch(0), options)


def _compare(name: str, arch: ArchSpec, net: SuperNet, batch: Batch, options: argparse.Namespace) -> None:
    """One line for the plain network, one for the same network in the super-network."""
    plain = PoseNet(arch).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    alone = torch.compile(plain.raw) if options.compile else plain.raw
    runs: dict[str, tuple[Callable[[Tensor], Tensor], torch.nn.Module]] = {
        "plain": (alone, plain),
        "super": (lambda images: net.raw(images, arch), net),
    }
    steps = {
        which: (run, torch.optim.AdamW(module.parameters(), lr=1e-9), arch.rules.output)
        for which, (run, module) in runs.items()
    }
    found: dict[str, list[tuple[Seconds, ...]]] = {which: [] for which in steps}
    # One round more than is counted: the first one allocates, and compiles.
    for _ in range(options.repeats + 1):
        for which, step in steps.items():
            found[which].append(_step(*step, batch))
    totals = {}
    for which, rounds in found.items():
        parts = [median(row[part].processor for row in rounds[1:]) for part in range(len(PARTS))]
        clock = median(sum(part.clock for part in row) for row in rounds[1:])
        totals[which] = sum(parts)
        share = ", ".join(f"{part} {100 * t / sum(parts):.0f} %" for part, t in zip(PARTS, parts, strict=True))
        rates = (
            f"{len(batch.crops) / clock:6.1f} crops/s by the clock, {len(batch.crops) / sum(parts):6.1f} by CPU time"
        )
        print(f"{name:9}{which:6}{rates}; {share}")
    print(f"{name:9}the super-network takes {100 * (totals['super'] / totals['plain'] - 1):+.1f} %")


def _step(
    run: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, output: str, batch: Batch
) -> tuple[Seconds, ...]:
    """The times of one step's parts, in the order of PARTS."""
    optimizer.zero_grad(set_to_none=True)
    losses: list[Tensor] = []

    def forward() -> None:
        losses.append(heatmap_loss(run(network_input(batch.crops)), batch.points_crop, batch.weights, output))

    def backward() -> None:
        losses[0].backward()  # type: ignore[no-untyped-call]

    return _timed(forward), _timed(backward), _timed(lambda: optimizer.step())


def _timed(job: Callable[[], object]) -> Seconds:
    clock, processor = time.perf_counter(), time.process_time()
    job()
    return Seconds(time.perf_counter() - clock, time.process_time() - processor)


def positive(text: str) -> int:
    """A whole number above 0; ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels of a text such as 128x96; ArgumentTypeError if no network takes them."""
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    if not height or not width or height % 32 or width % 32:
        raise argparse.ArgumentTypeError(f"{text} is no height x width in multiples of 32 pixels, such as 128x96")
    return height, width


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size, default="128x96")
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--repeats", type=positive, default=7)
    parser.add_argument("--compile", action="store_true", help="compile the plain network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
