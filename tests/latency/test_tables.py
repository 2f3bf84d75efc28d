"""Tables: a prediction is the sum rule, files come back equal, and what does not belong here is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from vipnas_cli.errors import InputError, OutputError
from vipnas_cli.latency.machine import Machine, this_machine
from vipnas_cli.latency.measure import (
    TableOptions,
    all_fusions,
    check_table,
    measure_table,
    random_plans,
    space_layers,
    table_steps,
)
from vipnas_cli.latency.table import Agreement, Correction, LatencyTable, LatencyTables, fit_correction, layer_key
from vipnas_cli.spec import FAST_BASE, ArchSpec, FusionSpec, Plan, SearchSpace, preset
from vipnas_cli.spec.networks import plan_layers
from vipnas_cli.spec.spaces import SPACES

if TYPE_CHECKING:
    from vipnas_cli.latency.probe import Probe


@pytest.fixture
def table(space: SearchSpace, probe: Probe) -> LatencyTable:
    return measure_table(space, TableOptions(), probe)


def test_a_prediction_is_the_corrected_sum_of_the_parts(space: SearchSpace, table: LatencyTable) -> None:
    for plan in random_plans(space, 10, Random(3)):
        parts = [table.layer_ms[layer_key(layer)] for layer in plan_layers(plan)]
        fitted = table.correction
        assert table.predict(plan) == pytest.approx(fitted.scale * sum(parts) + fitted.fixed)


def test_a_machine_that_follows_the_rule_is_predicted_exactly(
    space: SearchSpace, table: LatencyTable, probe: Probe
) -> None:
    agreement = check_table(table, random_plans(space, 20, Random(4)), probe)
    assert agreement.worst < 1e-6
    assert agreement.r2 == pytest.approx(1)
    assert agreement.spearman == pytest.approx(1)


MORE: list[Callable[[ArchSpec], ArchSpec]] = [
    lambda a: replace(a, height=96, width=64),
    lambda a: replace(a, head=replace(a.head, width=16)),
    lambda a: replace(a, head=replace(a.head, kernel=4)),
    lambda a: replace(a, head=replace(a.head, refine=3)),
    lambda a: replace(a, stages=(a.stages[0], replace(a.stages[1], depth=3), *a.stages[2:])),
    lambda a: replace(a, stages=(a.stages[0], replace(a.stages[1], kernel=5), *a.stages[2:])),
    lambda a: replace(a, stages=(*a.stages[:4], replace(a.stages[4], attention=True), a.stages[5])),
    lambda a: replace(a, stages=(*a.stages[:5], replace(a.stages[5], width=48))),
]


@pytest.mark.parametrize("more", MORE)
def test_more_is_never_predicted_cheaper_where_parts_are_not(
    space: SearchSpace, table: LatencyTable, more: Callable[[ArchSpec], ArchSpec]
) -> None:
    small = space.smallest
    assert table.predict(Plan(more(small))) > table.predict(Plan(small))
    assert table.predict(Plan(small, FusionSpec("add", 3))) > table.predict(Plan(small))


def test_every_network_of_the_space_can_be_predicted(space: SearchSpace, table: LatencyTable) -> None:
    assert all(table.predict(plan) > 0 for plan in random_plans(space, 200, Random(6)))


def test_a_list_of_networks_is_enough(space: SearchSpace, probe: Probe) -> None:
    plans = random_plans(space, 6, Random(7))
    steps: list[int] = []
    table = measure_table(plans, TableOptions(), probe, lambda: steps.append(1))
    assert len(steps) == table_steps(plans)
    assert [table.predict(plan) for plan in plans] == pytest.approx(probe.plan_ms(plans, lambda: None))
    with pytest.raises(InputError, match="no networks"):
        measure_table([], TableOptions(), probe)


def test_progress_is_told_for_every_step(space: SearchSpace, probe: Probe) -> None:
    steps: list[int] = []
    measure_table(space, TableOptions(fitted=3), probe, lambda: steps.append(1))
    assert len(steps) == table_steps(space, TableOptions(fitted=3))


def test_a_part_that_was_not_measured_is_named(space: SearchSpace, table: LatencyTable) -> None:
    arch = replace(space.smallest, height=128)
    with pytest.raises(InputError, match="stem fast 8 3 128 32") as caught:
        table.predict(Plan(arch))
    assert "vipnas latency-table" in caught.value.hint


def test_layers_keep_the_names_that_they_have_in_tables() -> None:
    follower = Plan(preset("s-vipnet-res50"), FusionSpec("cat", 2))
    keys = {layer_key(layer) for plan in (Plan(FAST_BASE), follower) for layer in plan_layers(plan)}
    assert keys > {
        "stem fast 32 3 256 192",
        "stem resnet 48 7 256 192",
        "conv 32 32 3 1 32 relu6 False False 128 96",
        "conv 144 24 1 1 1 linear False True 64 48",
        "conv 96 96 5 1 96 relu6 False False 64 48",
        "tail 80 80 True 64 48",
        "upsampling 96 4 96 8 6",
        "deconvolutions 608 144 4 16 8 6",
        "last 96 17 softmax 64 48",
        "last 144 17 linear 64 48",
        "fusion cat 17 160 2 32 24",
    }


def test_a_file_gives_the_table_back(table: LatencyTable, tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.json"
    table.write(path)
    assert LatencyTable.read(path) == table
    assert [entry.name for entry in path.parent.iterdir()] == ["table.json"]


def test_a_table_that_cannot_be_written_is_one_sentence(table: LatencyTable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        table.write(tmp_path / "file" / "table.json")


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda data: list(data),
    "empty": lambda data: dict(list(data.items())[:0]),
    "another kind": lambda data: {**data, "kind": "measurements"},
    "a later schema": lambda data: {**data, "schema": 99},
    "no times": lambda data: {**data, "unit_ms": {}},
    "times in words": lambda data: {**data, "unit_ms": {"stem": "long"}},
    "negative times": lambda data: {**data, "unit_ms": {"stem": -1.0}},
    "times without end": lambda data: {**data, "unit_ms": {"stem": float("inf")}},
    "times in a list": lambda data: {**data, "unit_ms": [1, 2]},
    "correction": lambda data: {**data, "correction": {"scale": "1"}},
    "machine": lambda data: {**data, "machine": {"cpu": "x"}},
    "threads": lambda data: {**data, "threads": None},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_table_is_refused(
    table: LatencyTable, tmp_path: Path, damage: Callable[[dict[str, Any]], Any]
) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(damage(table.to_json())), encoding="utf-8")
    with pytest.raises(InputError, match=r"is not (a latency table|readable JSON)"):
        LatencyTable.read(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"null"], ids=["empty", "cut", "binary", "null"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.json is not (a latency table|readable JSON)"):
        LatencyTable.read(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        LatencyTable.read(tmp_path / "none.json")


def test_a_table_of_this_machine_is_taken(table: LatencyTable) -> None:
    table.check_machine()
    table.check_machine(threads=1)
    # Which cores a process may use does not change a network on one of them.
    table.check_machine(machine=replace(this_machine(), cores=99))


@pytest.mark.parametrize("changes", [{"cpu": "Other CPU"}, {"system": "Other x86"}, {"runtime": "0.1"}])
def test_a_table_of_another_machine_is_refused(table: LatencyTable, changes: dict[str, str]) -> None:
    other: Machine = replace(this_machine(), **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="measured elsewhere"):
        table.check_machine(machine=other)


def test_a_table_of_other_threads_is_refused(table: LatencyTable) -> None:
    with pytest.raises(InputError, match="threads 1 instead of 2") as caught:
        table.check_machine(threads=2)
    assert caught.value.hint == "make one with `vipnas latency-table --threads 2`"


@pytest.mark.parametrize("family", SPACES)
def test_a_table_of_a_named_space_says_how_its_like_is_measured(family: str, table: LatencyTable) -> None:
    space = SPACES[family]
    layer_ms = {layer_key(layer): 0.5 for layer in space_layers(space, all_fusions(space))}
    named = replace(table, layer_ms=layer_ms, threads=3)
    assert named.family == family
    with pytest.raises(InputError) as caught:
        named.check_machine(2)
    assert f"`vipnas latency-table --space {family} --threads 2`" in caught.value.hint


def test_what_a_table_lacks_is_measured_with_its_threads(table: LatencyTable, pyramid: SearchSpace) -> None:
    with pytest.raises(InputError) as caught:
        replace(table, threads=2).predict(Plan(pyramid.smallest))
    assert "`vipnas latency-table --space pyramid --threads 2`" in caught.value.hint


@pytest.fixture
def pyramid(space: SearchSpace) -> SearchSpace:
    """The same choices in another family."""
    return replace(space, family="pyramid")


def test_several_tables_tell_what_each_of_them_tells(
    space: SearchSpace, pyramid: SearchSpace, table: LatencyTable, probe: Probe
) -> None:
    other = replace(measure_table(pyramid, TableOptions(), probe), correction=Correction(1.5, 0.2))
    tables = LatencyTables((table, other))
    for own, part in ((table, space), (other, pyramid)):
        plans = random_plans(part, 10, Random(10))
        assert [tables.predict(plan) for plan in plans] == [own.predict(plan) for plan in plans]


def test_a_family_that_no_table_covers_is_told(table: LatencyTable, pyramid: SearchSpace) -> None:
    with pytest.raises(InputError, match="stem pyramid 8 3 64 32") as caught:
        LatencyTables((table, table)).predict(Plan(pyramid.smallest))
    assert "`vipnas latency-table --space pyramid`" in caught.value.hint


DIFFERENT: dict[str, Callable[[LatencyTable], LatencyTable]] = {
    "threads 1 and 2": lambda table: replace(table, threads=2),
    "processor 'abacus' and 'slide rule'": lambda table: replace(table, machine=Machine("slide rule", 1, "wood", "1")),
    "ONNX Runtime '1' and '2'": lambda table: replace(table, machine=replace(table.machine, runtime="2")),
    "provider 'auto' and 'cpu'": lambda table: replace(table, machine=replace(table.machine, provider="cpu")),
}


@pytest.mark.parametrize("told", DIFFERENT)
def test_tables_that_were_measured_differently_are_refused(table: LatencyTable, tmp_path: Path, told: str) -> None:
    first = replace(table, machine=Machine("abacus", 1, "wood", "1"))
    paths = (tmp_path / "first.json", tmp_path / "second.json")
    for path, one in zip(paths, (first, DIFFERENT[told](first)), strict=True):
        one.write(path)
    with pytest.raises(InputError) as caught:
        LatencyTables.read(paths)
    assert caught.value.what == f"the latency tables were measured differently: {told}"


def test_tables_measured_alike_belong_to_this_machine_or_not(table: LatencyTable) -> None:
    cores = replace(table, machine=replace(table.machine, cores=99))
    tables = LatencyTables((table, cores))
    assert tables.threads == 1
    tables.check_machine(1)
    with pytest.raises(InputError, match="threads 1 instead of 2"):
        tables.check_machine(2)


@pytest.mark.parametrize("wanted", [Correction(1.2, 0.1), Correction(0.9, -0.2)])
def test_a_correction_is_found_again(wanted: Correction) -> None:
    rng = Random(8)
    parts = [[rng.uniform(0.01, 0.3) for _ in range(rng.randint(20, 60))] for _ in range(8)]
    found = fit_correction(parts, [wanted.apply(row) for row in parts])
    assert (found.scale, found.fixed) == pytest.approx((wanted.scale, wanted.fixed))


def test_a_disturbed_measurement_hardly_changes_a_correction() -> None:
    rng = Random(9)
    parts = [[rng.uniform(0.01, 0.3) for _ in range(rng.randint(20, 60))] for _ in range(16)]
    measured = [1.2 * sum(row) for row in parts]
    found = fit_correction(parts, [3 * measured[0], *measured[1:]])
    assert found.apply(parts[5]) == pytest.approx(measured[5], rel=0.01)


def test_every_prediction_is_above_zero_and_grows_with_the_parts() -> None:
    correction = Correction(1.0, -1.0)
    predicted = [correction.apply([ms]) for ms in (0.1, 0.5, 1.0, 2.0, 3.0)]
    assert predicted == sorted(predicted)
    assert predicted[0] > 0


def test_one_network_gives_a_scale() -> None:
    found = fit_correction([[0.5, 0.5]], [2.0])
    assert (found.scale, found.fixed) == pytest.approx((2, 0))


def test_agreement_is_perfect_for_equal_numbers_and_reversed_for_reversed_ones() -> None:
    times = (1.0, 2.0, 4.0)
    same = Agreement(times, times)
    assert (same.r2, same.spearman, same.worst) == pytest.approx((1, 1, 0))
    assert Agreement(times[::-1], times).spearman == pytest.approx(-1)
    # Equal times share their rank.
    assert Agreement((1.0, 1.0, 2.0), times).spearman == pytest.approx(math.sqrt(0.75))
    assert Agreement((1.1, 1.8, 4.0), times).worst == pytest.approx(0.1)
    assert Agreement((1.0,), (1.0,)).spearman != Agreement((1.0,), (1.0,)).spearman  # undefined
