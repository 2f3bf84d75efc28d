"""Batch normalisation over several processes, and running statistics of extracted networks.

Shapes: B batch, C channels, K keypoints, H, W input pixels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vipnas_cli.errors import WeightsError


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation that, if `synced`, takes the statistics of the equal shares of all processes in training.

    torch's SyncBatchNorm does the same on GPUs only and has to replace modules, which the functional views of a
    super-network's shared weights would not see.
    """

    synced = False

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) normalised per channel."""
        if not (self.synced and self.training and dist.is_available() and dist.is_initialized()):
            return super().forward(features)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean, variance = _of_all_processes(features)
        count = features.numel() / features.shape[1] * dist.get_world_size()
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return features * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


class _Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: object, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _of_all_processes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) over the features (B, C, H, W) of all processes, which have equally many."""
    variances, means = torch.var_mean(features, (0, 2, 3), unbiased=False)
    # Sums of squares over all would cancel; with everybody's own statistics, variances are only ever added.
    table = features.new_zeros(dist.get_world_size(), 2, features.shape[1])
    table[dist.get_rank()] = torch.stack([means, variances])
    table = _Summed.apply(table)  # type: ignore[no-untyped-call]
    mean = table[:, 0].mean(0)
    return mean, table[:, 1].mean(0) + (table[:, 0] - mean).square().mean(0)


def set_synced(net: nn.Module, synced: bool) -> None:
    """Makes all batch norms of a network take the statistics of all processes, or of their own one."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.synced = synced


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
