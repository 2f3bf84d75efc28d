"""Which layers a network has: the pose network of a plan, the person detector, the verifier.

Costs are sums over these lists, and a latency table has an entry for each layer. `nets` builds the same networks of
torch modules; a test holds the two against each other with torch's own counter. For a new head, write one more
function that yields its layers and one more case in `head_layers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vipnas_cli.spec.arch import ArchSpec, HeadSpec, StageSpec, StemSpec, middle_widths
from vipnas_cli.spec.families import Activation, Family, Output
from vipnas_cli.spec.layers import (
    BottleneckEnd,
    Convolution,
    Deconvolutions,
    FinalConvolution,
    Fusion,
    Layer,
    Linear,
    Stem,
    Upsampling,
)
from vipnas_cli.spec.schedule import FusionSpec, Plan

# Height and width in pixels.
Size = tuple[int, int]
# The detector ends at stride 8: it takes two of the three steps up.
DETECTOR_STEPS = 2
# How much wider than its input the first part of a residual head is.
RESIDUAL_EXPANSION = 6


def plan_layers(plan: Plan, keypoints: int = 17) -> Iterator[Layer]:
    """The layers of the pose network at one position of a cycle."""
    arch = plan.built
    size = (arch.height, arch.width)
    yield from trunk_layers(arch)
    yield from head_layers(arch.rules, arch.head, _taps(arch), size, keypoints)
    yield from fusion_layers(plan.fusion, _taps(arch), size, keypoints)


def detector_layers(arch: ArchSpec) -> Iterator[Layer]:
    """The layers of the person detector for pictures of the arch's size."""
    yield from trunk_layers(arch)
    yield from _lateral_layers(arch.head, _taps(arch), (arch.height, arch.width), DETECTOR_STEPS)
    size, width = (arch.height // 8, arch.width // 8), arch.head.width
    for outputs in (1, 4):
        if arch.head.refine:
            depthwise, pointwise = _refinement(arch.head, size)
            yield depthwise
            yield replace(pointwise, activation="linear", shortcut=True)
        yield FinalConvolution(width, outputs, "linear", *size)


def verifier_layers(arch: ArchSpec) -> Iterator[Layer]:
    """The layers of the verifier of boxes."""
    yield from trunk_layers(arch)
    coarse, width = (arch.height // 32, arch.width // 32), arch.head.width
    yield _pointwise(arch.tap_width(4), width, "relu6", coarse)
    yield Linear(width * coarse[0] * coarse[1], 5)


def trunk_layers(arch: ArchSpec) -> Iterator[Layer]:
    """Stem and stages."""
    yield stem_layer(arch.rules, arch.stem, (arch.height, arch.width))
    inputs, stride = arch.stem.width, stem_stride(arch.rules)
    for index, stage in enumerate(arch.stages):
        yield from stage_layers(arch.rules, index, inputs, stage, (arch.height // stride, arch.width // stride))
        inputs, stride = stage.width, stride * arch.rules.strides[index]


def stem_stride(rules: Family) -> int:
    """The stride at which the first stage starts."""
    return 4 if rules.stem_pool else 2


def stem_layer(rules: Family, stem: StemSpec, size: Size) -> Layer:
    """The first layer, for an input of `size`."""
    return Stem(rules.name, stem.width, stem.kernel, *size)


def stage_layers(rules: Family, index: int, inputs: int, stage: StageSpec, size: Size) -> Iterator[Layer]:
    """The blocks of stage `index` (from 0), whose input has `inputs` channels and `size`."""
    stride = rules.strides[index]
    for middle in middle_widths(rules, inputs, stage):
        block = _bottleneck if rules.block == "bottleneck" else _inverted_residual
        yield from block((inputs, middle, stage.width), stage, stride, rules.activations[index], size)
        inputs, size, stride = stage.width, (size[0] // stride, size[1] // stride), 1


def _inverted_residual(
    widths: tuple[int, int, int], stage: StageSpec, stride: int, act: Activation, size: Size
) -> Iterator[Layer]:
    """Expansion, spatial convolution with attention, projection; `widths` are input, middle and output."""
    inputs, middle, outputs = widths
    groups, after = middle // stage.group_width, (size[0] // stride, size[1] // stride)
    if stage.expansion > 1 or inputs != middle:
        yield _pointwise(inputs, middle, act, size)
    yield Convolution(middle, middle, stage.kernel, stride, groups, act, stage.attention, False, *size)
    yield replace(_pointwise(middle, outputs, "linear", after), shortcut=stride == 1 and inputs == outputs)


def _bottleneck(
    widths: tuple[int, int, int], stage: StageSpec, stride: int, act: Activation, size: Size
) -> Iterator[Layer]:
    """Reduction, spatial convolution, end, and the convolution of the shortcut where it is none by itself."""
    inputs, middle, outputs = widths
    groups, after = middle // stage.group_width, (size[0] // stride, size[1] // stride)
    yield _pointwise(inputs, middle, act, size)
    yield Convolution(middle, middle, stage.kernel, stride, groups, act, False, False, *size)
    yield BottleneckEnd(middle, outputs, stage.attention, *after)
    if stride > 1 or inputs != outputs:
        yield replace(_pointwise(inputs, outputs, "linear", size), stride=stride)


def head_layers(rules: Family, head: HeadSpec, taps: Sequence[int], size: Size, keypoints: int) -> Iterator[Layer]:
    """From features F1 … F4 with `taps` channels to heatmaps, for an input of `size`."""
    if rules.residual_head:
        yield from _residual_layers(head, taps, size)
    elif rules.lateral:
        yield from _lateral_layers(head, taps, size)
    else:
        coarse, groups = (size[0] // 32, size[1] // 32), head.width // head.group_width
        yield Deconvolutions(taps[3], head.width, head.kernel, groups, *coarse)
    # Tables know both outputs without a softmax by one name: where cells lie takes next to no time.
    output: Output = "linear" if rules.output == "corner" else rules.output
    yield FinalConvolution(head.width, keypoints, output, size[0] // 4, size[1] // 4)


def _lateral_layers(head: HeadSpec, taps: Sequence[int], size: Size, steps: int = 3) -> Iterator[Layer]:
    """Upsampling from stride 32 that takes in the features at 16, 8 and, for `steps` 3, at 4 on the way."""
    groups = head.width // head.group_width
    yield _pointwise(taps[3], head.width, "relu6", (size[0] // 32, size[1] // 32))
    for inputs, stride in ((taps[2], 16), (taps[1], 8), (taps[0], 4))[:steps]:
        finer = (size[0] // stride, size[1] // stride)
        yield Upsampling(head.width, head.kernel, groups, finer[0] // 2, finer[1] // 2)
        yield _pointwise(inputs, head.width, "linear", finer)
        if head.refine:
            yield from _refinement(head, finer)


def _residual_layers(head: HeadSpec, taps: Sequence[int], size: Size) -> Iterator[Layer]:
    """A projection at stride 32, then the features at 16, 8 and 4, each added to what was sampled up; see PYRAMID."""
    coarse, middle = (size[0] // 32, size[1] // 32), taps[3] * RESIDUAL_EXPANSION
    yield _pointwise(taps[3], middle, "relu6", coarse)
    for _ in range(2):
        yield replace(_pointwise(middle, middle, "relu6", coarse), kernel=3, groups=middle)
    yield _pointwise(middle, head.width, "relu6", coarse)
    for inputs, stride in ((taps[2], 16), (taps[1], 8), (taps[0], 4)):
        finer = (size[0] // stride, size[1] // stride)
        yield replace(_pointwise(inputs, inputs, "relu6", finer), kernel=3, groups=inputs)
        yield _pointwise(inputs, head.width, "relu6", finer)
        if head.refine:
            depthwise, pointwise = _refinement(head, finer)
            yield depthwise
            yield replace(pointwise, activation="linear", shortcut=True)


def _refinement(head: HeadSpec, size: Size) -> tuple[Convolution, Convolution]:
    """A depthwise and a pointwise convolution after an upsampling."""
    pointwise = _pointwise(head.width, head.width, "relu6", size)
    return replace(pointwise, kernel=head.refine, groups=head.width), pointwise


def fusion_layers(fusion: FusionSpec, taps: Sequence[int], size: Size, keypoints: int) -> Iterator[Layer]:
    """What joins the previous heatmaps to the feature F1 … F4 of the fusion's stage."""
    if fusion.operation != "none":
        pooling = 2 ** (fusion.stage - 1)
        at = (size[0] // (4 * pooling), size[1] // (4 * pooling))
        yield Fusion(fusion.operation, keypoints, taps[fusion.stage - 1], pooling, *at)


def _pointwise(inputs: int, outputs: int, act: str, size: Size) -> Convolution:
    """A 1×1 convolution with batch norm and activation."""
    return Convolution(inputs, outputs, 1, 1, 1, act, False, False, *size)


def _taps(arch: ArchSpec) -> tuple[int, ...]:
    """Channels of the features F1 … F4."""
    return tuple(arch.tap_width(stage) for stage in (1, 2, 3, 4))
