"""The network families: what is fixed in each and therefore never searched."""

from dataclasses import dataclass, replace
from typing import Literal

Activation = Literal["relu", "relu6", "hswish"]
FamilyName = Literal["mobilenetv3", "resnet", "fast", "pyramid"]


@dataclass(frozen=True)
class Family:
    """What every architecture of a family shares.

    `strides` and `activations` have one entry per stage; `taps` are the stages that end at strides 4, 8, 16 and 32
    (the fusion stages F1 … F4). `lateral` adds the taps to the upsampling path; with `residual_head` that path is
    bilinear and changed only by what is added to it. `output` tells how the last layer becomes heatmaps: as it is, or
    through a softmax over positions.
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
    output: Literal["linear", "softmax"]
    norm_eps: float
    residual_head: bool = False


# Stage strides and activations of the authors' MobileNetV3 release; the middle width of a block is the stage's
# output width times the expansion, in the first block too.
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
    output="linear",
    norm_eps=1e-5,
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
    output="linear",
    norm_eps=1e-5,
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
