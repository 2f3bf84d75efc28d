"""Pictures come out upright, and mirrored where their file says so, whichever way it says it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vipnas_cli.cli.info_job import describe
from vipnas_cli.errors import VideoError
from vipnas_cli.media import orientation
from vipnas_cli.media.heif import upright
from vipnas_cli.media.inputs import open_input
from vipnas_cli.media.orientation import Orientation
from vipnas_cli.media.pictures import read_picture
from vipnas_cli.media.reader import open_video

Picture = NDArray[np.uint8]
ONE = 1 << 16
# By the number of EXIF: (a, b, c, d) of the display matrix, x' = a x + c y and y' = b x + d y, and what numpy does.
WAYS: dict[int, tuple[tuple[int, int, int, int], Callable[[Picture], Picture]]] = {
    1: ((1, 0, 0, 1), lambda image: image),
    2: ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    3: ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    4: ((1, 0, 0, -1), lambda image: image[::-1]),
    5: ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    6: ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    7: ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
    8: ((0, -1, 1, 0), lambda image: np.rot90(image)),
}
TOLD = {
    1: "none",
    2: "mirrored left to right, applied",
    3: "180°, applied",
    4: "mirrored top to bottom, applied",
    5: "90°, then mirrored top to bottom, applied",
    6: "270°, applied",
    7: "270°, then mirrored top to bottom, applied",
    8: "90°, applied",
}


def stored() -> Picture:
    """48 x 64 pixels whose four quarters differ."""
    image = np.full((48, 64, 3), 128, np.uint8)
    image[:24, :32], image[24:, :32], image[:24, 32:] = (220, 20, 20), (20, 200, 20), (20, 20, 200)
    return image


def alike(one: Picture, other: Picture) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) < 4


def exif(number: int) -> bytes:
    """EXIF that holds the orientation only."""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, number, 0, 0)


def jpeg(number: int) -> bytes:
    """A photo as a phone writes it."""
    data = bytes(np.asarray(cv2.imencode(".jpg", stored()[..., ::-1])[1]))
    body = b"Exif\0\0" + exif(number)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def first_frame() -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(stored())
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def film(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    a, b, c, d = (ONE * one for one in matrix)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        container.mux(stream.encode(first_frame()))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("number", WAYS)
def test_a_display_matrix_does_what_numpy_does(tmp_path: Path, number: int) -> None:
    matrix, expected = WAYS[number]
    path = film(tmp_path / "clip.mp4", matrix)
    with open_video(path) as reader:
        image = next(iter(reader)).image
        assert (reader.info.height, reader.info.width) == image.shape[:2]
        assert reader.info.mirrored == (number in (2, 4, 5, 7))
    assert alike(image, expected(stored()))
    assert describe(path).facts["rotation"] == TOLD[number]


@pytest.mark.parametrize("number", WAYS)
def test_a_photo_with_exif_looks_the_same_to_every_command(tmp_path: Path, number: int) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(number))
    with open_input(path) as run, open_video(path) as report:
        seen = next(iter(run)).image
        assert alike(seen, WAYS[number][1](stored()))
        assert alike(next(iter(report)).image, seen)
    assert describe(path).facts["size"] == f"{seen.shape[1]}×{seen.shape[0]}"


def test_films_whose_pictures_have_exif_are_read(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(3):
            packet = av.Packet(jpeg(6))
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), index, index
            packet.is_keyframe = True
            container.mux(packet)
    with open_video(path) as reader:
        assert all(alike(frame.image, WAYS[6][1](stored())) for frame in reader)
        assert reader.info.rotation == 270


@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_a_turn_behind_unknown_side_data_is_not_lost(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(orientation, "_KnownSideData", lambda _: {})
    degrees = {1: 0, 3: -180, 6: -90, 8: 90}[number]
    found = Orientation.of(SimpleNamespace(rotation=degrees))  # type: ignore[arg-type]
    assert np.array_equal(found.apply(stored()), WAYS[number][1](stored()))


def box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, parts))) + kind + b"".join(parts)


def still(brand: bytes, codec: bytes, config: bytes, tiles: list[bytes], extra: tuple[bytes, ...] = ()) -> bytes:
    """A HEIF file of one picture, or of several tiles side by side, with `extra` properties (ISO/IEC 23008-12)."""
    grid = len(tiles) > 1
    # The highest bit: whoever shows the picture must understand the property.
    turns = [0x80 | 4 + k for k in range(len(extra))]
    items, shown = list(range(1, len(tiles) + 1)), len(tiles) + grid
    layout = struct.pack(">4BHH", 0, 0, 0, len(tiles) - 1, 64 * len(tiles), 48)
    kinds = [(item, codec) for item in items] + [(shown, b"grid")] * grid
    infos = [box(b"infe", struct.pack(">IHH", 2 << 24, item, 0), kind, b"\0") for item, kind in kinds]
    sizes = [box(b"ispe", struct.pack(">III", 0, width, 48)) for width in (64, 64 * len(tiles))]
    owned = [(item, [1, 2, *([] if grid else turns)]) for item in items] + [(shown, [3, *turns])] * grid
    table = b"".join(struct.pack(f">HB{len(found)}B", item, len(found), *found) for item, found in owned)

    def meta(begin: int) -> bytes:
        places = b""
        for item, tile in zip(items, tiles, strict=True):
            places += struct.pack(">HHHHII", item, 0, 0, 1, begin, len(tile))
            begin += len(tile)
        places += struct.pack(">HHHHII", shown, 1, 0, 1, 0, len(layout)) * grid
        refers = box(b"iref", bytes(4), box(b"dimg", struct.pack(f">HH{len(items)}H", shown, len(items), *items)))
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, shown)),
            box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, len(kinds)), places),
            box(b"iinf", struct.pack(">IH", 0, len(kinds)), *infos),
            *([refers] if grid else []),
            box(
                b"iprp",
                box(b"ipco", config, *sizes, *extra),
                box(b"ipma", struct.pack(">II", 0, len(owned)), table),
            ),
            *([box(b"idat", layout)] if grid else []),
        )

    kind = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    return kind + meta(len(kind) + len(meta(0)) + 8) + box(b"mdat", *tiles)


def coded(codec: str, path: Path, options: dict[str, str] | None = None) -> tuple[bytes, bytes]:
    """The configuration and the bytes of the picture, by an encoder that may be missing."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV cannot encode with {codec}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 1, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for packet in stream.encode(first_frame()) + stream.encode(None):
            packet.dts = packet.pts  # x265 has no time of decoding for a single picture
            container.mux(packet)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return bytes(stream.codec_context.extradata or b""), bytes(next(container.demux(stream)))


