"""The parts of a network that are measured on their own; the time of a network is about the sum of theirs.

A unit is as small as keeps what a runtime fuses together: a convolution with its activation, attention and shortcut.
`height` and `columns` are the size of what goes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from vipnas_cli.spec import ArchSpec, FusionSpec, HeadSpec, Plan, SearchSpace, StageSpec, StemSpec
from vipnas_cli.spec.arch import middle_widths
from vipnas_cli.spec.families import Family


@dataclass(frozen=True)
class Unit:
    """Something that takes time; equal units take equal time."""

    @property
    def key(self) -> str:
        """Kind and sizes in one line, the name in a table."""
        return " ".join([type(self).__name__.lower(), *map(str, vars(self).values())])


@dataclass(frozen=True)
class Stem(Unit):
    """RGB bytes to normalised floats and through the first convolution, pooled where the family pools."""

    family: str
    width: int
    kernel: int
    height: int
    columns: int


@dataclass(frozen=True)
class Conv(Unit):
    """A convolution with its activation ("linear" for none), squeeze and excitation, and shortcut."""

    inputs: int
    outputs: int
    kernel: int
    stride: int
    groups: int
    activation: str
    attention: bool
    shortcut: bool
    height: int
    columns: int


@dataclass(frozen=True)
class Tail(Unit):
    """The end of a bottleneck: 1×1 convolution, global context, sum with the shortcut, rectifier."""

    inputs: int
    outputs: int
    attention: bool
    height: int
    columns: int


@dataclass(frozen=True)
class Upsampling(Unit):
    """A deconvolution that doubles the size, the sum with a lateral connection, and the activation."""

    width: int
    kernel: int
    groups: int
    height: int
    columns: int


@dataclass(frozen=True)
class Deconvolutions(Unit):
    """Three deconvolutions from stride 32 to 4, each with a rectifier."""

    inputs: int
    width: int
    kernel: int
    groups: int
    height: int
    columns: int


@dataclass(frozen=True)
class Last(Unit):
    """The final 1×1 convolution, and what makes heatmaps of its output."""

    width: int
    keypoints: int
    output: str
    height: int
    columns: int


@dataclass(frozen=True)
class Fusion(Unit):
    """Previous heatmaps, `pooling` times as large, joined to a feature of `width` channels."""

    operation: str
    keypoints: int
    width: int
    pooling: int
    height: int
    columns: int


Size = tuple[int, int]


def plan_units(plan: Plan, keypoints: int = 17) -> Iterator[Unit]:
    """Everything that one position of a cycle computes."""
    arch = plan.arch
    yield from _stem_units(arch.rules, arch.stem, (arch.height, arch.width))
    inputs, stride = arch.stem.width, _stem_stride(arch.rules)
    for index, stage in enumerate(arch.stages):
        yield from _stage_units(arch.rules, index, inputs, stage, _size(arch, stride))
        inputs, stride = stage.width, stride * arch.rules.strides[index]
    taps = tuple(arch.tap_width(tap) for tap in (1, 2, 3, 4))
    yield from _head_units(arch.rules, arch.head, taps, (arch.height, arch.width), keypoints)
    yield from _fusion_units(plan.fusion, taps, (arch.height, arch.width), keypoints)


def space_units(space: SearchSpace, fusions: Sequence[FusionSpec], keypoints: int = 17) -> list[Unit]:
    """Every unit that some network of the space has, once."""
    found: dict[Unit, None] = {}
    for size in space.sizes:
        for unit in _size_units(space, size, fusions, keypoints):
            found[unit] = None
    return list(found)


def _size_units(space: SearchSpace, size: Size, fusions: Sequence[FusionSpec], keypoints: int) -> Iterator[Unit]:
    """The units of all networks of one input size; repeats some."""
    rules, stride = space.rules, _stem_stride(space.rules)
    for width, kernel in product(space.stem.widths, space.stem.kernels):
        yield from _stem_units(rules, StemSpec(width, kernel), size)
    inputs = space.stem.widths
    for index, choices in enumerate(space.stages):
        at = (size[0] // stride, size[1] // stride)
        # A third block repeats the second one.
        depth = min(2, max(choices.depths))
        drafts = product(choices.widths, choices.kernels, choices.group_widths, choices.expansions, choices.attention)
        for width, kernel, group_width, expansion, attention in drafts:
            stage = StageSpec(width, depth, kernel, group_width, expansion, attention)
            for before in inputs:
                if all(middle % group_width == 0 for middle in middle_widths(rules, before, stage)):
                    yield from _stage_units(rules, index, before, stage, at)
        inputs, stride = choices.widths, stride * rules.strides[index]
    tap_choices = [space.stages[tap].widths for tap in rules.taps]
    for taps in product(*tap_choices):
        for head in _heads(space, taps[3]):
            yield from _head_units(rules, head, taps, size, keypoints)
        for fusion in fusions:
            yield from _fusion_units(fusion, taps, size, keypoints)


def _heads(space: SearchSpace, last: int) -> Iterator[HeadSpec]:
    choices = space.head
    for width, kernel, group_width, refine in product(
        choices.widths, choices.kernels, choices.group_widths, choices.refines
    ):
        fits = width % group_width == 0 and (space.rules.lateral or last % (width // group_width) == 0)
        if fits:
            yield HeadSpec(width, kernel, group_width, refine)


def _stem_stride(rules: Family) -> int:
    return 4 if rules.stem_pool else 2


def _size(arch: ArchSpec, stride: int) -> Size:
    return arch.height // stride, arch.width // stride


def _stem_units(rules: Family, stem: StemSpec, size: Size) -> Iterator[Unit]:
    yield Stem(rules.name, stem.width, stem.kernel, *size)


def _stage_units(rules: Family, index: int, inputs: int, stage: StageSpec, size: Size) -> Iterator[Unit]:
    """The blocks of a stage that gets `inputs` channels."""
    stride, act = rules.strides[index], rules.activations[index]
    for middle in middle_widths(rules, inputs, stage):
        after = (size[0] // stride, size[1] // stride)
        plain = stride == 1 and inputs == stage.width
        groups = middle // stage.group_width
        if rules.block == "bottleneck":
            yield Conv(inputs, middle, 1, 1, 1, act, False, False, *size)
            yield Conv(middle, middle, stage.kernel, stride, groups, act, False, False, *size)
            yield Tail(middle, stage.width, stage.attention, *after)
            if not plain:
                yield Conv(inputs, stage.width, 1, stride, 1, "linear", False, False, *size)
        else:
            if stage.expansion > 1 or inputs != middle:
                yield Conv(inputs, middle, 1, 1, 1, act, False, False, *size)
            yield Conv(middle, middle, stage.kernel, stride, groups, act, stage.attention, False, *size)
            yield Conv(middle, stage.width, 1, 1, 1, "linear", False, plain, *after)
        inputs, stride, size = stage.width, 1, after


def _head_units(rules: Family, head: HeadSpec, taps: Sequence[int], size: Size, keypoints: int) -> Iterator[Unit]:
    """The head on features F1 … F4 with `taps` channels, for an input of `size`."""
    coarse = (size[0] // 32, size[1] // 32)
    groups = head.width // head.group_width
    if rules.lateral:
        yield Conv(taps[3], head.width, 1, 1, 1, "relu6", False, False, *coarse)
        for width, stride in ((taps[2], 16), (taps[1], 8), (taps[0], 4)):
            finer = (size[0] // stride, size[1] // stride)
            yield Upsampling(head.width, head.kernel, groups, finer[0] // 2, finer[1] // 2)
            lateral = Conv(width, head.width, 1, 1, 1, "linear", False, False, *finer)
            yield lateral
            if head.refine:
                yield replace(lateral, inputs=head.width, kernel=head.refine, groups=head.width, activation="relu6")
                yield replace(lateral, inputs=head.width, activation="relu6")
    else:
        yield Deconvolutions(taps[3], head.width, head.kernel, groups, *coarse)
    yield Last(head.width, keypoints, rules.output, size[0] // 4, size[1] // 4)


def _fusion_units(fusion: FusionSpec, taps: Sequence[int], size: Size, keypoints: int) -> Iterator[Unit]:
    if fusion.operation != "none":
        pooling = 2 ** (fusion.stage - 1)
        at = (size[0] // (4 * pooling), size[1] // (4 * pooling))
        yield Fusion(fusion.operation, keypoints, taps[fusion.stage - 1], pooling, *at)
