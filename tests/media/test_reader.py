"""Laws of reading: every frame, upright, at its true time; damage is counted; failures name the path."""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.cli.info_job import describe
from vipnas_cli.errors import UsageError, VideoError
from vipnas_cli.media.frames import ColorTags, Frame, VideoInfo
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter

VARIABLE_PTS = [0, 3000, 4500, 13500, 15000, 30000, 31500, 40500]


def read(path: Path, start_s: float | None = None, end_s: float | None = None) -> tuple[list[Frame], int]:
    with open_video(path, start_s, end_s) as reader:
        return list(reader), reader.damaged


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts", ".h264"])
def test_every_frame_comes_once_and_in_order(make_clip: Callable[..., Path], which_frame, suffix: str) -> None:
    frames, damaged = read(make_clip(f"clip{suffix}"))
    assert [which_frame(frame.image) for frame in frames] == list(range(20))
    assert [frame.index for frame in frames] == list(range(20))
    assert damaged == 0
    gaps = np.diff([frame.time_s for frame in frames])
    assert gaps == pytest.approx(np.full(19, 0.04), abs=1e-3)


def test_ntsc_times_are_exact(make_clip: Callable[..., Path]) -> None:
    rate = Fraction(30000, 1001)
    path = make_clip(pts=range(12), time_base=1 / rate, rate=rate)
    with open_video(path) as reader:
        assert reader.info.average_rate == rate
        assert [frame.pts * frame.time_base for frame in reader] == [i / rate for i in range(12)]


def test_variable_rate_times_are_exact(make_clip: Callable[..., Path]) -> None:
    frames, _ = read(make_clip(pts=VARIABLE_PTS, time_base=Fraction(1, 90_000)))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(pts, 90_000) for pts in VARIABLE_PTS]
    assert frames[3].time_s == 0.15


@pytest.mark.parametrize(("degrees", "red"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))])
def test_rotation_is_applied(make_clip: Callable[..., Path], degrees: int, red: tuple[int, int]) -> None:
    with open_video(make_clip(turn=(degrees, False))) as reader:
        image = next(iter(reader)).image
        assert image.shape == (reader.info.height, reader.info.width, 3)
        assert (reader.info.width, reader.info.height) == ((64, 48) if degrees % 180 == 0 else (48, 64))
        assert reader.info.rotation == degrees % 360
    assert _red_quarter(image) == red


def test_mirrored_picture_is_mirrored_back(make_clip: Callable[..., Path]) -> None:
    frames, _ = read(make_clip(turn=(0, True)))
    assert _red_quarter(frames[0].image) == (0, 1)


