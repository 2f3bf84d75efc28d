"""The network families: what is fixed in each and therefore never searched."""

from dataclasses import dataclass, replace
from typing import Literal

Activation = Literal["relu", "relu6", "hswish"]
FamilyName = Literal["mobilenetv3", "resnet", "fast", "pyramid"]
Output = Literal["linear", "corner", "softmax"]
Channels = tuple[float, float, float]
# Mean and standard deviation of ImageNet's pixels, in bytes.
IMAGENET_MEAN: Channels = (123.675, 116.28, 103.53)
IMAGENET_STD: Channels = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Family:
    """What every architecture of a family shares.

    `strides` and `activations` have one entry per stage; `taps` are the stages that end at strides 4, 8, 16 and 32
    (the fusion stages F1 … F4). `lateral` adds the taps to the upsampling path; with `residual_head` that path is
    bilinear and changed only by what is added to it. `output` tells how the last layer becomes heatmaps: through a
    softmax over positions, or as it is, and then cell c has its centre at crop pixel 4c (`corner`) or 4c + 1.5
    (`linear`). `mean` and `std` normalise the bytes of red, green and blue.
    """

    name: FamilyName
    block: Literal["inverted_residual", "bottleneck"]
    stem_activation: Activation
    stem_pool: bool
    strides: tuple[int, ...]
    activations: tuple[Activation, ...]
    taps: tuple[int, int, int, int]
    expand_from_input: bool
    lateral: bool
    output: Output
    norm_eps: float
    residual_head: bool = False
    mean: Channels = (127.0, 127.0, 127.0)
    std: Channels = (128.0, 128.0, 128.0)


# Stage strides and activations of the authors' MobileNetV3 release; the middle width of a block is the stage's
# output width times the expansion, in the first block too. Input and grid of the heatmaps are theirs as well, so that
# their checkpoints fit.
MOBILENETV3 = Family(
    name="mobilenetv3",
    block="inverted_residual",
    stem_activation="hswish",
    stem_pool=False,
    strides=(1, 2, 2, 2, 1, 2),
    activations=("relu", "relu", "relu", "hswish", "hswish", "hswish"),
    taps=(1, 2, 4, 5),
    expand_from_input=False,
    lateral=False,
    output="corner",
    norm_eps=1e-5,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

RESNET = Family(
    name="resnet",
    block="bottleneck",
    stem_activation="relu",
    stem_pool=True,
    strides=(1, 2, 2, 2),
    activations=("relu", "relu", "relu", "relu"),
    taps=(0, 1, 2, 3),
    expand_from_input=False,
    lateral=False,
    output="corner",
    norm_eps=1e-5,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

# Built from what is quick on a CPU: depthwise convolutions and clipped rectifiers that runtimes fuse, and skips into
# the upsampling path, which spare the coarse features from carrying positions.
FAST = Family(
    name="fast",
    block="inverted_residual",
    stem_activation="relu6",
    stem_pool=False,
    strides=(1, 2, 2, 2, 1, 2),
    activations=("relu6", "relu6", "relu6", "relu6", "relu6", "relu6"),
    taps=(1, 2, 4, 5),
    expand_from_input=True,
    lateral=True,
    output="softmax",
    norm_eps=1e-3,
)

# As `fast`, with the decoder of BlazePose (Bazarevsky et al., 2020), so that all of its weights fit.
PYRAMID = replace(FAST, name="pyramid", residual_head=True)

FAMILIES: dict[str, Family] = {family.name: family for family in (MOBILENETV3, RESNET, FAST, PYRAMID)}
