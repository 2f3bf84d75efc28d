"""Whatever a space samples, mutates or crosses it contains; its size is what enumeration finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from vipnas_cli.errors import SpecError
from vipnas_cli.spec import PRESETS, ArchSpec, HeadSpec, SearchSpace, StageSpec, StemSpec
from vipnas_cli.spec.choices import HeadChoices, StageChoices, StemChoices
from vipnas_cli.spec.presets import FAST_BASE, PYRAMID_BASE, S_VIPNET_MOBILENETV3, S_VIPNET_RES50
from vipnas_cli.spec.space import DIMENSIONS
from vipnas_cli.spec.spaces import FAST_SPACE, MOBILENETV3_SPACE, PYRAMID_SPACE, RESNET_SPACE, SPACES, space_of

NAMED = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


def fixed(width: int, **changes: tuple[Any, ...]) -> StageChoices:
    """A stage without choices but for the changes."""
    return replace(StageChoices((width,), (1,), (3,), (1,), (2,), (False,)), **changes)


# Few choices that depend on each other: group widths on widths, expansions and depths, heads on the last stage.
TINY_FAST = SearchSpace(
    "fast",
    ((64, 32), (32, 32)),
    StemChoices((8, 12), (3,)),
    (
        fixed(16, expansions=(1,)),
        fixed(24, widths=(20, 24), depths=(1, 2), group_widths=(1, 8, 16), expansions=(1, 2)),
        fixed(24),
        fixed(24),
        fixed(32, attention=(False, True)),
        fixed(32, kernels=(3, 5)),
    ),
    HeadChoices((8, 12), (2,), (1, 4), (0, 3)),
)
TINY_RESNET = SearchSpace(
    "resnet",
    ((32, 32),),
    StemChoices((6,), (3, 5)),
    (
        fixed(8, widths=(8, 12), depths=(1, 2), expansions=(1,), group_widths=(1, 2, 4)),
        fixed(12, widths=(8, 12), kernels=(3, 5), expansions=(1,)),
        fixed(16, expansions=(1,)),
        fixed(16, widths=(16, 24), expansions=(1,), attention=(False, True)),
    ),
    HeadChoices((12, 16), (2, 4), (1, 8, 16)),
)
TINY = pytest.mark.parametrize("space", [TINY_FAST, TINY_RESNET], ids=["fast", "resnet"])


@TINY
def test_size_is_what_enumeration_finds(space: SearchSpace) -> None:
    found = list(space.enumerate())
    assert len(set(found)) == len(found) == space.size
    assert all(space.contains(spec) for spec in found)
    assert {space.largest, space.smallest} <= set(found)


@TINY
def test_enumeration_misses_nothing_that_is_contained(space: SearchSpace) -> None:
    known = set(space.enumerate())
    rng = Random(0)
    for spec in list(known)[:50]:
        for index in range(len(spec.stages)):
            change: dict[str, Any] = {"group_width": rng.choice([1, 2, 4, 8, 16]), "depth": rng.choice([1, 2, 3])}
            stage = replace(spec.stages[index], **change)
            try:
                other = replace(spec, stages=(*spec.stages[:index], stage, *spec.stages[index + 1 :]))
            except SpecError:
                continue
            assert space.contains(other) == (other in known)


def test_sampling_reaches_everything() -> None:
    space = replace(TINY_FAST, sizes=((32, 32),), head=HeadChoices((8,), (2,), (1,)))
    space = replace(space, stages=(*space.stages[:4], fixed(32), fixed(32)))
    rng = Random(1)
    everything = set(space.enumerate())
    assert 20 < len(everything) < 100
    assert {space.sample(rng) for _ in range(2000)} == everything


@NAMED
def test_what_is_sampled_mutated_and_crossed_is_contained(space: SearchSpace) -> None:
    rng = Random(2)
    specs = [space.sample(rng) for _ in range(100)]
    children = [space.mutate(spec, rng, 0.3) for spec in specs]
    children += [space.cross(a, b, rng) for a, b in pairwise(specs)]
    assert all(space.contains(spec) for spec in (*specs, *children))
    assert len(set(specs)) == len(specs)


def test_what_a_space_lacks_is_named() -> None:
    arch = PYRAMID_SPACE.largest
    strange = replace(arch.stages[4], width=80, attention=True, kernel=7)
    stages = (*arch.stages[:4], strange, *arch.stages[5:])
    assert list(PYRAMID_SPACE.strange(arch)) == []
    assert list(PYRAMID_SPACE.strange(replace(arch, height=288, stages=stages, stem=StemSpec(32, 3)))) == [
        "its input 288×192 is not among the choices 256×192, 224×160, 192×128, 160×128",
        "stem: width 32 is not among the choices 24",
        "stage 5: width 80 is not among the choices 72, 88",
        "stage 5: kernel 7 is not among the choices 3, 5",
    ]
    assert list(FAST_SPACE.strange(arch)) == ["its family is pyramid, not fast"]


@NAMED
def test_the_same_generator_state_gives_the_same_specs(space: SearchSpace) -> None:
    def story(rng: Random) -> list[ArchSpec]:
        a, b = space.sample(rng), space.sample(rng)
        return [a, b, space.mutate(a, rng, 0.5), space.cross(a, b, rng)]

    assert story(Random(3)) == story(Random(3))
    assert story(Random(3)) != story(Random(4))


@NAMED
def test_mutation_without_probability_changes_nothing(space: SearchSpace) -> None:
    rng = Random(5)
    for spec in (space.sample(rng), space.largest, space.smallest):
        assert space.mutate(spec, rng, 0) == spec
        assert space.cross(spec, spec, rng) == spec


@NAMED
def test_a_child_takes_every_choice_from_a_parent(space: SearchSpace) -> None:
    rng = Random(6)
    for _ in range(50):
        a, b = space.sample(rng), space.sample(rng)
        child = space.cross(a, b, rng)
        assert child.stem.width in (a.stem.width, b.stem.width)
        for mine, first, second in zip(child.stages, a.stages, b.stages, strict=True):
            for name in ("width", "depth", "kernel", "expansion", "attention"):
                assert getattr(mine, name) in (getattr(first, name), getattr(second, name))


@NAMED
def test_mutating_a_stranger_leads_into_the_space(space: SearchSpace) -> None:
    largest = space.largest
    stranger = replace(largest, stages=tuple(replace(stage, depth=9) for stage in largest.stages), height=512)
    assert not space.contains(stranger)
    assert space.contains(space.mutate(stranger, Random(0), 0))
    assert space.contains(space.cross(stranger, stranger, Random(0)))


@NAMED
def test_largest_and_smallest_enclose_every_sample(space: SearchSpace) -> None:
    rng = Random(7)
    assert space.contains(space.largest)
    assert space.contains(space.smallest)
    for spec in (space.sample(rng) for _ in range(50)):
        for small, stage, large in zip(space.smallest.stages, spec.stages, space.largest.stages, strict=True):
            for name in ("width", "depth", "kernel", "group_width", "expansion", "attention"):
                assert getattr(small, name) <= getattr(stage, name) <= getattr(large, name)


@pytest.mark.parametrize(
    ("space", "arch"),
    [
        (MOBILENETV3_SPACE, S_VIPNET_MOBILENETV3),
        (RESNET_SPACE, S_VIPNET_RES50),
        (FAST_SPACE, FAST_BASE),
        (PYRAMID_SPACE, PYRAMID_BASE),
    ],
)
def test_presets_belong_to_their_spaces(space: SearchSpace, arch: ArchSpec) -> None:
    assert space.contains(arch)
    assert not any(other.contains(arch) for other in SPACES.values() if other is not space)


@NAMED
def test_all_dimensions_are_elastic(space: SearchSpace) -> None:
    elastic = ["widths", "depths", "kernels"]
    # The fast family leaves out what a CPU is slow at.
    elastic += ["expansions"] if space is FAST_SPACE else ["attention", "group_widths"]
    for dimension in elastic:
        assert any(len(getattr(stage, dimension)) > 1 for stage in space.stages)
    # A residual head has no deconvolutions.
    assert set(space.head.kernels) == ({4} if space.rules.residual_head else {2, 4})
    assert space.size > 1e6


def test_the_pyramid_space_has_groups_and_attention_in_two_stages_each() -> None:
    for dimension in ("attention", "group_widths"):
        assert sum(len(getattr(stage, dimension)) > 1 for stage in PYRAMID_SPACE.stages) == 2
    assert PYRAMID_SPACE.elastic == ("width", "depth", "kernel", "groups", "attention")
    assert FAST_SPACE.elastic == ("width", "depth", "kernel")
    plain = tuple(replace(stage, group_width=1, attention=False) for stage in PYRAMID_SPACE.largest.stages)
    assert replace(PYRAMID_SPACE.largest, stages=plain) == PYRAMID_BASE


@NAMED
def test_a_space_without_a_dimension_is_the_part_in_which_it_does_not_vary(space: SearchSpace) -> None:
    assert space.without(()) == space
    for name in DIMENSIONS:
        part = space.without((name,))
        assert part.elastic == tuple(kept for kept in space.elastic if kept != name)
        assert space.contains(part.sample(Random(0)))
    rest = space.without(tuple(DIMENSIONS))
    assert rest.elastic == ()
    assert space.contains(rest.largest)


def test_the_pyramid_space_without_all_dimensions_is_pyramid_base() -> None:
    assert PYRAMID_SPACE.without(tuple(DIMENSIONS)).largest == PYRAMID_BASE


def test_the_largest_fast_network_is_fast_base() -> None:
    assert FAST_SPACE.largest == FAST_BASE


@NAMED
def test_json_there_and_back_is_equal(space: SearchSpace) -> None:
    found = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert found == space
    assert found.key == space.key
    assert hash(found) == hash(space)


@pytest.mark.parametrize("name", PRESETS)
def test_a_fixed_architecture_is_a_space_with_one_point(name: str) -> None:
    arch = PRESETS[name]
    space = SearchSpace.of(arch)
    assert space.size == 1
    assert space.largest == space.smallest == space.sample(Random(0)) == arch
    assert list(space.enumerate()) == [arch]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(family="cnn"), "family"),
        (lambda d: d.update(sizes=[]), "sizes"),
        (lambda d: d.update(sizes=[256, 192]), "sizes"),
        (lambda d: d.update(sizes=[["256", 192]]), "sizes"),
        (lambda d: d.update(sizes=[[64, 32], [192, 144]]), "multiple of 32"),
        (lambda d: d.update(stages=d["stages"][:5]), "stages"),
        (lambda d: d.update(stages=3), "stages"),
        (lambda d: d.pop("head"), "head"),
        (lambda d: d["head"].pop("refines"), "refines"),
        (lambda d: d["head"].update(kernels=[3]), "kernel"),
        (lambda d: d["head"].update(widths=8), "widths"),
        (lambda d: d["stem"].update(widths=["8"]), "widths"),
        (lambda d: d["stages"][1].update(widths=[]), "widths"),
        (lambda d: d["stages"][1].update(widths=[24, 24]), "widths"),
        (lambda d: d["stages"][1].update(depths=[0, 1]), "depths"),
        (lambda d: d["stages"][1].update(attention=[0]), "attention"),
        (lambda d: d["stages"][1].update(group_widths=[3, 4]), "group_widths"),
        (lambda d: d["stages"][1].update(size=[3]), "size"),
        (lambda d: d["stages"][2].update(group_widths=[5]), "group_width"),
    ],
)
def test_wrong_fields_are_named(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    data = json.loads(json.dumps(TINY_FAST.to_json()))
    change(data)
    with pytest.raises(SpecError, match=message):
        SearchSpace.from_json(data)


def test_shortcuts_must_not_depend_on_the_candidate() -> None:
    stages = TINY_FAST.stages
    with pytest.raises(SpecError, match="stage 5"):
        replace(TINY_FAST, stages=(*stages[:4], fixed(32, widths=(24, 32)), stages[5]))


def test_some_group_width_must_fit_every_choice() -> None:
    stages = TINY_FAST.stages
    odd = replace(stages[1], group_widths=(8, 16))
    with pytest.raises(SpecError, match="stage 2"):
        replace(TINY_FAST, stages=(stages[0], odd, *stages[2:]))


def test_some_head_must_fit_every_last_stage() -> None:
    with pytest.raises(SpecError, match="head"):
        replace(TINY_RESNET, head=HeadChoices((20,), (2,), (1,), (0,)))
    # The groups 16 / 8 and 16 / 4 of a first deconvolution from 24 channels nest in no common tensor but a dense one.
    with pytest.raises(SpecError, match="dense"):
        replace(TINY_RESNET, head=HeadChoices((16,), (2,), (4, 8), (0,)))


def test_families_do_not_mix() -> None:
    with pytest.raises(SpecError, match="family"):
        FAST_SPACE.mutate(S_VIPNET_RES50, Random(0), 0.1)
    with pytest.raises(SpecError, match="family"):
        RESNET_SPACE.cross(S_VIPNET_RES50, FAST_BASE, Random(0))
    assert not FAST_SPACE.contains(S_VIPNET_RES50)


def test_contains_looks_at_every_field() -> None:
    arch = FAST_BASE
    strangers = [
        replace(arch, height=320),
        replace(arch, stem=StemSpec(16, 3)),
        replace(arch, stem=StemSpec(32, 7)),
        replace(arch, head=HeadSpec(80, 4, 1, 5)),
        replace(arch, head=HeadSpec(96, 4, 2, 5)),
        replace(arch, head=HeadSpec(96, 4, 1, 0)),
        *(
            replace(arch, stages=(*arch.stages[:i], stage, *arch.stages[i + 1 :]))
            for i, old in enumerate(arch.stages)
            for stage in (
                *(replace(old, width=1000), replace(old, depth=9), replace(old, kernel=9)),
                StageSpec(old.width, old.depth, old.kernel, 2, old.expansion, False),
                replace(old, expansion=7),
            )
        ),
        replace(arch, stages=(replace(arch.stages[0], attention=True), *arch.stages[1:])),
    ]
    assert not any(FAST_SPACE.contains(stranger) for stranger in strangers)


def test_unknown_spaces_list_the_known() -> None:
    assert space_of("fast") is FAST_SPACE
    with pytest.raises(SpecError, match="mobilenetv3"):
        space_of("hrnet")
