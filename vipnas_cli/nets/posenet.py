"""The pose network of every family, written once.

Shapes: B batch, K keypoints, C channels, H, W input pixels.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vipnas_cli.nets.blocks import Bottleneck, ConvNorm, InvertedResidual, activation, convolution, upsampling
from vipnas_cli.nets.fusion import TemporalFusion
from vipnas_cli.pose import HeatmapCodec
from vipnas_cli.pose.resampling import cubic_kernel
from vipnas_cli.spec import ArchSpec, FusionSpec
from vipnas_cli.spec.families import Activation, Family, Output
from vipnas_cli.spec.networks import RESIDUAL_EXPANSION

HEATMAP_STRIDE = 4
BYTE_MEAN, BYTE_STD = 127.0, 128.0
# A heatmap of 64 rows has Gaussians of σ 2 (paper section 1.4); other sizes keep the same share of the crop.
SIGMA_PER_ROW = HeatmapCodec.sigma_per_row


def network_input(crops: Tensor) -> Tensor:
    """What all networks take, (B, 3, H, W) float about -1 to 1, of RGB bytes (B, H, W, 3)."""
    return (crops.permute(0, 3, 1, 2).float() - BYTE_MEAN) / BYTE_STD


def family_input(images: Tensor, rules: Family) -> Tensor:
    """What `network_input` gave (B, 3, H, W), normalised as the family has it."""
    if (rules.mean, rules.std) == ((BYTE_MEAN,) * 3, (BYTE_STD,) * 3):
        return images
    # Not folded into the first convolution: what it pads with zeros is the family's mean.
    mean, std = (images.new_tensor(values)[:, None, None] for values in (rules.mean, rules.std))
    return (images * BYTE_STD + (BYTE_MEAN - mean)) / std


def _stage(arch: ArchSpec, index: int) -> nn.Sequential:
    """The blocks of one stage."""
    spec, rules = arch.stages[index], arch.rules
    inputs = arch.stages[index - 1].width if index else arch.stem.width
    stride = rules.strides[index]
    blocks: list[nn.Module] = []
    for middle in arch.middle_widths(index):
        widths, groups = (inputs, middle, spec.width), middle // spec.group_width
        if rules.block == "bottleneck":
            blocks.append(Bottleneck(widths, spec.kernel, stride, groups, spec.attention, rules.norm_eps))
        else:
            # Without expansion the first block keeps its input as it is (paper section 2.1, stage 1).
            expands = spec.expansion > 1 or inputs != middle
            style = (rules.activations[index], rules.norm_eps, expands)
            blocks.append(InvertedResidual(widths, spec.kernel, stride, groups, spec.attention, style))
        inputs, stride = spec.width, 1
    return nn.Sequential(*blocks)


class DeconvolutionHead(nn.Sequential):
    """Three deconvolutions from stride 32 to 4 (paper section 1.4)."""

    def __init__(self, arch: ArchSpec) -> None:
        head, inputs = arch.head, arch.stages[-1].width
        layers = []
        for _ in range(3):
            deconvolution = upsampling(inputs, head.width, head.kernel, head.width // head.group_width)
            layers.append(ConvNorm(deconvolution, head.width, arch.rules.norm_eps, "relu"))
            inputs = head.width
        super().__init__(*layers)


class LateralHead(nn.Module):
    """Upsampling from stride 32 that takes in the features at 16, 8 and, for `steps` 3, at 4 on the way."""

    def __init__(self, arch: ArchSpec, steps: int = 3) -> None:
        super().__init__()
        head, eps = arch.head, arch.rules.norm_eps
        width, groups = head.width, head.width // head.group_width
        self.project = ConvNorm(convolution(arch.tap_width(4), width, 1), width, eps, "relu6")
        taps = (3, 2, 1)[:steps]
        self.up = nn.ModuleList([ConvNorm(upsampling(width, width, head.kernel, groups), width, eps) for _ in taps])
        self.lateral = nn.ModuleList([ConvNorm(convolution(arch.tap_width(t), width, 1), width, eps) for t in taps])
        self.refine = nn.ModuleList([_refinement(width, head.refine, eps) for _ in taps])
        self.act = activation("relu6")

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features F1 … F4 to one map (B, C, h, w) at stride 4 (8 for two steps)."""
        out: Tensor = self.project(features[3])
        finer = features[2::-1][: len(self.up)]
        for up, lateral, refine, feature in zip(self.up, self.lateral, self.refine, finer, strict=True):
            out = refine(self.act(up(out) + lateral(feature)))
        return out


def _refinement(width: int, kernel: int, eps: float) -> nn.Module:
    if not kernel:
        return nn.Identity()
    depthwise = ConvNorm(convolution(width, width, kernel, groups=width), width, eps, "relu6")
    return nn.Sequential(depthwise, ConvNorm(convolution(width, width, 1), width, eps, "relu6"))


class ResidualHead(nn.Module):
    """Bilinear upsampling from stride 32 to 4 that the features at 16, 8 and 4 and refinements are added to."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        head, eps, inputs = arch.head, arch.rules.norm_eps, arch.tap_width(4)
        width, middle = head.width, inputs * RESIDUAL_EXPANSION
        taps = (3, 2, 1)
        self.project = nn.Sequential(
            ConvNorm(convolution(inputs, middle, 1), middle, eps, "relu6"),
            ConvNorm(convolution(middle, middle, 3, groups=middle), middle, eps, "relu6"),
            ConvNorm(convolution(middle, middle, 3, groups=middle), middle, eps, "relu6"),
            ConvNorm(convolution(middle, width, 1), width, eps, "relu6"),
        )
        self.lateral = nn.ModuleList([_separable(arch.tap_width(t), width, 3, eps, "relu6") for t in taps])
        self.refine = nn.ModuleList([_separable(width, width, head.refine, eps) for _ in taps] if head.refine else [])
        for refine in self.refine:
            # Each begins by changing nothing.
            nn.init.zeros_(refine[1][1].weight)  # type: ignore[index]

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features F1 … F4 to one map (B, C, h, w) at stride 4."""
        out: Tensor = self.project(features[3])
        for index, feature in enumerate(features[2::-1]):
            out = F.interpolate(out, scale_factor=2.0, mode="bilinear") + self.lateral[index](feature)
            out = out + self.refine[index](out) if self.refine else out
        return out


