"""The second look at a box that the person detector found: does it hold one whole person?

Shapes: B batch, H, W input pixels.
"""

from torch import Tensor, nn

from vipnas_cli.nets.blocks import ConvNorm, convolution
from vipnas_cli.nets.posenet import Trunk
from vipnas_cli.spec import ArchSpec

_STRIDE = 32


class BoxVerifier(Trunk):
    """Features of a crop to one score; what is where in the crop matters, so nothing is averaged over places."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__(arch)
        width = arch.head.width
        self.project = ConvNorm(convolution(arch.tap_width(4), width, 1), width, arch.rules.norm_eps, "relu6")
        self.dropout = nn.Dropout(0.2)
        self.final = nn.Linear(width * (arch.height // _STRIDE) * (arch.width // _STRIDE), 1)

    def raw(self, images: Tensor) -> Tensor:
        """Logits (B,) of crops (B, 3, H, W)."""
        features: Tensor = self.project(self.features(images)[3])
        logits: Tensor = self.final(self.dropout(features.flatten(1)))
        return logits[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B,) in 0–1: how surely the box that the crop was cut around holds one whole person."""
        return self.raw(images).sigmoid()
