"""Which images of results are which of the labels: by the names of their files where results have them, else by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError
from vipnas_cli.files import shown

_HINT = "give its images the ids that the labels have, or the names of the files, each once"


def by_labels(path: Path, images: object, rows: list[dict[str, Any]], labelled: object) -> list[dict[str, Any]]:
    """The rows of a file of results with the image ids of the `labelled` images, of which `images` tells the names.

    Names count, and of those of another folder what they end in, if all are among those of the labels, each once. Ids
    count without names, and where all names are others. DataError for names and ids that contradict each other.
    """
    found = _matched(path, _names(images), _names(labelled))
    if found is None:
        return rows
    for image in (row.get("image_id") for row in rows):
        if not (isinstance(image, int) and image in found):
            raise DataError(f"{shown(path)} has people in image {brief(image)}, which it does not list", "list it")
    return [{**row, "image_id": found[row["image_id"]]} for row in rows]


def _matched(path: Path, names: dict[int, str], labelled: dict[int, str]) -> dict[int, int] | None:
    """The id among the labels of each image, None where the ids are the same."""
    if set(map(_last, names.values())).isdisjoint(map(_last, labelled.values())):
        return None
    for part_of in (str, _last):
        wanted = _ids(part_of, labelled)
        if len(_ids(part_of, names)) == len(names) and wanted.keys() >= set(map(part_of, names.values())):
            return {identity: wanted[part_of(name)] for identity, name in names.items()}
    for identity, name in names.items():
        other = labelled.get(identity, name)
        if _last(name) != _last(other):
            raise DataError(
                f"{shown(path)} calls image {identity} {shown(name)}, the labels call it {shown(other)}, and not all "
                "of its names are among those of the labels, each once",
                _HINT,
            )
    return None


def _names(images: object) -> dict[int, str]:
    """The names of images by id, none if one has no name or no id of its own."""
    rows = images if isinstance(images, list) else []
    found = {
        row["id"]: row["file_name"]
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), int) and isinstance(row.get("file_name"), str)
    }
    return found if len(found) == len(rows) else {}


def _ids(part_of: Callable[[str], str], names: Mapping[int, str]) -> dict[str, int]:
    """Ids by the part of the names that tells images apart; none for those which several share."""
    found: dict[str, list[int]] = {}
    for identity, name in names.items():
        found.setdefault(part_of(name), []).append(identity)
    return {part: ids[0] for part, ids in found.items() if len(ids) == 1}


def _last(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name