def _red_quarter(image: np.ndarray) -> tuple[int, int]:
    """(row, column) of the red quarter."""
    height, width = image.shape[:2]
    redness = image[..., 0].astype(int) - image[..., 1]
    quarters = [[redness[: height // 2, : width // 2], redness[: height // 2, width // 2 :]]]
    quarters.append([redness[height // 2 :, : width // 2], redness[height // 2 :, width // 2 :]])
    means = np.array([[quarter.mean() for quarter in row] for row in quarters])
    row, column = np.unravel_index(means.argmax(), (2, 2))
    return int(row), int(column)


def test_pictures_are_the_callers_own(make_clip: Callable[..., Path], which_frame) -> None:
    with open_video(make_clip(size=(62, 50))) as reader:
        for index, frame in enumerate(reader):
            assert frame.image.flags.c_contiguous
            assert which_frame(frame.image) == index
            frame.image[:] = 0


def test_info_says_what_is_there(make_clip: Callable[..., Path]) -> None:
    with open_video(make_clip("clip.mkv", audio=("aac", "pcm_s16le"))) as reader:
        info = reader.info
    assert (info.width, info.height, info.codec, info.audio) == (64, 48, "h264", ("aac", "pcm_s16le"))
    assert info.average_rate == 25
    assert info.frames == 20
    assert info.duration_s == pytest.approx(0.8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".h264"])
@pytest.mark.parametrize("start", [0, 1, 7, 10, 13, 19])
def test_start_is_exact(make_clip: Callable[..., Path], which_frame, suffix: str, start: int) -> None:
    path = make_clip(f"clip{suffix}")
    everything, _ = read(path)
    frames, damaged = read(path, start_s=everything[start].time_s)
    assert [which_frame(frame.image) for frame in frames] == list(range(start, 20))
    assert [frame.pts for frame in frames] == [frame.pts for frame in everything[start:]]
    assert frames[0].index == 0
    assert damaged == 0


def test_end_is_left_out(make_clip: Callable[..., Path], which_frame) -> None:
    path = make_clip()
    frames, _ = read(path, start_s=0.2, end_s=0.4)
    assert [which_frame(frame.image) for frame in frames] == [5, 6, 7, 8, 9]
    with open_video(path, 0.2, 0.4) as reader:
        assert reader.info.frames == 5


INFINITE, NO_NUMBER = float("inf"), float("nan")
SPANS = [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (1e308, None), (INFINITE, None), (NO_NUMBER, None), (0.0, INFINITE)]


@pytest.mark.parametrize(("start", "end"), [*SPANS, (0.0, NO_NUMBER)])
def test_impossible_span_is_a_usage_error(make_clip: Callable[..., Path], start: float, end: float | None) -> None:
    with pytest.raises(UsageError, match="no video from"):
        open_video(make_clip(), start, end)


def test_start_beyond_the_end(make_clip: Callable[..., Path]) -> None:
    path = make_clip()
    with pytest.raises(VideoError, match=r"clip\.mp4 has no frame from 5 s to its end; it is 0\.80 s long"):
        open_video(path, start_s=5)


def test_broadcast_clock_is_taken_off(make_clip: Callable[..., Path]) -> None:
    hour = 90_000 * 3600
    path = make_clip("clip.ts", pts=[hour + 3600 * i for i in range(20)], time_base=Fraction(1, 90_000))
    frames, _ = read(path)
    assert frames[0].time_s < 1
    assert [frame.pts - frames[0].pts for frame in frames] == [3600 * i for i in range(20)]
    later, _ = read(path, start_s=frames[12].time_s)
    assert [frame.pts for frame in later] == [frame.pts for frame in frames[12:]]


def test_joined_recordings_go_on_in_time(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    first = make_clip("a.ts", pts=range(50), key_every=50).read_bytes()
    (tmp_path / "joined.ts").write_bytes(first + first)
    frames, _ = read(tmp_path / "joined.ts")
    assert len(frames) == 100
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames))
    assert frames[-1].time_s - frames[0].time_s == pytest.approx(99 / 25, abs=0.01)


def test_a_change_of_size_on_the_way_is_evened_out(make_clip: Callable[..., Path], which_frame, tmp_path: Path) -> None:
    small, large = make_clip("a.ts", key_every=50), make_clip("b.ts", size=(128, 96), key_every=50)
    (tmp_path / "both.ts").write_bytes(small.read_bytes() + large.read_bytes())
    frames, _ = read(tmp_path / "both.ts")
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [which_frame(frame.image) for frame in frames[-20:]] == list(range(20))


def test_a_still_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 90, np.uint8))
    picture.save(str(tmp_path / "still.png"))
    frames, damaged = read(tmp_path / "still.png")
    assert len(frames) == 1
    assert damaged == 0
    assert frames[0].image.shape == (32, 48, 3)


def test_file_names_that_look_like_protocols(make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no colons in file names")
    path = make_clip("12:30.mp4")
    monkeypatch.chdir(path.parent)
    assert len(read(Path(path.name))[0]) == 20


def _text_file(folder: Path, _: Callable[..., Path]) -> Path:
    path = folder / "text.mp4"
    path.write_text("a shopping list\n" * 40)
    return path


def _filmed_text(folder: Path, _: Callable[..., Path]) -> Path:
    path = folder / "notes.txt"
    path.write_text("a shopping list\n" * 40)
    return path


def _empty(folder: Path, _: Callable[..., Path]) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _without_index(folder: Path, make_clip: Callable[..., Path]) -> Path:
    whole = make_clip("whole.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.mp4"


def _sound_only(folder: Path, _: Callable[..., Path]) -> Path:
    path = folder / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        track = container.add_stream("aac", 48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def _undecodable(folder: Path, make_clip: Callable[..., Path]) -> Path:
    content = bytearray(make_clip("good.mkv", pts=range(5)).read_bytes())
    start = content.index(b"\x1f\x43\xb6\x75")  # the first cluster
    for position in range(start + 60, len(content) - 60):
        content[position] = 0
    (folder / "noise.mkv").write_bytes(content)
    return folder / "noise.mkv"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder, _: folder / "missing.mp4", r"missing\.mp4 does not exist"),
        (lambda folder, _: folder, r"is a folder"),
        (_text_file, r"text\.mp4 is not a video"),
        (_filmed_text, r"notes\.txt is not a video"),
        (_empty, r"empty\.mp4 is empty"),
        (_without_index, r"cut\.mp4 is cut off"),
        (_sound_only, r"song\.m4a holds no video, only audio"),
        (_undecodable, r"not one frame of .*noise\.mkv can be decoded"),
    ],
)
def test_unreadable_inputs_say_so(make_clip, tmp_path: Path, make, message: str) -> None:
    path = make(tmp_path, make_clip)
    with pytest.raises(VideoError, match=message) as caught:
        open_video(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def cut_place(content: bytes, suffix: str) -> int:
    """A cut at about three quarters of a file, in MP4 inside a box of pictures: FFmpeg opens none cut in an index."""
    place = len(content) * 3 // 4
    if suffix != ".mp4":
        return place
    start, cut = 0, place
    while start < place:
        size = int.from_bytes(content[start : start + 4], "big")
        if content[start + 4 : start + 8] == b"mdat":
            cut = start + 8 + (size - 8) * 2 // 3
        start += size
    return cut


def decoded_alone(path: Path) -> int:
    """How many pictures a decoder without frame threads gets out of a file, which loses none that are there."""
    count = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "SLICE"
        with suppress(av.error.FFmpegError):
            for packet in container.demux(video=0):
                with suppress(av.error.FFmpegError):
                    count += len(packet.decode())
    return count


@pytest.mark.parametrize("part", [0.3, 0.5, 0.61, 0.9])
def test_no_picture_that_a_cut_off_file_still_holds_is_lost(make_clip, tmp_path: Path, part: float) -> None:
    # With pictures that refer to later ones, as cameras write them.
    options = (("movflags", "faststart"),)
    clip = make_clip("whole.mp4", pts=range(60), size=(160, 120), key_every=30, options=options)
    whole, path = clip.read_bytes(), tmp_path / "cut.mp4"
    start = whole.index(b"mdat") + 4
    path.write_bytes(whole[: start + int(part * (len(whole) - start))])
    frames, damaged = read(path)
    assert len(frames) == decoded_alone(path)
    # What came and what did not are what the file says.
    assert damaged >= 1
    assert len(frames) + damaged <= 60


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", (("movflags", "frag_keyframe+empty_moov"),)),
        (".mp4", (("movflags", "faststart"),)),
        (".mkv", ()),
        (".ts", ()),
    ],
)
def test_a_file_cut_off_gives_the_frames_it_has(make_clip, tmp_path: Path, which_frame, suffix: str, options) -> None:
    slow = {"rate": Fraction(5), "time_base": Fraction(1, 5)}
    clip = make_clip(f"whole{suffix}", pts=range(24), options=options, size=(160, 120), key_every=6, **slow)
    whole = clip.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: cut_place(whole, suffix)])
    frames, damaged = read(path)
    assert 8 <= len(frames) < 24
    assert len(frames) == decoded_alone(path)
    # The last one can be half a picture.
    assert [which_frame(frame.image) for frame in frames[:-1]] == list(range(len(frames) - 1))
    if suffix != ".ts":  # nothing tells how long a transport stream should have been
        assert damaged >= 1
        assert len(frames) + damaged <= 24


