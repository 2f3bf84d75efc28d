"""Clocks that wrap, jump, repeat or lie: times begin near zero, grow, and no picture is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.media.clock import ClockRules, PictureClock
from vipnas_cli.media.frames import Frame
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter

# What FFmpeg adds to all times of a transport stream: 0.7 s of preload, and as much as a decoder may hold back.
MUXER_DELAY = 2 * 63_000


def remux(source: Path, target: Path, move: Callable[[int, int], int], kind: str | None = None) -> Path:
    """The pictures of a clip with other time stamps: `move` takes the number of a packet and a time stamp."""
    with av.open(str(source)) as read, av.open(str(target), "w", format=kind) as written:
        stream = read.streams.video[0]
        copied = written.add_stream_from_template(stream)
        for number, packet in enumerate(read.demux(stream)):
            if packet.dts is None or packet.pts is None:
                continue
            packet.dts, packet.pts = move(number, packet.dts), move(number, packet.pts)
            packet.stream = copied
            written.mux(packet)
    return target


def moved(source: Path, target: Path, by_s: Fraction) -> Path:
    """A clip with all its sound and pictures so much earlier, also before zero."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as read, av.open(str(target), "w", container_options=options) as written:
        copies = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is None or packet.pts is None:
                continue
            ticks = round(by_s / packet.time_base)
            packet.dts, packet.pts = packet.dts - ticks, packet.pts - ticks
            packet.stream = copies[packet.stream.index]
            written.mux(packet)
    return target


def frames_of(path: Path, start_s: float | None = None) -> list[Frame]:
    with open_video(path, start_s) as reader:
        frames = list(reader)
        assert reader.damaged == 0
    return frames


def times(frames: Iterable[Frame]) -> list[float]:
    return [round(frame.time_s, 3) for frame in frames]


def regular(count: int, first: float = 0.0) -> list[float]:
    return [round(first + index / 25, 3) for index in range(count)]


@pytest.fixture
def wrapped(make_clip: Callable[..., Path], tmp_path: Path) -> Path:
    """A transport stream whose 33-bit clock goes round after 12 of 20 pictures."""
    clip = make_clip("clip.ts", options=(("mpegts_flags", "+resend_headers"),))
    before = 12 * 3600
    with av.open(str(clip)) as container:
        first = container.streams.video[0].start_time
    assert first is not None
    target = tmp_path / "wrapped.ts"
    return remux(clip, target, lambda _, stamp: (1 << 33) + stamp - first - before - MUXER_DELAY, "mpegts")


def test_a_clock_that_goes_round_loses_nothing(wrapped: Path, tmp_path: Path, contents) -> None:
    with open_video(wrapped) as reader, VideoWriter(tmp_path / "out.mp4", reader.info) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    shown = contents(tmp_path / "out.mp4").times
    assert len(shown) == 20
    assert np.allclose([float(time) for time in shown], regular(20), atol=0.002)


def joined(make_clip: Callable[..., Path], tmp_path: Path, shift_s: int, **changes) -> Path:
    first = make_clip("first.ts", **changes)
    second = remux(first, tmp_path / "second.ts", lambda _, stamp: stamp + shift_s * 90_000, "mpegts")
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


@pytest.mark.parametrize("shift_s", [1000, 30, 80_000])
def test_a_clock_that_jumps_forward_goes_on(make_clip: Callable[..., Path], tmp_path: Path, shift_s: int) -> None:
    found = times(frames_of(joined(make_clip, tmp_path, shift_s)))
    assert np.allclose(np.diff(found), 0.04, atol=0.002)
    assert len(found) == 40


@pytest.mark.parametrize("pause_s", [5, 100])
def test_a_pause_in_a_file_with_an_index_stays(make_clip: Callable[..., Path], tmp_path: Path, pause_s: int) -> None:
    pts = [*range(10), *range(10 + 25 * pause_s, 20 + 25 * pause_s)]
    assert times(frames_of(make_clip("pause.mp4", pts=pts))) == [round(one / 25, 3) for one in pts]


