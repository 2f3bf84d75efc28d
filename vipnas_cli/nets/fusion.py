"""Temporal fusion: the previous frame's heatmaps join the features of the current frame.

Shapes: B batch, K keypoints, C channels, H, W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vipnas_cli.spec import FusionSpec


class JoinedConvolution(nn.Conv2d):
    """A 1×1 convolution whose input joins two features, the first with as many channels as come out.

    A class of its own because a narrower network keeps the leading channels of each part, not of the whole.
    """


class TemporalFusion(nn.Module):
    """Adaptor (pool, 1×1 convolution) and operation that bring heatmaps into a feature (paper section 3.1).

    The paper leaves the arithmetic open (section 3.2). Here heatmaps are max-pooled, so that a peak keeps its height at
    every stride, and the last layer starts at zero: a new follower begins as the image-only network that it grew from.
    """

    def __init__(self, fusion: FusionSpec, keypoints: int, channels: int) -> None:
        super().__init__()
        self.operation = fusion.operation
        hidden = 2 * keypoints
        self.encode = nn.Conv2d(keypoints, hidden, 3, padding=1)
        if fusion.operation == "cat":
            self.adapt: nn.Conv2d = JoinedConvolution(channels + hidden, channels, 1)
        else:
            self.adapt = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.adapt.weight)
        nn.init.zeros_(self.adapt.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, heatmaps: Tensor) -> Tensor:
        """Features (B, C, H, W) that know the previous heatmaps (B, K, h, w), h and w a multiple of H and W."""
        stride = heatmaps.shape[2] // features.shape[2]
        pooled = F.max_pool2d(heatmaps, stride) if stride > 1 else heatmaps
        prior = torch.relu(self.encode(pooled))
        known = torch.cat([features, prior], 1) if self.operation == "cat" else prior
        change: Tensor = self.adapt(known)
        return features * (1 + change) if self.operation == "mul" else features + change