AV1 = "libsvtav1"
# (irot, imir) by the number of EXIF.
BOXES = {1: (0, None), 2: (0, 1), 3: (2, None), 4: (0, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)}


def turning(number: int) -> tuple[bytes, ...]:
    turn, mirror = BOXES[number]
    boxes = (box(b"irot", bytes([turn])),) if turn else ()
    return boxes if mirror is None else (*boxes, box(b"imir", bytes([mirror])))


@pytest.mark.parametrize("number", WAYS)
def test_avif_is_upright_for_every_command(tmp_path: Path, number: int) -> None:
    config, data = coded(AV1, tmp_path / "one.mp4")
    path = tmp_path / "one.avif"
    path.write_bytes(still(b"avif", b"av01", box(b"av1C", config), [data], turning(number)))
    with open_input(path) as run, open_video(path) as report:
        seen = next(iter(run)).image
        assert alike(seen, WAYS[number][1](stored()))
        assert alike(next(iter(report)).image, seen)


@pytest.mark.parametrize("number", WAYS)
def test_boxes_say_what_a_display_matrix_says(number: int) -> None:
    data = still(b"avif", b"av01", box(b"av1C", b""), [b"1", b"2"], turning(number))
    found = upright(data)
    assert found is not None
    assert np.array_equal(found.apply(stored()), WAYS[number][1](stored()))


def test_damaged_boxes_ask_for_nothing() -> None:
    whole = still(b"avif", b"av01", box(b"av1C", b""), [b"1"], turning(6))
    assert all(upright(whole[:end]) in (None, Orientation()) for end in range(len(whole) - 10))
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        upright(bytes(data))


def test_a_phone_picture_in_tiles_is_refused_in_a_sentence(tmp_path: Path) -> None:
    config, data = coded(
        "libx265", tmp_path / "one.mp4", {"preset": "ultrafast", "x265-params": "log-level=error:info=0"}
    )
    one, several = tmp_path / "one.heic", tmp_path / "several.heic"
    one.write_bytes(still(b"heic", b"hvc1", box(b"hvcC", config), [data]))
    several.write_bytes(still(b"heic", b"hvc1", box(b"hvcC", config), [data, data]))
    with open_video(one) as reader:
        assert alike(next(iter(reader)).image, stored())
    with pytest.raises(VideoError, match="is a picture of several tiles, which is not read") as caught:
        open_video(several)
    assert caught.value.hint == "Convert it to JPEG or PNG."


def test_pictures_of_other_formats_are_left_to_opencv(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(6))
    assert upright(path.read_bytes()) is None
    assert alike(read_picture(path, VideoError, ""), WAYS[6][1](stored()))
