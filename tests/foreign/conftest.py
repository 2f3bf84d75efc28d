"""The two networks of the paper's authors, written down once more from their published description, in plain torch.

Module names are those of mmpose's checkpoints. Nothing here knows of the package's networks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Width, blocks, expansion, kernel, groups, attention, stride, activation of the six searched stages.
MBV3 = (
    (16, 1, 1, 3, 8, True, 1, nn.ReLU),
    (24, 4, 5, 7, 120, True, 2, nn.ReLU),
    (40, 4, 4, 7, 20, False, 2, nn.ReLU),
    (80, 4, 5, 5, 100, True, 2, nn.Hardswish),
    (112, 4, 5, 7, 280, True, 1, nn.Hardswish),
    (160, 4, 6, 5, 240, True, 2, nn.Hardswish),
)
# Width, blocks, kernel, attention, stride.
RES50 = ((80, 4, 3, True, 1), (160, 6, 5, False, 2), (304, 7, 5, True, 2), (608, 3, 5, True, 2))


def conv_module(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> Any:
    """A convolution, its batch norm and an activation, named as in mmcv."""
    module = nn.Sequential()
    padding = kernel // 2
    module.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
    module.add_module("bn", nn.BatchNorm2d(outputs))
    if act is not None:
        module.add_module("activate", act)
    return module


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Sequential(), nn.Sequential()
        self.conv1.add_module("conv", nn.Conv2d(channels, channels // 4, 1))
        self.conv2.add_module("conv", nn.Conv2d(channels // 4, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv2(nn.functional.relu(self.conv1(nn.functional.adaptive_avg_pool2d(x, 1))))
        return x * nn.functional.hardtanh((gate + 1) / 2, 0.0, 1.0)


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, stage: tuple, stride: int) -> None:
        super().__init__()
        width, _, expansion, kernel, groups, attention, _, act = stage
        middle = width * expansion
        if expansion > 1:
            self.expand_conv = conv_module(inputs, middle, 1, act=act())
        self.depthwise_conv = conv_module(middle, middle, kernel, stride, groups, act())
        if attention:
            self.se = SqueezeExcitation(middle)
        self.linear_conv = conv_module(middle, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for name in ("expand_conv", "depthwise_conv", "se", "linear_conv"):
            if hasattr(self, name):
                out = getattr(self, name)(out)
        return x + out if self.shortcut else out


class MobileNetV3(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_module(3, 16, 3, 2, act=nn.Hardswish())
        inputs, number = 16, 0
        for stage in MBV3:
            for block in range(stage[1]):
                number += 1
                self.add_module(f"layer{number}", Inverted(inputs, stage[0], stage, 1 if block else stage[6]))
                inputs = stage[0]

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


class ContextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        planes = max(channels // 16, 16)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, planes, 1), nn.LayerNorm([planes, 1, 1]), nn.ReLU(), nn.Conv2d(planes, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        mask = torch.softmax(self.conv_mask(x).view(batch, height * width, 1), 1)
        context = torch.bmm(x.view(batch, channels, height * width), mask)
        return x + self.channel_add_conv(context.view(batch, channels, 1, 1))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, attention: bool, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel, stride, kernel // 2, groups=16, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv3, self.bn3 = nn.Conv2d(outputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.attention = ContextBlock(outputs) if attention else None
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out = self.attention(out) if self.attention else out
        return torch.relu(out + (self.downsample(x) if self.downsample else x))


class Res50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 48, 7, 2, 3, bias=False), nn.BatchNorm2d(48)
        inputs = 48
        for number, (width, depth, kernel, attention, stride) in enumerate(RES50, 1):
            blocks = []
            for block in range(depth):
                blocks.append(Bottleneck(inputs, width, kernel, attention, 1 if block else stride))
                inputs = width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x


class Head(nn.Module):
    def __init__(self, inputs: int, width: int, groups: int, keypoints: int = 17) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            deconvolution = nn.ConvTranspose2d(inputs, width, 4, 2, 1, groups=groups, bias=False)
            layers += [deconvolution, nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(width, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(x))


class Published(nn.Module):
    """A whole network: RGB bytes (B, H, W, 3) to heatmaps (B, K, H/4, W/4) as the authors define them.

    `head` is what the head is called: keypoint_head in mmpose 0.x, head in 1.x.
    """

    def __init__(self, name: str, head: str, keypoints: int = 17) -> None:
        super().__init__()
        self.backbone = MobileNetV3() if name == "mbv3" else Res50()
        made = Head(160, 160, 160, keypoints) if name == "mbv3" else Head(608, 144, 16, keypoints)
        self.add_module(head, made)
        self.head_name = head

    def forward(self, images: Tensor) -> Tensor:
        x = (images - images.new_tensor(MEAN)) / images.new_tensor(STD)
        return getattr(self, self.head_name)(self.backbone(x.permute(0, 3, 1, 2).contiguous()))


@pytest.fixture(scope="session")
def published() -> Callable[..., Published]:
    """Makes a network (name, what the head is called, keypoints) whose random weights keep the size of features."""

    @cache
    def make(name: str, head: str = "head", keypoints: int = 17) -> Published:
        torch.manual_seed(3)
        net = Published(name, head, keypoints)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.2)
            norm.momentum = None
        with torch.no_grad():
            net(torch.randint(0, 256, (2, 64, 64, 3)).float())
        return net.eval()

    return make
