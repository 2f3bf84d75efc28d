"""The spatial search space: every architecture of a family that a super-network's weights can be narrowed to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import TypeVar

from vipnas_cli.errors import SpecError
from vipnas_cli.spec.arch import (
    ArchSpec,
    HeadSpec,
    JsonObject,
    StageSpec,
    StemSpec,
    key_of,
    middle_widths,
    read_fields,
    read_list,
)
from vipnas_cli.spec.choices import (
    Chooser,
    Cross,
    Draw,
    Gene,
    HeadChoices,
    Mutate,
    Odometer,
    StageChoices,
    StemChoices,
    choices_from_json,
)
from vipnas_cli.spec.families import FAMILIES, Family
from vipnas_cli.spec.imported import ImportedSpec

T = TypeVar("T")

# The paper's five dimensions of a stage, and what of StageChoices belongs to each: an expansion is a width inside.
DIMENSIONS = {
    "width": ("widths", "expansions"),
    "depth": ("depths",),
    "kernel": ("kernels",),
    "groups": ("group_widths",),
    "attention": ("attention",),
}
# These two add something to a network that does well without; the others have no such value.
_ADDED = frozenset({"groups", "attention"})


@dataclass(frozen=True)
class SearchSpace:
    """Choices for every part of a family's architectures; `sizes` are inputs (height, width) in pixels.

    Every combination of choices that makes a valid ArchSpec belongs to the space, and all of them fit into the tensors
    of the largest one; SpecError otherwise.
    """

    family: str
    sizes: tuple[tuple[int, int], ...]
    stem: StemChoices
    stages: tuple[StageChoices, ...]
    head: HeadChoices

    def __post_init__(self) -> None:
        if not isinstance(self.family, str) or self.family not in FAMILIES:
            raise SpecError(f"space: family {self.family!r:.60} is unknown; known are {', '.join(FAMILIES)}")
        if len(self.stages) != len(self.rules.strides):
            raise SpecError(f"space: {self.family} has {len(self.rules.strides)} stages, not {len(self.stages)}")
        if not self.sizes or any([type(side) for side in size] != [int, int] for size in self.sizes):
            raise SpecError(f"space: sizes must list pairs of height and width, not {self.sizes!r:.60}")
        for size in self.sizes:
            replace(self.largest, height=size[0], width=size[1])
        for index in range(len(self.stages)):
            self._check_shortcuts(index)
            self._check_groups(index)
        self._check_head()

    @property
    def rules(self) -> Family:
        """What the family fixes."""
        return FAMILIES[self.family]

    @staticmethod
    def of(arch: ArchSpec) -> SearchSpace:
        """The space with one point."""
        stages = [
            StageChoices((s.width,), (s.depth,), (s.kernel,), (s.group_width,), (s.expansion,), (s.attention,))
            for s in arch.stages
        ]
        head = HeadChoices((arch.head.width,), (arch.head.kernel,), (arch.head.group_width,), (arch.head.refine,))
        stem = StemChoices((arch.stem.width,), (arch.stem.kernel,))
        return SearchSpace(arch.family, ((arch.height, arch.width),), stem, tuple(stages), head)

    @property
    def largest(self) -> ArchSpec:
        """The architecture with the largest value of every choice, whose weights hold all others."""
        height, width = max(self.sizes, key=lambda size: size[0] * size[1])
        stages = tuple(
            StageSpec(
                max(c.widths), max(c.depths), max(c.kernels), max(c.group_widths), max(c.expansions), max(c.attention)
            )
            for c in self.stages
        )
        head = HeadSpec(
            *(max(v) for v in (self.head.widths, self.head.kernels, self.head.group_widths, self.head.refines))
        )
        return ArchSpec(
            self.family, height, width, StemSpec(max(self.stem.widths), max(self.stem.kernels)), stages, head
        )

    @property
    def smallest(self) -> ArchSpec:
        """The architecture with the smallest possible value of every choice."""

        def least(gene: Gene, options: Sequence[T]) -> T:  # noqa: ARG001
            return min(options)  # type: ignore[type-var]

        height, width = min(self.sizes, key=lambda size: size[0] * size[1])
        return replace(self._build(least), height=height, width=width)

    def sample(self, rng: Random) -> ArchSpec:
        """A random architecture: every choice uniform among what earlier choices leave possible."""
        return self._build(Draw(rng))

    def mutate(self, spec: ArchSpec, rng: Random, probability: float) -> ArchSpec:
        """A copy in which each choice is drawn anew with `probability`; choices that no longer fit are too."""
        self._check_family(spec)
        return self._build(Mutate(spec, rng, probability))

    def cross(self, a: ArchSpec, b: ArchSpec, rng: Random) -> ArchSpec:
        """A child that has each choice from one of its parents."""
        self._check_family(a)
        self._check_family(b)
        return self._build(Cross((a, b), rng))

    def contains(self, spec: ArchSpec | ImportedSpec) -> bool:
        """Whether every part of the architecture is among the choices."""
        return isinstance(spec, ArchSpec) and next(self.strange(spec), None) is None

    def strange(self, spec: ArchSpec) -> Iterator[str]:
        """What of an architecture is not among the choices, each part in words."""
        if spec.family != self.family:
            yield f"its family is {spec.family}, not {self.family}"
            return
        if (spec.height, spec.width) not in self.sizes:
            sizes = ", ".join(f"{height}×{width}" for height, width in self.sizes)
            yield f"its input {spec.height}×{spec.width} is not among the choices {sizes}"
        yield from _strange("stem", self.stem, spec.stem)
        for number, (choices, stage) in enumerate(zip(self.stages, spec.stages, strict=True), 1):
            yield from _strange(f"stage {number}", choices, stage)
        yield from _strange("head", self.head, spec.head)

    def enumerate(self) -> Iterator[ArchSpec]:
        """All architectures of the space, one by one; look at `size` first."""
        return Odometer().all(self._build)

    @property
    def size(self) -> int:
        """The number of architectures, exact."""
        # How many ways lead to each width, stage by stage: what fits depends on the width before only.
        ways = dict.fromkeys(self.stem.widths, 1)
        for index, choices in enumerate(self.stages):
            ways = {
                width: sum(count * self._stage_count(index, inputs, width) for inputs, count in ways.items())
                for width in choices.widths
            }
        heads = {last: sum(len(self._head_groups(last, width)) for width in self.head.widths) for last in ways}
        trunks = sum(count * heads[last] for last, count in ways.items())
        kernels = len(self.stem.kernels) * len(self.head.kernels) * len(self.head.refines)
        return len(self.sizes) * kernels * trunks

    @property
    def elastic(self) -> tuple[str, ...]:
        """Which of the paper's five dimensions of a stage vary somewhere: width, depth, kernel, groups, attention."""
        return tuple(
            name
            for name, fields in DIMENSIONS.items()
            if any(len(getattr(stage, field)) > 1 for stage in self.stages for field in fields)
        )

    def without(self, dimensions: Collection[str]) -> SearchSpace:
        """The part of the space in which some dimensions do not vary: groups and attention off, others at the largest.

        What it reaches beside the whole space tells what they are worth.
        """
        held = {field: min if name in _ADDED else max for name in dimensions for field in DIMENSIONS[name]}
        stages = (
            replace(stage, **{field: (pick(getattr(stage, field)),) for field, pick in held.items()})
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    def to_json(self) -> JsonObject:
        """A JSON object that `from_json` turns back into an equal space."""
        return asdict(self)

    @staticmethod
    def from_json(data: JsonObject) -> SearchSpace:
        """The space of a JSON object; SpecError names a wrong field."""
        fields = read_fields("space", data, SearchSpace)
        sizes = read_list("space", fields, "sizes")
        if not all(isinstance(size, list | tuple) for size in sizes):
            raise SpecError(f"space: sizes must list pairs of height and width, not {sizes!r:.60}")
        stages = read_list("space", fields, "stages")
        return SearchSpace(
            family=fields["family"],
            sizes=tuple(tuple(size) for size in sizes),
            stem=choices_from_json("stem choices", fields["stem"], StemChoices),
            stages=tuple(choices_from_json("stage choices", stage, StageChoices) for stage in stages),
            head=choices_from_json("head choices", fields["head"], HeadChoices),
        )

    @property
    def key(self) -> str:
        """A short name that equal spaces share in every process."""
        return key_of(self.to_json())

    def _build(self, choose: Chooser) -> ArchSpec:
        """The architecture that a chooser puts together, choice by choice."""
        height, width = choose(lambda a: (a.height, a.width), self.sizes)
        stem_width = choose(lambda a: a.stem.width, self.stem.widths)
        stem = StemSpec(stem_width, choose(lambda a: a.stem.kernel, self.stem.kernels))
        stages: list[StageSpec] = []
        for index in range(len(self.stages)):
            stages.append(self._build_stage(index, stages[-1].width if stages else stem.width, choose))
        return ArchSpec(self.family, height, width, stem, tuple(stages), self._build_head(stages[-1].width, choose))

    def _build_stage(self, index: int, inputs: int, choose: Chooser) -> StageSpec:
        choices = self.stages[index]
        stage = StageSpec(
            width=choose(_stage_gene(index, "width"), choices.widths),
            depth=choose(_stage_gene(index, "depth"), choices.depths),
            kernel=choose(_stage_gene(index, "kernel"), choices.kernels),
            group_width=1,
            expansion=choose(_stage_gene(index, "expansion"), choices.expansions),
            attention=choose(_stage_gene(index, "attention"), choices.attention),
        )
        groups = self._stage_groups(index, inputs, stage)
        return replace(stage, group_width=choose(_stage_gene(index, "group_width"), groups))

    def _build_head(self, last: int, choose: Chooser) -> HeadSpec:
        widths = [width for width in self.head.widths if self._head_groups(last, width)]
        width = choose(lambda a: a.head.width, widths)
        return HeadSpec(
            width=width,
            kernel=choose(lambda a: a.head.kernel, self.head.kernels),
            group_width=choose(lambda a: a.head.group_width, self._head_groups(last, width)),
            refine=choose(lambda a: a.head.refine, self.head.refines),
        )

    def _stage_groups(self, index: int, inputs: int, stage: StageSpec) -> tuple[int, ...]:
        """The group widths that divide the middle channels of every block."""
        middles = set(middle_widths(self.rules, inputs, stage))
        return tuple(g for g in self.stages[index].group_widths if not any(middle % g for middle in middles))

    def _head_groups(self, last: int, width: int) -> tuple[int, ...]:
        """The group widths of deconvolutions that fit the head's width and, for the first one, the last stage's."""
        fits = [g for g in self.head.group_widths if width % g == 0]
        return tuple(g for g in fits if self.rules.lateral or last % (width // g) == 0)

    def _stage_count(self, index: int, inputs: int, width: int) -> int:
        """How many stages of that width and number of inputs there are."""
        choices = self.stages[index]
        drafts = [StageSpec(width, d, 1, 1, e, False) for d in choices.depths for e in choices.expansions]
        groups = sum(len(self._stage_groups(index, inputs, draft)) for draft in drafts)
        return len(choices.kernels) * len(choices.attention) * groups

    def _input_widths(self, index: int) -> tuple[int, ...]:
        return self.stages[index - 1].widths if index else self.stem.widths

    def _check_family(self, spec: ArchSpec) -> None:
        if spec.family != self.family:
            raise SpecError(f"an architecture of family {spec.family} does not belong to a space of {self.family}")

    def _check_shortcuts(self, index: int) -> None:
        """Whether a stage's first block adds its input, or expands it, must not depend on the candidate."""
        inputs, choices = self._input_widths(index), self.stages[index]
        never_expands = max(choices.expansions) == 1 and not self.rules.expand_from_input
        if self.rules.strides[index] > 1 and not (never_expands and self.rules.block == "inverted_residual"):
            return
        always_equal = len(set(inputs) | set(choices.widths)) == 1
        if not always_equal and set(inputs) & set(choices.widths):
            raise SpecError(f"stage {index + 1}: widths must share no value with the widths before it")

    def _check_groups(self, index: int) -> None:
        """Some group width must fit whatever else was chosen."""
        choices = self.stages[index]
        for inputs in self._input_widths(index):
            for width in choices.widths:
                drafts = [StageSpec(width, d, 1, 1, e, False) for d in choices.depths for e in choices.expansions]
                if not all(self._stage_groups(index, inputs, draft) for draft in drafts):
                    raise SpecError(f"stage {index + 1}: no group_width fits width {width} after {inputs} channels")

    def _check_head(self) -> None:
        lasts, head = self.stages[-1].widths, self.head
        for last in lasts:
            if not any(self._head_groups(last, width) for width in head.widths):
                raise SpecError(f"head: no width and group_width fit a last stage of width {last}")
        # The groups of a deconvolution with other inputs than outputs nest in no groups but one.
        varies = max(len(lasts), len(head.widths), len(head.group_widths)) > 1
        if varies and not self.rules.lateral and max(head.group_widths) != max(head.widths):
            raise SpecError("head: the largest group_width must be the largest width, so that its weights are dense")


def _stage_gene(index: int, field: str) -> Callable[[ArchSpec], int]:
    """The function that reads one choice of a stage."""
    return lambda arch: getattr(arch.stages[index], field)


def _strange(
    owner: str, choices: StemChoices | StageChoices | HeadChoices, part: StemSpec | StageSpec | HeadSpec
) -> Iterator[str]:
    """The fields of a part that have none of the values that the fields of its choices, in the same order, list."""
    for (name, value), options in zip(vars(part).items(), vars(choices).values(), strict=True):
        if value not in options:
            yield f"{owner}: {name} {value} is not among the choices {', '.join(map(str, options))}"