def test_damage_in_the_middle_is_counted_and_passed_over(make_clip, tmp_path: Path, which_frame) -> None:
    path = make_clip(size=(160, 120), key_every=5)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    start, size = packets[7]
    content[start : start + size] = bytes(size)
    (tmp_path / "hurt.mp4").write_bytes(content)
    frames, damaged = read(tmp_path / "hurt.mp4")
    assert damaged >= 1
    assert len(frames) >= 18
    assert {which_frame(frame.image) for frame in frames} >= {0, 1, 2, 3, 4, 15, 16, 17, 18, 19}


def test_damage_before_the_start_does_not_count(make_clip, tmp_path: Path) -> None:
    path = make_clip("clip.ts", pts=range(40), key_every=20)
    frames, damaged = read(path, start_s=1.0)
    assert damaged == 0
    assert len(frames) == 40 - math.ceil((1.0 - read(path)[0][0].time_s) * 25)


@pytest.mark.parametrize("start_s", [None, 0.2])
@pytest.mark.parametrize("stride", [1, 2, 3, 7, 50])
def test_a_stride_takes_every_nth_frame(make_clip: Callable[..., Path], stride: int, start_s: float | None) -> None:
    clip = make_clip(pts=range(20))
    with open_video(clip, start_s) as reader:
        whole = [(frame.index, frame.pts, frame.image.tobytes()) for frame in reader]
    with open_video(clip, start_s, stride=stride) as reader:
        assert [(frame.index, frame.pts, frame.image.tobytes()) for frame in reader] == whole[::stride]
        assert reader.info.frames == len(whole[::stride])
        assert reader.damaged == 0


def test_frames_that_an_edit_list_hides_are_not_expected(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(make_clip())) as read, av.open(str(cut), "w", container_options=options) as written:
        stream = read.streams.video[0]
        copied = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                ticks = round(Fraction(7, 25) / packet.time_base)
                packet.dts, packet.pts, packet.stream = packet.dts - ticks, packet.pts - ticks, copied
                written.mux(packet)
    with open_video(cut) as reader:
        assert reader.info.frames == len(list(reader)) == 13
        assert reader.damaged == 0


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (1, None)])
def test_a_high_dynamic_range_is_told(tmp_path: Path, transfer: int, name: str | None) -> None:
    path, drawn = tmp_path / "film.mp4", tmp_path / "drawn.mp4"
    image = np.full((48, 64, 3), 100, np.uint8)
    color = ColorTags(9, 9, transfer)
    with VideoWriter(path, VideoInfo(path, 64, 48, Fraction(1, 25), Fraction(25), color=color)) as writer:
        writer.write(image, 0)
    with open_video(path) as reader, VideoWriter(drawn, reader.info) as writer:
        writer.write(image, 0)
        told = (f"HDR ({name}) is not converted: poses are found in it as it is, pictures of it look flat, and drawn",)
        assert tuple(note.partition(" videos")[0] for note in reader.info.notes) == (told if name else ())
    with open_video(drawn) as reader:  # "drawn videos stay HDR"
        assert reader.info.color == color
    assert describe(path).facts["codec"] == ("h264" if name is None else f"h264, HDR ({name})")
