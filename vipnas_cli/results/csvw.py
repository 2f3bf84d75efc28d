"""Facts about a table in a file beside it, in the words of CSV on the Web (W3C, 2015), so that the table has none.

What CSVW has no word for are `PropertyValue`s of schema.org, each with a name and a value.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vipnas_cli.results.facts import COORDINATES, POSES, SCORE, Facts
from vipnas_cli.results.sink import facts_path

CONTEXT = "http://www.w3.org/ns/csvw"
PROPERTIES, NAME, VALUE, UNIT = "schema:additionalProperty", "schema:name", "schema:value", "schema:unitText"


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, datatype of CSVW, what it means and its unit."""

    name: str
    datatype: str
    meaning: str
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """The column as CSVW describes it."""
        about = {"name": self.name, "titles": self.name, "datatype": self.datatype, "dc:description": self.meaning}
        return {**about, **({UNIT: self.unit} if self.unit else {})}


FRAME = Column("frame", "nonNegativeInteger", "number of the frame, counted from 0 as they are read")
TIME = Column("time_s", "decimal", "time of the frame in the video", "second")
PERSON = Column("person", "integer", "id of the person, the same on all frames")
KEYPOINT = Column("keypoint", "string", "name of the keypoint")


def x_column(name: str) -> Column:
    """A column of places to the right."""
    return Column(name, "double", "place to the right of the centre of the leftmost pixel", "pixel")


def y_column(name: str) -> Column:
    """A column of places downwards."""
    return Column(name, "double", "place below the centre of the topmost pixel", "pixel")


def score_column(name: str) -> Column:
    """A column of scores."""
    return Column(name, "double", SCORE)


def facts_text(path: Path, columns: tuple[Column, ...], key: tuple[str, ...], facts: dict[str, Any]) -> str:
    """The file of facts about a table at `path`, whose columns `key` tell its rows apart."""
    document = {
        "@context": CONTEXT,
        "url": quote(os.fsencode(path.name)),
        "dc:title": f"Poses of {facts['source']}",
        "dc:description": COORDINATES,
        "dialect": {"encoding": "utf-8", "lineTerminators": ["\n"], "header": True},
        "tableSchema": {"columns": [column.to_json() for column in columns], "primaryKey": list(key)},
        PROPERTIES: [
            {"@type": "schema:PropertyValue", NAME: name, VALUE: list(value) if isinstance(value, tuple) else value}
            for name, value in facts.items()
            if value is not None
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def read_facts(path: Path) -> Facts | None:
    """The facts beside a table, None where there are none; DataError for what is no such file."""
    beside = facts_path(path)
    if not beside.exists():
        return None
    document = POSES.read(beside, dict[str, Any])
    with POSES.told(beside):
        listed = POSES.convert(document.get(PROPERTIES), beside, list[dict[str, Any]])
        named = {"width": None, "height": None, **{row[NAME]: row[VALUE] for row in listed if NAME in row}}
        return POSES.convert(named, beside, Facts)
