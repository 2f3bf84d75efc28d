"""A pipe is read once, and gives the pictures and the sound that the same file gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import av
import pytest

from vipnas_cli.errors import VideoError
from vipnas_cli.media import pipe, sound
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.sound import Sound, SoundClocks
from vipnas_cli.media.writer import VideoWriter

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
FRAGMENTS = (("movflags", "frag_keyframe+empty_moov"),)


@pytest.fixture
def piped(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """A FIFO through which the content of a file comes."""
    feeders = []

    def feed(fifo: Path, data: bytes) -> None:
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
            file.write(data)

    def pipe_of(file: Path) -> Path:
        fifo = tmp_path / f"pipe{len(feeders)}{file.suffix}"
        os.mkfifo(fifo)
        feeders.append(threading.Thread(target=feed, args=(fifo, file.read_bytes()), daemon=True))
        feeders[-1].start()
        return fifo

    yield pipe_of
    for feeder in feeders:
        feeder.join(10)
        assert not feeder.is_alive()


def copy(
    source: Path, targets: list[Path], span: tuple[float | None, float | None] = (None, None), stop: int | None = None
) -> list[VideoWriter]:
    with open_video(source, *span) as reader, suppress(KeyboardInterrupt), ExitStack() as stack:
        writers = [VideoWriter(target, reader.info, reader.sound, *span) for target in targets]
        for writer in writers:
            stack.enter_context(writer)
        for frame in reader:
            if frame.index == stop:
                raise KeyboardInterrupt
            for writer in writers:
                writer.write(frame.image, frame.pts)
    return writers


def packets(path: Path) -> list[tuple[int, int | None, int, bytes]]:
    """Stream, time, duration and content of all packets of sound."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(*container.streams.audio) if packet.size]
        return [(packet.stream.index, packet.pts, packet.duration or 0, bytes(packet)) for packet in found]


KINDS = [
    ("clip.mkv", ("libopus", "pcm_s16le"), ()),
    ("clip.ts", ("aac", "mp2"), ()),
    ("clip.mp4", ("aac",), FRAGMENTS),
    ("clip.avi", ("mp3",), ()),
]


@pytest.mark.parametrize(("name", "audio", "options", "end_s"), [*((*kind, None) for kind in KINDS), (*KINDS[0], 1.5)])
def test_a_pipe_sounds_as_its_file(make_clip, piped, tmp_path: Path, name: str, audio, options, end_s) -> None:
    clip = make_clip(name, pts=range(50), audio=audio, options=options)
    suffixes = (".mp4", ".mov", ".mkv")
    writers = copy(piped(clip), [tmp_path / f"pipe{suffix}" for suffix in suffixes], (None, end_s))
    assert not any(writer.notes for writer in writers)
    for suffix in suffixes:
        target = tmp_path / f"file{suffix}"
        copy(clip, [target], (None, end_s))
        found = packets(tmp_path / f"pipe{suffix}")
        assert len(found) > 5
        assert found == packets(target)


