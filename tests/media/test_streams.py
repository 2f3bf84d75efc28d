"""Which pictures of a file are read and in which shape: previews, covers, pixels that are not square, foreign bytes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.media.orientation import square_size
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter


def write_streams(path: Path, streams: list[tuple[str, tuple[int, int], int]]) -> Path:
    """A file with several streams of pictures: codec, size and number of pictures of each."""
    with av.open(str(path), "w") as container:
        added = []
        for codec, (width, height), _ in streams:
            stream = container.add_stream(codec, 25)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            added.append(stream)
        for stream, (_, (width, height), count) in zip(added, streams, strict=True):
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 100, np.uint8))
                frame = frame.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


PREVIEW, RECORDING = ("libx264", (64, 48), 10), ("libx264", (320, 240), 10)
STILL = ("mjpeg", (640, 480), 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("streams", [[PREVIEW, RECORDING], [RECORDING, PREVIEW], [STILL, RECORDING], [STILL, PREVIEW]])
def test_the_recording_is_read_and_told(tmp_path: Path, suffix: str, streams) -> None:
    with open_video(write_streams(tmp_path / f"two{suffix}", streams)) as reader:
        expected = RECORDING if RECORDING in streams else PREVIEW
        assert (reader.info.width, reader.info.height) == expected[1]
        assert len(list(reader)) == 10
        assert reader.info.notes[0].startswith(f"read video stream {streams.index(expected) + 1} of 2")


def test_one_stream_needs_no_note(make_clip: Callable[..., Path]) -> None:
    with open_video(make_clip()) as reader:
        assert reader.info.notes == ()


def write_anamorphic(path: Path, aspect: Fraction, turn: int = 0) -> Path:
    """Ten pictures of 60 x 48 pixels with a square as it is shown."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 60, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        image = np.zeros((48, 60, 3), np.uint8)
        image[10:34, 10 : 10 + round(24 / aspect)] = 255
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(4, 3), Fraction(1, 2)])
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, turn: int) -> None:
    clip = write_anamorphic(tmp_path / "narrow.mp4", aspect, turn)
    target = tmp_path / "out.mp4"
    with open_video(clip) as reader, VideoWriter(target, reader.info) as writer:
        size = reader.info.width, reader.info.height
        assert reader.info.pixel_aspect == 1
        for frame in reader:
            writer.write(frame.image, frame.pts)
    white = frame.image[..., 0] > 128
    side = (np.flatnonzero(white.any(axis)).size for axis in (0, 1))
    across, down = side
    assert abs(across - down) <= 2
    assert size == (square_size(60, 48, aspect) if not turn else square_size(60, 48, aspect)[::-1])
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio in (None, 1)
        assert (stream.width, stream.height) == tuple(one + one % 2 for one in size)


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(101, 100), Fraction(404, 405)])
def test_nearly_square_pixels_stay(aspect: Fraction) -> None:
    assert square_size(60, 48, aspect) == (60, 48)


@pytest.mark.parametrize("key_every", [1, 10])
@pytest.mark.parametrize("what", ["pieces", "a video"])
def test_foreign_bytes_behind_a_bare_stream(
    make_clip: Callable[..., Path], tmp_path: Path, key_every: int, what: str
) -> None:
    """Every picture that plain decoding gives is delivered."""
    clip = make_clip("clip.h264", key_every=key_every)
    mixed = tmp_path / "mixed.h264"
    foreign = b"".join(b"\0\0\1\x65" + bytes((7 * place) % 251 for place in range(500)) for _ in range(3))
    if what == "a video":  # of which the decoder tells no error while it holds pictures back
        foreign = (Path(__file__).parents[2] / "examples" / "two_people.mp4").read_bytes()
    mixed.write_bytes(clip.read_bytes() + foreign)
    with open_video(mixed) as reader:
        assert len(list(reader)) == plainly_decoded(mixed)
        assert reader.damaged > 0


@pytest.mark.parametrize("keep", [1, 2])
def test_a_file_of_which_few_pictures_decode(make_clip: Callable[..., Path], tmp_path: Path, keep: int) -> None:
    clip = make_clip("clip.mp4", key_every=1)
    with av.open(str(clip)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None and packet.size]
    data = bytearray(clip.read_bytes())
    rest, end = sorted(places)[keep], data.index(b"moov") - 4
    end = len(data) if end < rest else end
    data[rest:end] = bytes(7 for _ in range(end - rest))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(data))
    with open_video(broken) as reader:
        frames = len(list(reader))
        assert frames == plainly_decoded(broken) >= keep
        assert reader.damaged > 0


def plainly_decoded(path: Path) -> int:
    """How many pictures PyAV gives without frame threads."""
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        for packet in container.demux(stream):
            try:
                count += len(packet.decode())
            except av.error.FFmpegError:
                continue
    return count


def test_a_length_that_was_not_known_when_the_file_began_promises_nothing(make_clip: Callable[..., Path]) -> None:
    clip = make_clip("clip.avi")
    data = bytearray(clip.read_bytes())
    for head, place in ((b"avih", 24), (b"strh", 40)):
        start = data.index(head) + place
        assert int.from_bytes(data[start : start + 4], "little") == 20
        data[start : start + 4] = (1 << 30).to_bytes(4, "little")
    clip.write_bytes(data)
    with open_video(clip) as reader:
        assert len(list(reader)) == 20
        assert (reader.damaged, reader.info.frames, reader.info.duration_s) == (0, None, None)
