"""The second look at a box that the person detector found: does it hold a person, and where exactly?

Shapes: B batch, H, W input pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vipnas_cli.nets.blocks import ConvNorm, convolution
from vipnas_cli.nets.posenet import Trunk
from vipnas_cli.spec import ArchSpec

_STRIDE = 32
# A person's box is at most e times as long as the given one, or as short.
_MOST_GROWTH = 1.0


class BoxVerifier(Trunk):
    """Features of a crop to a score and a place; what is where in the crop matters, so nothing is averaged over it."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__(arch)
        width = arch.head.width
        self.project = ConvNorm(convolution(arch.tap_width(4), width, 1), width, arch.rules.norm_eps, "relu6")
        self.dropout = nn.Dropout(0.2)
        self.final = nn.Linear(width * (arch.height // _STRIDE) * (arch.width // _STRIDE), 5)

    def raw(self, images: Tensor) -> Tensor:
        """Logits and moves (B, 5) of crops (B, 3, H, W); for the moves see placed()."""
        features: Tensor = self.project(self.features(images)[3])
        result: Tensor = self.final(self.dropout(features.flatten(1)))
        return result

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) in 0–1, how surely there is a person, and the person's place (B, 4): xyxy where 0 and 1 are the
        edges of the box that the crop was cut around."""
        raw = self.raw(images)
        return raw[:, 0].sigmoid(), placed(raw[:, 1:])


def placed(moves: Tensor) -> Tensor:
    """Places (B, 4) xyxy in units of a box, of moves (B, 4): those of its middle, as shares of its sides, and the
    logarithms of how much its sides grow (as in R-CNN, Girshick et al. 2014, appendix C)."""
    middle, half = 0.5 + moves[:, :2], moves[:, 2:].clamp(-_MOST_GROWTH, _MOST_GROWTH).exp() / 2
    return torch.cat([middle - half, middle + half], 1)