@pytest.mark.parametrize(("name", "audio", "options"), KINDS)
def test_a_pipe_that_is_begun_later(make_clip, piped, contents, tmp_path: Path, name: str, audio, options) -> None:
    clip = make_clip(name, pts=range(50), audio=audio, options=options)
    copy(piped(clip), [tmp_path / "pipe.mp4"], (0.6, 1.6))
    copy(clip, [tmp_path / "file.mp4"], (0.6, 1.6))
    found, expected = contents(tmp_path / "pipe.mp4"), contents(tmp_path / "file.mp4")
    assert found.times == expected.times
    for track, other in zip(found.audio, expected.audio, strict=True):
        assert track[2:] == pytest.approx(other[2:], abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_interrupted_pipe_ends_its_sound_with_the_pictures(
    make_clip, piped, contents, tmp_path: Path, suffix: str
) -> None:
    clip, target = make_clip("clip.mkv", pts=range(100), audio=("aac",)), tmp_path / f"out{suffix}"
    copy(piped(clip), [target], stop=25)
    found = contents(target)
    assert len(found.times) == 25
    assert found.audio[0][3] == pytest.approx(1.0, abs=0.06)


def test_a_silent_track_of_a_pipe_is_waited_for_in_bounds(
    make_clip, piped, contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "PROBED_PIPE_S", 1)
    clip, mute = make_clip("two.ts", pts=range(100), audio=("aac", "aac")), tmp_path / "mute.ts"
    with av.open(str(clip)) as container:
        silent = container.streams.audio[0].id
    data = clip.read_bytes()
    parts = [data[start : start + 188] for start in range(0, len(data), 188)]
    mute.write_bytes(b"".join(part for part in parts if (part[1] & 31) << 8 | part[2] != silent))
    target = tmp_path / "out.mp4"
    (writer,) = copy(piped(mute), [target])
    assert len(contents(target).times) == 100
    assert [track.output for track in writer.audio].count(None) == 1
    assert "is left out: no sound of it could be decoded within" in writer.notes[0]
    assert contents(target).audio[0][3] == pytest.approx(4.0, abs=0.1)


def test_sound_that_waits_is_bounded(make_clip, piped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "WAITING_SOUND", 3000)
    clip = make_clip("clip.mkv", pts=range(75), audio=("pcm_s16le",))
    (writer,) = copy(piped(clip), [tmp_path / "out.mkv"])
    assert "packets of sound are left out" in writer.notes[0]


def test_sound_that_no_output_can_use_does_not_wait(
    make_clip, piped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "PROBED_PIPE_S", 1)
    monkeypatch.setattr(sound, "WAITING_SOUND", 500_000)  # of 960,000 bytes
    monkeypatch.setattr(sound, "first_sound", lambda _packet: None)
    clip = make_clip("clip.mkv", pts=range(250), audio=("pcm_s16le",))
    (writer,) = copy(piped(clip), [tmp_path / "out.mkv"])
    (note,) = writer.notes
    assert "no sound of it could be decoded" in note


def test_nothing_waits_for_nobody(make_clip, piped) -> None:
    clip = make_clip("clip.mkv", pts=range(75), audio=("pcm_s16le",))
    with open_video(piped(clip)) as reader:
        assert len(list(reader)) == 75
        assert reader._reading._once is not None
        assert not reader._reading._once._early


def test_a_socket_that_was_inherited_is_a_pipe(make_clip) -> None:
    clip = make_clip("clip.ts", audio=("aac",))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        feeder = threading.Thread(target=lambda: (ours.sendall(clip.read_bytes()), ours.shutdown(socket.SHUT_WR)))
        feeder.start()
        with open_video(f"/dev/fd/{theirs.fileno()}") as reader:
            assert len(list(reader)) == 20
        feeder.join()


def test_what_is_no_video_is_let_go_of() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(b"no video at all")
        ours.shutdown(socket.SHUT_WR)
        with theirs, pytest.raises(VideoError, match="is not a video"):
            open_video(f"/dev/fd/{theirs.fileno()}")
        ours.settimeout(1)
        assert not ours.recv(1)


@pytest.fixture
def far_descriptor() -> Iterator[int]:
    """A number of a descriptor that select does not take."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = 1100
    if hard != resource.RLIM_INFINITY and hard <= number:
        pytest.skip("may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 1), hard))
    yield number
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pipe_is_read_beside_many_open_files(far_descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    near, writing = os.pipe()
    monkeypatch.setattr(pipe, "_opened", lambda _path: os.dup2(near, far_descriptor))
    file = pipe.PipeFile(Path("pipe"))
    try:
        os.write(writing, b"data")
        assert file.read(10) == b"data"
        os.close(writing)
        assert not file.read(10)
    finally:
        file.close()
        os.close(near)


def test_the_null_device_is_an_empty_pipe() -> None:
    with pytest.raises(VideoError, match="nothing came through"):
        open_video("/dev/null")


def test_a_pipe_cannot_give_an_index_that_comes_last(make_clip, piped) -> None:
    clip = make_clip("clip.mp4")
    data = clip.read_bytes()
    index = data.index(b"moov") - 4
    room = 1 << 20  # FFmpeg looks back a little
    clip.write_bytes(data[:index] + room.to_bytes(4, "big") + b"free" + bytes(room - 8) + data[index:])
    with pytest.raises(VideoError, match="comes behind its pictures"):
        open_video(piped(clip))


def test_packets_without_times_follow_one_another(make_clip) -> None:
    with av.open(str(make_clip("clip.ts", audio=("aac",)))) as container:
        (track,) = container.streams.audio
        clocks = SoundClocks(container, {track.index: Sound(48_000, 1, 1024)})
        for number, packet in enumerate(container.demux(track)):
            expected = packet.pts
            if number % 14:  # FFmpeg gives a time to the first packet of a PES, and to more if it knows the sound
                packet.pts = packet.dts = packet.duration = None
            clocks.stamp(packet)
            assert packet.pts == pytest.approx(expected, abs=14) if packet.size else packet.pts is None
            packet.pts = packet.dts = 0  # what becomes of a packet later does not matter


def test_stdin_is_read_where_it_has_no_name(make_clip: Callable[..., Path]) -> None:
    """As on Windows, which has nothing that waits for a pipe either."""
    program = (
        "import pathlib\n"
        "from vipnas_cli.media import inputs, pipe\n"
        "real = pathlib.Path.exists\n"
        "pathlib.Path.exists = lambda path: str(path) != '/dev/stdin' and real(path)\n"
        "pipe._Selector = None\n"
        "print(len(list(inputs.open_input('-'))))\n"
    )
    with subprocess.Popen(["cat", str(make_clip("clip.ts"))], stdout=subprocess.PIPE) as feeder:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdin=feeder.stdout, capture_output=True, text=True, timeout=60
        )
    assert (ended.returncode, ended.stdout.split()) == (0, ["20"]), ended.stderr
