"""The published weights that a training can begin with, by the names that recipes give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from vipnas_cli.training.pretrained.blazepose import Size, blazepose_file, settle_norms, start_from_blazepose
from vipnas_cli.training.pretrained.imagenet import imagenet_weights, start_from_imagenet
from vipnas_cli.training.recipe import Start


def _keep(_net: nn.Module, _batches: Iterable[Tensor]) -> None:
    """What comes with its batch-norm statistics keeps them."""


@dataclass(frozen=True)
class Pretrained:
    """Published weights: what a checkpoint's header calls them and how they come into a network.

    `fill` writes them into it; `settle` then gives its batch norms the statistics of images (B, 3, H, W), where the
    weights came without.
    """

    title: str
    fill: Callable[[nn.Module], object]
    settle: Callable[[nn.Module, Iterable[Tensor]], None] = _keep


def _blazepose(title: str, size: Size) -> Pretrained:
    return Pretrained(title, lambda net: start_from_blazepose(net, blazepose_file(size)), settle_norms)


# Every start of a recipe but `scratch`.
PRETRAINED: Mapping[Start, Pretrained] = MappingProxyType(
    {
        "imagenet": Pretrained("ImageNet", lambda net: start_from_imagenet(net, imagenet_weights())),
        "blazepose-lite": _blazepose("BlazePose lite", "lite"),
        "blazepose": _blazepose("BlazePose", "full"),
        "blazepose-heavy": _blazepose("BlazePose heavy", "heavy"),
    }
)