def write_avi(path: Path, dropped: int, b_frames: int) -> Path:
    """20 pictures as MPEG-4 in AVI; `dropped` more were lost before the tenth packet."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", 25, options={"g": "30", "bf": str(b_frames), "qscale": "2"})
        stream.width, stream.height = 64, 48
        packets = []
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 + 8 * index, np.uint8))
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(frame)
        for index, packet in enumerate([*packets, *stream.encode(None)]):
            packet.dts = packet.pts = index + (dropped if index >= 10 else 0)
            container.mux(packet)
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
def test_avi_with_dropped_frames_keeps_its_gap(tmp_path: Path, b_frames: int) -> None:
    found = times(frames_of(write_avi(tmp_path / "dropped.avi", 10, b_frames)))
    assert found == [round((index + (10 if index >= 10 else 0)) / 25, 3) for index in range(20)]


def test_several_pictures_in_one_tick_are_spread() -> None:
    clock = PictureClock(Fraction(1), Fraction(25), Fraction(0), ClockRules())
    found = []
    for index in range(50):
        frame = av.VideoFrame(16, 16, "yuv420p")
        frame.pts, frame.time_base = index // 25, Fraction(1)
        found.append(round(float(clock.stamp(frame) * clock.time_base), 3))
    assert found == regular(50)


@pytest.mark.parametrize("rate", [Fraction(60_000), Fraction(1, 1_000_000)])
def test_an_absurd_rate_is_not_believed(make_clip: Callable[..., Path], rate: Fraction) -> None:
    clip = make_clip("odd.mkv", rate=rate, pts=range(0, 40, 2))
    with open_video(clip) as reader:
        assert Fraction(1) <= reader.info.average_rate <= 1000
        assert len(list(reader)) == 20


STARTS = (0.0, 0.03, 0.04, 0.3, 0.6, 1.0, 1.56)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".mpg", ".avi", ".h264", ".flv"])
@pytest.mark.parametrize("key_every", [10, 250])
def test_a_start_gives_the_frames_of_a_whole_run(
    make_clip: Callable[..., Path], tmp_path: Path, suffix: str, key_every: int
) -> None:
    kinds = {".mpg": "mpeg", ".avi": "avi"}
    options = (("muxpreload", "0"),) if suffix == ".mpg" else ()
    clip = make_clip(f"clip{suffix}", pts=range(40), key_every=key_every, options=options, kind=kinds.get(suffix))
    whole = frames_of(clip)
    assert len(whole) == 40
    for start_s in STARTS:
        late = frames_of(clip, start_s or None)
        expected = [frame for frame in whole if frame.time_s >= start_s - 1e-6]
        assert times(late) == times(expected)
        assert all(np.array_equal(one.image, other.image) for one, other in zip(late, expected, strict=True))


@pytest.mark.parametrize("start_s", [0.5, 0.9, 1.2])
def test_a_start_behind_a_seam(make_clip: Callable[..., Path], tmp_path: Path, start_s: float) -> None:
    path = joined(make_clip, tmp_path, 1000)
    whole = frames_of(path)
    assert times(frames_of(path, start_s)) == times([frame for frame in whole if frame.time_s >= start_s])


def test_a_start_in_a_clock_that_goes_round(wrapped: Path) -> None:
    assert times(frames_of(wrapped, 0.6)) == regular(5, 0.6)


def test_a_matroska_file_without_cues_starts_right(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip("live.mkv", pts=range(40), options=(("live", "1"),))
    assert times(frames_of(clip, 0.9)) == regular(17, 0.92)


@pytest.mark.parametrize("late_s", [0.9, 5.0, 60.0])
def test_a_matroska_file_that_begins_late_is_whole(
    make_clip: Callable[..., Path], tmp_path: Path, late_s: float
) -> None:
    clip = make_clip("clip.mp4")
    with av.open(str(clip)) as container:
        base = container.streams.video[0].time_base
    assert base is not None
    late = remux(clip, tmp_path / "late.mkv", lambda _, stamp: stamp + round(Fraction(late_s) / base))
    with open_video(clip) as reader:
        count, stated = len(list(reader)), reader.info.duration_s
    assert len(frames_of(late)) == count
    with open_video(late) as reader:
        assert reader.info.duration_s == pytest.approx(stated, abs=0.05)


def test_pictures_of_matroska_before_zero_keep_their_distances_and_their_sound(
    make_clip: Callable[..., Path], tmp_path: Path, contents
) -> None:
    early = moved(make_clip(audio=("aac",)), tmp_path / "early.mkv", Fraction(7, 25))
    with open_video(early) as reader, VideoWriter(tmp_path / "out.mkv", reader.info, reader.sound) as writer:
        assert (reader.info.frames, reader.info.duration_s) == (20, pytest.approx(0.8, abs=0.01))
        frames = []
        for frame in reader:
            frames.append(frame)
            writer.write(frame.image, frame.pts)
        assert reader.damaged == 0
    assert times(frames) == regular(20)
    assert contents(tmp_path / "out.mkv").audio[0][2] == pytest.approx(0, abs=0.03)
    assert times(frames_of(early, 0.4)) == regular(10, 0.4)


def test_pictures_without_times_lie_before_the_first_that_has_one() -> None:
    clock = PictureClock(Fraction(1, 1000), Fraction(10), Fraction(0), ClockRules())
    pictures = []
    for pts, duration in ((None, 100), (None, 0), (250, 100), (350, 100)):
        picture = av.VideoFrame(16, 16, "yuv420p")
        picture.pts, picture.time_base, picture.duration = pts, Fraction(1, 1000), duration
        pictures.append(picture)
    clock.begin(pictures[:3])
    assert [clock.stamp(picture) for picture in pictures] == [50, 150, 250, 350]
    assert clock.early_s == 0
