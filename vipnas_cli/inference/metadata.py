"""What an ONNX file says of itself: one entry of its metadata per fact, as any viewer shows them.

A text stands as it is, anything else as JSON. Files of earlier versions hold one JSON object under one key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vipnas_cli.documents import DocumentKind

PREFIX = "vipnas."
# The name of the first axis of what goes into a pose network and comes out.
PEOPLE = "people"
# The one key of earlier versions.
WHOLE = "vipnas"


def to_metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """The entries that hold some facts."""
    return {PREFIX + name: _text(value) for name, value in sorted(facts.items())}


def from_metadata(entries: Mapping[str, str], name: str, kind: DocumentKind) -> dict[str, Any] | None:
    """The facts in the entries of the file of that name, None if there are none; the kind's error for damaged ones."""
    if WHOLE in entries:
        return kind.parse(entries[WHOLE], name, dict[str, Any])
    facts = {
        key.removeprefix(PREFIX): kind.parse_any(text, name) if _is_json(text) else text
        for key, text in entries.items()
        if key.startswith(PREFIX)
    }
    return facts or None


def _text(value: Any) -> str:
    return value if isinstance(value, str) and not _is_json(value) else json.dumps(value, sort_keys=True)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:
        return True  # whoever parses it tells
    return True
