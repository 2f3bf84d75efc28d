"""Architectures as frozen values: what a pose network looks like, without any weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.families import FAMILIES, Family

JsonObject = dict[str, Any]
# Far above what any network here needs; files are not believed beyond it.
LARGEST = {
    "width": 8192,
    "height": 8192,
    "depth": 100,
    "kernel": 31,
    "group_width": 8192,
    "expansion": 64,
    "refine": 31,
}


def _positive(owner: str, **values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{owner}: {name} must be a whole number above 0, not {value!r:.60}")
        if value > LARGEST[name]:
            raise SpecError(f"{owner}: {name} must be at most {LARGEST[name]}, not {float(value):g}")


@dataclass(frozen=True)
class StemSpec:
    """The first convolution, stride 2."""

    width: int
    kernel: int

    def __post_init__(self) -> None:
        _positive("stem", width=self.width, kernel=self.kernel)
        if self.kernel % 2 == 0:
            raise SpecError(f"stem: kernel must be odd, not {self.kernel}")


@dataclass(frozen=True)
class StageSpec:
    """The five elastic dimensions of one stage (paper section 1): depth, width, kernel, groups and attention.

    `width` is the number of output channels, `group_width` the channels per group of the spatial convolution
    (1 = depthwise), `expansion` the factor of the block's middle width.
    """

    width: int
    depth: int
    kernel: int
    group_width: int
    expansion: int
    attention: bool

    def __post_init__(self) -> None:
        _positive("stage", width=self.width, depth=self.depth, kernel=self.kernel)
        _positive("stage", group_width=self.group_width, expansion=self.expansion)
        if self.kernel % 2 == 0:
            raise SpecError(f"stage: kernel must be odd, not {self.kernel}")
        if not isinstance(self.attention, bool):
            raise SpecError(f"stage: attention must be true or false, not {self.attention!r:.60}")


@dataclass(frozen=True)
class HeadSpec:
    """Three deconvolutions of stride 2 and the final 1×1 convolution.

    `group_width` counts output channels per group of a deconvolution; `refine` is the kernel of the depthwise
    refinement after each upsampling in families with lateral connections, 0 for none.
    """

    width: int
    kernel: int
    group_width: int
    refine: int = 0

    def __post_init__(self) -> None:
        _positive("head", width=self.width, group_width=self.group_width)
        _positive("head", kernel=self.kernel)
        if self.kernel not in (2, 4):
            raise SpecError(f"head: kernel must be 2 or 4, not {self.kernel!r:.60}")
        if self.refine != 0 or isinstance(self.refine, bool):
            _positive("head", refine=self.refine)
            if self.refine % 2 == 0:
                raise SpecError(f"head: refine must be 0 or an odd kernel, not {self.refine!r:.60}")
        if self.width % self.group_width:
            raise SpecError(f"head: width {self.width} is not a multiple of group_width {self.group_width}")


@dataclass(frozen=True)
class ArchSpec:
    """One pose network: family, input size in pixels, stem, stages, head."""

    family: str
    height: int
    width: int
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    def __post_init__(self) -> None:
        if not isinstance(self.family, str) or self.family not in FAMILIES:
            raise SpecError(f"arch: family {self.family!r:.60} is unknown; known are {', '.join(FAMILIES)}")
        _positive("arch", height=self.height, width=self.width)
        if self.height % 32 or self.width % 32:
            raise SpecError(f"arch: input {self.height}×{self.width} is not a multiple of 32")
        if len(self.stages) != len(self.rules.strides):
            raise SpecError(f"arch: {self.family} has {len(self.rules.strides)} stages, not {len(self.stages)}")
        for number, stage in enumerate(self.stages, 1):
            for middle in set(self.middle_widths(number - 1)):
                if middle % stage.group_width:
                    raise SpecError(
                        f"stage {number}: group_width {stage.group_width} does not divide {middle} channels"
                    )
        if not self.rules.lateral and self.stages[-1].width % (self.head.width // self.head.group_width):
            raise SpecError("head: group_width makes groups that do not divide the last stage's width")
        if not self.rules.lateral and self.head.refine:
            raise SpecError(f"head: refine must be 0 in family {self.family}, which has no lateral connections")

    @property
    def rules(self) -> Family:
        """What the family fixes."""
        return FAMILIES[self.family]

    def middle_widths(self, stage: int) -> tuple[int, ...]:
        """Channels of the spatial convolution in each block of stage `stage` (counted from 0)."""
        inputs = self.stages[stage - 1].width if stage else self.stem.width
        return middle_widths(self.rules, inputs, self.stages[stage])

    def tap_width(self, fusion_stage: int) -> int:
        """Channels of the feature F1 … F4 (`fusion_stage` 1 … 4)."""
        return self.stages[self.rules.taps[fusion_stage - 1]].width

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal spec."""
        return asdict(self)

    @staticmethod
    def from_json(data: JsonObject) -> ArchSpec:
        """The spec of a JSON object; SpecError names a missing, unknown or wrong field."""
        fields = read_fields("arch", data, ArchSpec)
        return ArchSpec(
            family=fields["family"],
            height=fields["height"],
            width=fields["width"],
            stem=StemSpec(**read_fields("stem", fields["stem"], StemSpec)),
            stages=tuple(
                StageSpec(**read_fields("stage", row, StageSpec)) for row in read_list("arch", fields, "stages")
            ),
            head=HeadSpec(**read_fields("head", fields["head"], HeadSpec)),
        )

    @property
    def key(self) -> str:
        """A short name that equal specs share in every process."""
        return key_of(self.to_json())


def middle_widths(rules: Family, inputs: int, stage: StageSpec) -> tuple[int, ...]:
    """Channels of the spatial convolution in each block of a stage that gets `inputs` channels."""
    first = inputs if rules.expand_from_input else stage.width
    return (first * stage.expansion, *[stage.width * stage.expansion] * (stage.depth - 1))


def key_of(data: JsonObject) -> str:
    """Twelve hexadecimal digits that depend only on the content of a JSON object."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_fields(owner: str, data: object, kind: type) -> JsonObject:
    """The fields of a JSON object for the dataclass `kind`; SpecError for missing or unknown names."""
    if not isinstance(data, dict):
        raise SpecError(f"{owner} must be a JSON object, not {type(data).__name__}")
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    for name in data:
        if name not in known:
            raise SpecError(f"{owner}: unknown field {name!r:.60}; known are {', '.join(known)}")
    optional = {"refine", "padding"}
    for name in known:
        if name not in data and name not in optional:
            raise SpecError(f"{owner}: field {name!r:.60} is missing")
    return data


def read_list(owner: str, data: JsonObject, name: str) -> list[Any]:
    """The field `name` of a JSON object, which must be a list."""
    if not isinstance(data[name], list | tuple):
        raise SpecError(f"{owner}: {name} must be a list, not {type(data[name]).__name__}")
    return list(data[name])
