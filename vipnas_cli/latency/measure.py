"""Makes a latency table, and compares what it predicts with networks that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from random import Random

from vipnas_cli.errors import InputError
from vipnas_cli.latency.machine import this_machine
from vipnas_cli.latency.probe import OnnxProbe, Probe, ProbeOptions
from vipnas_cli.latency.table import Agreement, LatencyTable, fit_correction, layer_key
from vipnas_cli.spec import FusionSpec, HeadSpec, Plan, SearchSpace, StageSpec, StemSpec, TemporalSpace
from vipnas_cli.spec.arch import middle_widths
from vipnas_cli.spec.layers import Layer
from vipnas_cli.spec.networks import (
    Size,
    fusion_layers,
    head_layers,
    plan_layers,
    stage_layers,
    stem_layer,
    stem_stride,
)

# Whole networks that the sum of parts is fitted to, beside the smallest and the largest.
FITTED = 16


@dataclass(frozen=True)
class TableOptions:
    """Threads per network, keypoints, how many whole networks the table is fitted to, and the seed that draws them."""

    threads: int = 1
    keypoints: int = 17
    fitted: int = FITTED
    seed: int = 0

    @property
    def probe(self) -> ProbeOptions:
        """How to measure."""
        return ProbeOptions(self.threads, self.keypoints)


def _silent() -> None:
    """Nobody watches."""


def table_steps(what: SearchSpace | Sequence[Plan], options: TableOptions = TableOptions()) -> int:
    """How many measurements `measure_table` will take."""
    layers, plans = _layers(what, options), _fitted(what, options)
    return len(layers) + len(plans)


def measure_table(
    what: SearchSpace | Sequence[Plan],
    options: TableOptions = TableOptions(),
    probe: Probe | None = None,
    on_step: Callable[[], None] = _silent,
) -> LatencyTable:
    """The table of every network of a space with every fusion, or of the networks of a list.

    `on_step` is called after each of `table_steps` measurements.
    """
    probe = probe or OnnxProbe(options.probe)
    layers, plans = _layers(what, options), _fitted(what, options)
    layer_ms = {layer_key(layer): ms for layer, ms in zip(layers, probe.layer_ms(layers, on_step), strict=True)}
    draft = LatencyTable(this_machine("cpu"), options.threads, date.today().isoformat(), options.keypoints, layer_ms)
    measured = probe.plan_ms(plans, on_step)
    correction = fit_correction([draft.layers_ms(plan) for plan in plans], measured)
    return LatencyTable(draft.machine, draft.threads, draft.date, draft.keypoints, layer_ms, correction)


def random_plans(space: SearchSpace, count: int, rng: Random) -> list[Plan]:
    """Networks of a space, every second one with a random fusion."""
    fusions = [fusion for fusion in all_fusions(space) if fusion.operation != "none"]
    return [Plan(space.sample(rng), rng.choice(fusions) if index % 2 else FusionSpec()) for index in range(count)]


def all_fusions(space: SearchSpace) -> tuple[FusionSpec, ...]:
    """Every fusion that a follower may have."""
    return TemporalSpace(space, space, 1).fusions


def check_table(
    table: LatencyTable, plans: Sequence[Plan], probe: Probe, on_step: Callable[[], None] = _silent
) -> Agreement:
    """Prediction and measurement of networks; `on_step` is called after each."""
    predicted = tuple(table.predict(plan) for plan in plans)
    return Agreement(predicted, tuple(probe.plan_ms(plans, on_step)))


def _layers(what: SearchSpace | Sequence[Plan], options: TableOptions) -> list[Layer]:
    if isinstance(what, SearchSpace):
        return space_layers(what, all_fusions(what), options.keypoints)
    return list(dict.fromkeys(layer for plan in what for layer in plan_layers(plan, options.keypoints)))


def _fitted(what: SearchSpace | Sequence[Plan], options: TableOptions) -> list[Plan]:
    """The whole networks that are measured for the correction."""
    rng = Random(options.seed)
    if isinstance(what, SearchSpace):
        extremes = [Plan(what.largest), Plan(what.smallest)]
        return extremes + random_plans(what, options.fitted, rng)
    if not what:
        raise InputError("there are no networks to measure", "name at least one")
    return rng.sample(list(what), min(options.fitted, len(what)))


def space_layers(space: SearchSpace, fusions: Sequence[FusionSpec], keypoints: int = 17) -> list[Layer]:
    """Every layer that some network of the space has, once."""
    found = (layer for size in space.sizes for layer in _size_layers(space, size, fusions, keypoints))
    return list(dict.fromkeys(found))


def _size_layers(space: SearchSpace, size: Size, fusions: Sequence[FusionSpec], keypoints: int) -> Iterator[Layer]:
    """The layers of all networks of one input size; repeats some."""
    for width, kernel in product(space.stem.widths, space.stem.kernels):
        yield stem_layer(space.rules, StemSpec(width, kernel), size)
    yield from _stages_layers(space, size)
    for taps in product(*(space.stages[tap].widths for tap in space.rules.taps)):
        for head in _heads(space, taps[3]):
            yield from head_layers(space.rules, head, taps, size, keypoints)
        for fusion in fusions:
            yield from fusion_layers(fusion, taps, size, keypoints)


def _stages_layers(space: SearchSpace, size: Size) -> Iterator[Layer]:
    """The layers of every stage with every choice, for an input of `size`."""
    rules, inputs, stride = space.rules, space.stem.widths, stem_stride(space.rules)
    for index, choices in enumerate(space.stages):
        at = (size[0] // stride, size[1] // stride)
        # A third block repeats the second one.
        depth = min(2, max(choices.depths))
        drafts = product(choices.widths, choices.kernels, choices.group_widths, choices.expansions, choices.attention)
        for width, kernel, group_width, expansion, attention in drafts:
            stage = StageSpec(width, depth, kernel, group_width, expansion, attention)
            for before in inputs:
                if all(middle % group_width == 0 for middle in middle_widths(rules, before, stage)):
                    yield from stage_layers(rules, index, before, stage, at)
        inputs, stride = choices.widths, stride * rules.strides[index]


def _heads(space: SearchSpace, last: int) -> Iterator[HeadSpec]:
    """Every head that fits a last stage of `last` channels."""
    choices = space.head
    for width, kernel, group_width, refine in product(
        choices.widths, choices.kernels, choices.group_widths, choices.refines
    ):
        fits = width % group_width == 0 and (space.rules.lateral or last % (width // group_width) == 0)
        if fits:
            yield HeadSpec(width, kernel, group_width, refine)
