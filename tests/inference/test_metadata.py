"""Laws of the metadata of ONNX files: what goes in comes out, texts stay texts, old files are read, damage is told."""

import json
from typing import Any

import pytest

from vipnas_cli.errors import WeightsError
from vipnas_cli.inference.metadata import from_metadata, to_metadata
from vipnas_cli.inference.sessions import FACTS

PLAN: dict[str, Any] = {"height": 256, "stages": [{"depth": 2}], "mirror": False, "none": None}


@pytest.mark.parametrize("value", ["pose", "", "1", "null", "[1", "0.1.0", '"quoted"', 1, 0.5, True, None, [], PLAN])
def test_facts_come_back(value: Any) -> None:
    facts = {"kind": "pose", "value": value}
    assert from_metadata(to_metadata(facts), "net.onnx", FACTS) == facts


def test_each_fact_has_an_entry_and_texts_are_readable() -> None:
    entries = to_metadata({"cropping": "a box, grown", "macs": 12, "plan": PLAN})
    assert entries["vipnas.cropping"] == "a box, grown"
    assert entries["vipnas.macs"] == "12"
    assert json.loads(entries["vipnas.plan"]) == PLAN


def test_files_of_earlier_versions_are_read() -> None:
    assert from_metadata({"vipnas": json.dumps(PLAN)}, "net.onnx", FACTS) == PLAN


def test_files_of_others_have_none() -> None:
    assert from_metadata({"author": "somebody"}, "net.onnx", FACTS) is None


def test_damage_is_told() -> None:
    with pytest.raises(WeightsError, match=r"net\.onnx"):
        from_metadata({"vipnas.plan": "[" * 100_000}, "net.onnx", FACTS)
