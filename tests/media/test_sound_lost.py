"""A sound track that is silent, broken or foreign never costs the pictures; sound is as long as they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import pytest

from vipnas_cli.errors import VideoError
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter

PACKET = 188


def pids(path: Path) -> list[int]:
    """The PIDs of the sound tracks of a transport stream."""
    with av.open(str(path)) as container:
        return [stream.id for stream in container.streams.audio]


def mapped(path: Path, target: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """A transport stream with each packet replaced by `change(pid, packet)`."""
    data = path.read_bytes()
    packets = [data[start : start + PACKET] for start in range(0, len(data), PACKET)]
    target.write_bytes(b"".join(change((packet[1] & 31) << 8 | packet[2], packet) for packet in packets))
    return target


def copy(source: Path, target: Path) -> VideoWriter:
    with open_video(source) as reader, VideoWriter(target, reader.info, reader.sound) as writer:
        for frame in reader:
            writer.write(frame.image, frame.pts)
    return writer


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("fault", ["silent", "garbage", "cut"])
def test_a_bad_track_is_left_out_and_a_good_one_stays(
    make_clip: Callable[..., Path], contents, tmp_path: Path, suffix: str, fault: str
) -> None:
    clip = make_clip("two.ts", audio=("aac", "aac"))
    bad = pids(clip)[0]
    seen = 0

    def change(pid: int, packet: bytes) -> bytes:
        nonlocal seen
        if pid != bad:
            return packet
        seen += 1
        if fault == "silent":
            return b""
        if fault == "cut":
            return packet if seen == 1 else b""
        return packet[:20] + bytes((13 * place + 7) % 251 for place in range(PACKET - 20))

    broken = mapped(clip, tmp_path / "broken.ts", change)
    writer = copy(broken, tmp_path / f"out{suffix}")
    written = contents(tmp_path / f"out{suffix}")
    assert len(written.times) == 20
    good = [track for track in written.audio if track[3] > 0.7]
    assert len(good) == 1
    if fault == "silent":
        assert [track.output for track in writer.audio].count(None) == 1
        assert "is left out" in writer.notes[0]


def test_only_a_silent_track(make_clip: Callable[..., Path], contents, tmp_path: Path) -> None:
    clip = make_clip("one.ts", audio=("aac",))
    sound = pids(clip)[0]
    mute = mapped(clip, tmp_path / "mute.ts", lambda pid, packet: b"" if pid == sound else packet)
    copy(mute, tmp_path / "out.mp4")
    written = contents(tmp_path / "out.mp4")
    assert (len(written.times), written.audio) == (20, ())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("codec", "source"), [("aac", ".mp4"), ("pcm_s16le", ".mkv"), ("mp3", ".mp4")])
def test_an_interrupt_ends_the_sound_with_the_pictures(
    make_clip: Callable[..., Path], contents, tmp_path: Path, suffix: str, codec: str, source: str
) -> None:
    clip = make_clip(f"long{source}", pts=range(100), audio=(codec,))
    target = tmp_path / f"out{suffix}"
    with (
        suppress(KeyboardInterrupt),
        open_video(clip) as reader,
        VideoWriter(target, reader.info, reader.sound) as writer,
    ):
        for frame in reader:
            if frame.index == 25:
                raise KeyboardInterrupt
            writer.write(frame.image, frame.pts)
    written = contents(target)
    assert len(written.times) == 25
    assert written.audio[0][3] == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("offset_s", [0, 1000])
def test_a_seam_is_one_for_sound_and_pictures(
    make_clip: Callable[..., Path], contents, tmp_path: Path, offset_s: int
) -> None:
    first = make_clip("first.ts", pts=range(50), audio=("aac",))
    second = make_clip("second.ts", pts=range(50), audio=("aac",), options=(("output_ts_offset", str(offset_s)),))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    copy(joined, tmp_path / "out.mp4")
    written = contents(tmp_path / "out.mp4")
    assert len(written.times) == 100
    assert written.times[-1] == pytest.approx(4, abs=0.1)
    assert written.audio[0][3] == pytest.approx(4, abs=0.2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_without_data_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vipnas_cli.media.pipe.PATIENCE_S", 0.3)
    os.mkfifo(tmp_path / "pipe.mkv")
    with pytest.raises(VideoError, match="no data came through"):
        open_video(tmp_path / "pipe.mkv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_pipe_that_falls_silent_gives_what_came_and_an_error(
    make_clip: Callable[..., Path], contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipnas_cli.media.pipe.PATIENCE_S", 0.3)
    data, pipe = make_clip("clip.ts", pts=range(100), audio=("aac",)).read_bytes(), tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    with pipe.open("r+b", buffering=0) as writer:  # stays open
        writer.write(data[: min(len(data) // 2, 60_000)])
        with pytest.raises(VideoError, match="no data came through"):
            copy(pipe, tmp_path / "out.mp4")
    assert 10 < len(contents(tmp_path / "out.mp4").times) < 90
