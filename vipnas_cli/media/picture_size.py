"""The size of a picture as the header of its file states it, before anything is decoded: JPEG, PNG and others.

Every reader gets the bytes of a file and gives width and height, or nothing for a file of another format.
"""

from __future__ import annotations

import struct

Size = tuple[int, int]
# Segments of JPEG that begin with the height and width of the picture: all SOF markers, not DHT, JPG and DAC.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Markers of JPEG that stand alone.
_ALONE = {0x01, *range(0xD0, 0xD9)}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3


def stated_size(data: bytes) -> Size | None:
    """Width and height of a picture; None for a format that is not known here and for a damaged header."""
    try:
        for read in (_png, _jpeg, _webp, _gif, _bmp, _tiff, _boxes, _jpeg2000):
            size = read(data)
            if size is not None:
                return size
    except (struct.error, IndexError):
        return None
    return None


def _png(data: bytes) -> Size | None:
    return struct.unpack_from(">II", data, 16) if data.startswith(b"\x89PNG\r\n\x1a\n") else None


def _gif(data: bytes) -> Size | None:
    return struct.unpack_from("<HH", data, 6) if data[:4] == b"GIF8" else None


def _bmp(data: bytes) -> Size | None:
    if not data.startswith(b"BM"):
        return None
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # rows from the top down have a height below 0


def _jpeg(data: bytes) -> Size | None:
    if not data.startswith(b"\xff\xd8"):
        return None
    place = 2
    while True:
        place = data.find(b"\xff", place)
        if place < 0:
            return None
        while data[place] == 0xFF:  # any number of them may fill the space before a marker
            place += 1
        marker, place = data[place], place + 1
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
        if marker not in _ALONE:
            place += struct.unpack_from(">H", data, place)[0]


def _webp(data: bytes) -> Size | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> Size | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    place = struct.unpack_from(f"{order}I", data, 4)[0]
    found = {}
    for entry in range(struct.unpack_from(f"{order}H", data, place)[0]):
        tag, kind = struct.unpack_from(f"{order}HH", data, place + 2 + 12 * entry)
        form = "H" if kind == _TIFF_SHORT else "I"
        found[tag] = struct.unpack_from(f"{order}{form}", data, place + 10 + 12 * entry)[0]
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if {_TIFF_WIDTH, _TIFF_HEIGHT} <= found.keys() else None


def _boxes(data: bytes) -> Size | None:
    """AVIF and HEIF state the sizes of all their pictures in boxes, JPEG 2000 in one; the largest counts."""
    if data[4:8] == b"ftyp":
        head, sizes, place = data[: 1 << 16], [], -1
        while (place := head.find(b"ispe", place + 1)) >= 0:
            sizes.append(struct.unpack_from(">II", head, place + 8))
        return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None
    if data[4:8] == b"jP  ":
        place = data.find(b"ihdr", 0, 1 << 16)
        height, width = struct.unpack_from(">II", data, place + 4)
        return (width, height) if place >= 0 else None
    return None


def _jpeg2000(data: bytes) -> Size | None:
    return struct.unpack_from(">II", data, 8) if data.startswith(b"\xff\x4f\xff\x51") else None
