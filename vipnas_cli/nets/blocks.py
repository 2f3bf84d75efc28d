"""The building blocks of all families.

Shapes: B batch, C channels, H, W pixels.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from vipnas_cli.nets.batchnorm import BatchNorm
from vipnas_cli.spec.families import Activation

Attention = Literal["none", "se", "gc"]


def activation(name: Activation) -> nn.Module:
    """The activation layer of that name."""
    return {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish}[name](inplace=True)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias whose padding keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, where one is named, an activation."""

    def __init__(self, conv: nn.Module, channels: int, eps: float, act: Activation | None = None) -> None:
        layers = [conv, BatchNorm(channels, eps=eps)]
        super().__init__(*layers, *([activation(act)] if act else []))


class SqueezeExcite(nn.Module):
    """Channel attention with a gate (x + 1) / 2 clipped to 0 … 1, as in the authors' release (paper section 2.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, max(channels // 4, 1), 1)
        self.excite = nn.Conv2d(max(channels // 4, 1), channels, 1)

    @torch.no_grad()
    def open(self) -> None:
        """Sets the gate to 1 for every input, so that features pass as they are until training closes it."""
        nn.init.zeros_(self.excite.weight)
        assert self.excite.bias is not None
        nn.init.ones_(self.excite.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) scaled per channel."""
        pooled = features.mean((2, 3), keepdim=True)
        gate: Tensor = self.excite(torch.relu(self.squeeze(pooled)))
        return features * ((gate + 1) / 2).clamp(0, 1)


class GlobalContext(nn.Module):
    """Global context block: attention pooling, a bottleneck with layer norm, added to every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 16)
        self.mask = nn.Conv2d(channels, 1, 1)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm([hidden, 1, 1])
        self.restore = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) plus one context vector per picture."""
        weights = self.mask(features).flatten(2).softmax(-1)
        context = (features.flatten(2) * weights).sum(-1)[:, :, None, None]
        change: Tensor = self.restore(torch.relu(self.norm(self.reduce(context))))
        return features + change


class InvertedResidual(nn.Module):
    """Expand, spatial convolution, attention on the expanded channels, linear projection."""

    def __init__(
        self,
        widths: tuple[int, int, int],
        kernel: int,
        stride: int,
        groups: int,
        attention: bool,
        style: tuple[Activation, float, bool],
    ) -> None:
        """`widths` are input, middle, output; `style` is activation, norm epsilon, and whether to expand at all."""
        super().__init__()
        inputs, middle, outputs = widths
        act, eps, expands = style
        self.expand = ConvNorm(convolution(inputs, middle, 1), middle, eps, act) if expands else nn.Identity()
        self.spatial = ConvNorm(convolution(middle, middle, kernel, stride, groups), middle, eps, act)
        self.attention = SqueezeExcite(middle) if attention else nn.Identity()
        self.project = ConvNorm(convolution(middle, outputs, 1), outputs, eps)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C', H/stride, W/stride)."""
        out: Tensor = self.project(self.attention(self.spatial(self.expand(features))))
        return features + out if self.residual else out


class Bottleneck(nn.Module):
    """1×1, grouped k×k that carries the stride, 1×1, global context, shortcut (paper section 2.2)."""

    def __init__(
        self, widths: tuple[int, int, int], kernel: int, stride: int, groups: int, attention: bool, eps: float
    ) -> None:
        super().__init__()
        inputs, middle, outputs = widths
        self.reduce = ConvNorm(convolution(inputs, middle, 1), middle, eps, "relu")
        self.spatial = ConvNorm(convolution(middle, middle, kernel, stride, groups), middle, eps, "relu")
        self.restore = ConvNorm(convolution(middle, outputs, 1), outputs, eps)
        self.attention = GlobalContext(outputs) if attention else nn.Identity()
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else ConvNorm(convolution(inputs, outputs, 1, stride), outputs, eps)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C', H/stride, W/stride)."""
        out = self.attention(self.restore(self.spatial(self.reduce(features))))
        return torch.relu(out + self.shortcut(features))


def upsampling(inputs: int, outputs: int, kernel: int, groups: int) -> nn.ConvTranspose2d:
    """A deconvolution that doubles the size exactly; kernel 2 or 4."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, 2, (kernel - 2) // 2, groups=groups, bias=False)
