"""The mean of the weights of several trainings of one network, which is often better than each of them.

    python examples/average_weights.py BEFORE.safetensors A.safetensors B.safetensors:2 -o MEAN.safetensors

Trainings that went on from the same weights with other seeds or other augmentation lie around one place, and their mean
is nearer to it (Wortsman et al., 2022, "Model soups"). A number after a colon is the weight that a checkpoint has, else
it is 1. The size of the crops and all other facts are those of the first checkpoint; the others may have learned from
crops of another size. Score the mean before it is used: `vipnas eval coco --weights MEAN.safetensors`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vipnas_cli.errors import UsageError, VipnasError, WeightsError
from vipnas_cli.nets.checkpoints import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Part:
    """A checkpoint and the weight that it has in the mean."""

    path: Path
    weight: float = 1.0

    @staticmethod
    def of(text: str) -> Part:
        """`NAME` or `NAME:WEIGHT`; UsageError for a weight that is not above 0."""
        name, colon, number = text.rpartition(":")
        if not colon or Path(text).is_file():
            return Part(Path(text))
        try:
            weight = float(number)
        except ValueError:
            return Part(Path(text))
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"the weight of {name} is {number}, but must be above 0", "leave the checkpoint out")
        return Part(Path(name), weight)


def main() -> None:
    """Writes the mean, and ends with a sentence if there is none."""
    parser = argparse.ArgumentParser(description="The mean of the weights of several trainings of one network.")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT[:WEIGHT]")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--fp16", action="store_true", help="Store 16 bits per weight, which halves the file.")
    given = parser.parse_args()
    try:
        parts = [Part.of(text) for text in given.checkpoints]
        tensors, header = mean_of(parts)
        stored = {name: t.half() if given.fp16 and t.is_floating_point() else t for name, t in tensors.items()}
        save_checkpoint(given.out, stored, header)
    except VipnasError as error:
        sys.exit(f"average_weights: {error}")
    print(f"Written: {given.out}")


def mean_of(parts: Sequence[Part]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The mean of the weights in fp32, and the header of the first checkpoint, which names all of them.

    WeightsError for checkpoints of networks with other layers.
    """
    loaded = [load_checkpoint(part.path) for part in parts]
    first, header = loaded[0]
    for part, (tensors, _) in zip(parts, loaded, strict=True):
        if {name: tensor.shape for name, tensor in tensors.items()} != {n: t.shape for n, t in first.items()}:
            raise WeightsError(f"{part.path} is of another network than {parts[0].path}", "average trainings of one")
    total = sum(part.weight for part in parts)
    shares = [part.weight / total for part in parts]
    mean = {
        name: _mean([tensors[name] for tensors, _ in loaded], shares) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }
    names = [f"{part.path.name}:{part.weight:g}" for part in parts]
    training = {**header.get("training", {}), "command": f"python examples/average_weights.py {' '.join(names)}"}
    return mean, {**header, "training": training}


def _mean(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    return torch.stack([tensor.double() * share for tensor, share in zip(tensors, shares, strict=True)]).sum(0).float()


if __name__ == "__main__":
    main()
