"""Running statistics of extracted networks: those of a super-network are a mixture of all that were trained.

Shapes: B batch, K keypoints, H, W input pixels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError


@torch.no_grad()
def recalibrate(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Replaces the running statistics of a network by their mean over batches, in place.

    Each batch is images (B, 3, H, W) and, for followers, the previous heatmaps (B, K, H/4, W/4). Weights stay as they
    are, and so does the mode of the network. WeightsError if there is no batch.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    training, momenta = net.training, [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        # None makes torch average over all batches alike.
        norm.momentum = None
        norm.train()
    seen = 0
    for images, previous in batches:
        net(images) if previous is None else net(images, previous)
        seen += 1
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.train(training)
    if not seen:
        raise WeightsError("batch-norm statistics cannot be recalibrated without data", "give at least one batch")
