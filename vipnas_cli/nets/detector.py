"""The person detector: one class, no anchors, one map at stride 8.

Shapes: B batch, H, W input pixels, h, w cells of the map.
"""

import torch
from torch import Tensor, nn

from vipnas_cli.nets.blocks import ConvNorm, convolution
from vipnas_cli.nets.posenet import LateralHead, Trunk
from vipnas_cli.spec import ArchSpec

DETECTOR_STRIDE = 8


class DetectionBranch(nn.Module):
    """A last look around for one question; it starts as a plain 1×1 convolution and stays one without refinement."""

    def __init__(self, arch: ArchSpec, outputs: int) -> None:
        super().__init__()
        width, eps, kernel = arch.head.width, arch.rules.norm_eps, arch.head.refine
        self.refine: nn.Module | None = None
        if kernel:
            depthwise = ConvNorm(convolution(width, width, kernel, groups=width), width, eps, "relu6")
            pointwise = ConvNorm(convolution(width, width, 1), width, eps)
            nn.init.zeros_(pointwise[1].weight)  # type: ignore[arg-type]
            self.refine = nn.Sequential(depthwise, pointwise)
        self.final = nn.Conv2d(width, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to (B, outputs, h, w)."""
        result: Tensor = self.final(features if self.refine is None else features + self.refine(features))
        return result


class PersonDetector(Trunk):
    """For every cell: is it the middle of a person, and how far are the person's edges from it."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__(arch)
        self.head = LateralHead(arch, steps=2)
        # What is a person and where it ends are different questions: each has a branch of its own.
        self.score = DetectionBranch(arch, 1)
        self.edges = DetectionBranch(arch, 4)
        # A start at 1 % keeps the many empty cells from drowning the first steps.
        nn.init.constant_(self.score.final.bias, -4.6)  # type: ignore[arg-type]

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Centre logits (B, h, w) and log distances (B, 4, h, w) to left, top, right, bottom in cells."""
        out = self.head(self.features(images))
        return self.score(out)[:, 0], self.edges(out)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, h, w) in 0–1 and boxes (B, h, w, 4) xyxy in input pixels, from images (B, 3, H, W)."""
        logits, distances = self.raw(images)
        return logits.sigmoid(), boxes_from_distances(distances)


def cell_centres(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The x (columns,) and y (rows,) of the cells' middles, in input pixels measured from the picture's edge."""
    x = (torch.arange(columns, device=device) + 0.5) * DETECTOR_STRIDE
    y = (torch.arange(rows, device=device) + 0.5) * DETECTOR_STRIDE
    return x, y


def boxes_from_distances(distances: Tensor) -> Tensor:
    """Boxes (B, h, w, 4) xyxy in input pixels from log distances (B, 4, h, w) in cells."""
    x, y = cell_centres(distances.shape[2], distances.shape[3], distances.device)
    left, top, right, bottom = (distances.clamp(-3, 6).exp() * DETECTOR_STRIDE).unbind(1)
    return torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], -1)