def _separable(inputs: int, outputs: int, kernel: int, eps: float, act: Activation | None = None) -> nn.Sequential:
    """A depthwise convolution with a clipped rectifier, then one over channels with the activation that is named."""
    depthwise = ConvNorm(convolution(inputs, inputs, kernel, groups=inputs), inputs, eps, "relu6")
    return nn.Sequential(depthwise, ConvNorm(convolution(inputs, outputs, 1), outputs, eps, act))


def _head(arch: ArchSpec) -> DeconvolutionHead | LateralHead | ResidualHead:
    """The upsampling path of the architecture's family."""
    if arch.rules.residual_head:
        return ResidualHead(arch)
    return LateralHead(arch) if arch.rules.lateral else DeconvolutionHead(arch)


class Trunk(nn.Module):
    """Stem and stages of a family: features at strides 4, 8, 16 and 32."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        rules = arch.rules
        self.arch = arch
        stem = convolution(3, arch.stem.width, arch.stem.kernel, 2)
        self.stem = ConvNorm(stem, arch.stem.width, rules.norm_eps, rules.stem_activation)
        self.pool = nn.MaxPool2d(3, 2, 1) if rules.stem_pool else nn.Identity()
        self.stages = nn.ModuleList([_stage(arch, index) for index in range(len(arch.stages))])

    def fuse(self, feature: Tensor, previous: Tensor | None, fusion_stage: int) -> Tensor:
        """The feature F1 … F4 (`fusion_stage` 1 … 4) that the later stages see; here just itself."""
        return feature

    def features(self, images: Tensor, previous: Tensor | None = None) -> list[Tensor]:
        """The features F1 … F4 of images (B, 3, H, W)."""
        out: Tensor = self.pool(self.stem(family_input(images, self.arch.rules)))
        found: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            out = stage(out)
            if index in self.arch.rules.taps:
                out = self.fuse(out, previous, len(found) + 1)
                found.append(out)
        return found


class PoseNet(Trunk):
    """Heatmaps of one person crop; a follower also takes the previous frame's heatmaps."""

    def __init__(self, arch: ArchSpec, keypoints: int = 17, fusion: FusionSpec | None = None) -> None:
        super().__init__(arch)
        self.fusion_spec = fusion or FusionSpec()
        self.head = _head(arch)
        self.final = nn.Conv2d(arch.head.width, keypoints, 1)
        self.fusion: TemporalFusion | None = None
        if self.fusion_spec.operation != "none":
            self.fusion = TemporalFusion(self.fusion_spec, keypoints, arch.tap_width(self.fusion_spec.stage))

    def fuse(self, feature: Tensor, previous: Tensor | None, fusion_stage: int) -> Tensor:
        """The feature with the previous heatmaps (B, K, H/4, W/4) at the stage where this network fuses them."""
        if self.fusion is None or previous is None or fusion_stage != self.fusion_spec.stage:
            return feature
        fused: Tensor = self.fusion(feature, previous)
        return fused

    def raw(self, images: Tensor, previous: Tensor | None = None) -> Tensor:
        """The last layer's output (B, K, H/4, W/4), before it becomes heatmaps."""
        features = self.features(images, previous)
        out = self.head(features) if self.arch.rules.lateral else self.head(features[-1])
        result: Tensor = self.final(out)
        return result

    def forward(self, images: Tensor, previous_heatmaps: Tensor | None = None) -> Tensor:
        """Heatmaps (B, K, H/4, W/4) with peaks in 0 … 1 from normalised images (B, 3, H, W)."""
        raw = self.raw(images, previous_heatmaps)
        return heatmaps_from_raw(raw, self.arch.rules.output)


def heatmaps_from_raw(raw: Tensor, output: Output) -> Tensor:
    """Heatmaps with peaks in 0 … 1 on the codec's grid from the last layer's output (B, K, H, W).

    A softmax over positions is scaled so that a confident Gaussian of the training σ reaches 1.
    """
    if output == "linear":
        return raw
    if output == "corner":
        return from_corners(raw)
    sigma = SIGMA_PER_ROW * raw.shape[2]
    probability = raw.flatten(2).softmax(-1).view_as(raw)
    return (probability * (2 * math.pi * sigma**2)).clamp(max=1)


def from_corners(heatmaps: Tensor) -> Tensor:
    """Heatmaps (B, K, H, W) whose cells have their centres at crop pixels 4c, resampled to the codec's 4c + 1.5."""
    offset = (HEATMAP_STRIDE - 1) / 2 / HEATMAP_STRIDE
    taps: list[float] = cubic_kernel(np.arange(-1.0, 3) - offset).tolist()
    for axis in (2, 3):
        count = heatmaps.shape[axis]
        first, last = heatmaps.narrow(axis, 0, 1), heatmaps.narrow(axis, count - 1, 1)
        # Beyond the border cells go on as they end.
        wide = torch.cat([first, heatmaps, last, last], axis)
        heatmaps = torch.stack([tap * wide.narrow(axis, k, count) for k, tap in enumerate(taps)]).sum(0)
    return heatmaps
