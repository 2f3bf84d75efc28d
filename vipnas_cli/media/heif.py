"""How the picture of an AVIF file becomes upright: its boxes say it, and OpenCV gives the pixels as they are stored.

Boxes (ISO/IEC 14496-12) have a length, a kind of four letters and contents; those read here (ISO/IEC 23008-12) give
every picture, called an item, properties out of a list. One of the items is the picture that is shown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from vipnas_cli.media.orientation import Orientation


def upright(data: bytes) -> Orientation | None:
    """What a file asks for; None for a file of another format."""
    if data[4:8] != b"ftyp":
        return None
    try:
        meta = dict(_boxes(dict(_boxes(data))[b"meta"][4:]))
        properties = dict(_boxes(meta[b"iprp"]))
        known = list(_boxes(properties[b"ipco"]))
        return _oriented([known[place - 1] for place in _places(properties[b"ipma"], _shown(meta[b"pitm"])) if place])
    except (struct.error, IndexError, KeyError):
        return Orientation()


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the contents of each box; no more behind one of an impossible length."""
    place = 0
    while place + 8 <= len(data):
        (length, kind), head = struct.unpack_from(">I4s", data, place), 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, place + 8), 16
        end = place + length if length else len(data)
        if end < place + head:
            return
        yield kind, data[place + head : end]
        place = end


def _shown(item: bytes) -> int:
    """The number of the item that is shown."""
    return int(struct.unpack_from(">H" if item[0] == 0 else ">I", item, 4)[0])


def _places(table: bytes, wanted: int) -> list[int]:
    """Where the properties of an item stand in the list, counted from 1."""
    item_form = ">HB" if table[0] == 0 else ">IB"
    # The highest bit says that the property must be understood.
    form, size, last = ("H", 2, 0x7FFF) if table[3] & 1 else ("B", 1, 0x7F)
    place = 8
    for _ in range(struct.unpack_from(">I", table, 4)[0]):
        item, count = struct.unpack_from(item_form, table, place)
        place += struct.calcsize(item_form)
        if item == wanted:
            return [one & last for one in struct.unpack_from(f">{count}{form}", table, place)]
        place += count * size
    return []


def _oriented(properties: list[tuple[bytes, bytes]]) -> Orientation:
    """First the turn, then the mirror, as the format has them."""
    found = dict(properties)
    orientation = Orientation.turned(found[b"irot"][0] & 3 if b"irot" in found else 0)
    if b"imir" not in found:
        return orientation
    if found[b"imir"][0] & 1:
        return replace(orientation, mirror_x=not orientation.mirror_x)
    return replace(orientation, mirror_y=not orientation.mirror_y)
