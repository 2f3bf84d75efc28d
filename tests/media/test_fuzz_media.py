"""Damaged containers of every kind: each gives frames or one VideoError, in bounded time, and never a broken file."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vipnas_cli.errors import VideoError
from vipnas_cli.media.reader import open_video
from vipnas_cli.media.writer import VideoWriter

# Seconds that one damaged clip may take: several hundred times what a whole one does.
BOUND_S = 20
CONTAINERS = {
    "mp4": "libx264",
    "mov": "libx264",
    "mkv": "libx264",
    "ts": "libx264",
    "avi": "mpeg4",
    "mpg": "mpeg2video",
    "flv": "libx264",
    "webm": "libvpx",
    "h264": "libx264",
    "gif": "gif",
    "png": "png",
}
WITH_SOUND = frozenset({"mp4", "mov", "mkv", "ts"})
# What can come through a pipe; each third of them does.
STREAMED = frozenset({"mkv", "ts", "avi", "mpg", "flv", "webm"}) if hasattr(os, "mkfifo") else frozenset()
PER_KIND, PER_KIND_IN_CI = 100, 3


def write(path: Path, codec: str, sound: bool) -> bytes:
    """16 pictures of noise on a ramp, with two key frames, and sound."""
    noise = np.random.default_rng(1)
    if path.suffix == ".png":
        cv2.imwrite(str(path), noise.integers(0, 255, (48, 64, 3), np.uint8))
        return path.read_bytes()
    options = {"g": "8", "preset": "ultrafast"} if codec == "libx264" else {"g": "8"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25, options={} if codec == "gif" else options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        track = container.add_stream("aac", 48_000) if sound else None
        for index in range(16):
            image = noise.integers(0, 60, (48, 64, 3), np.uint8) + np.uint8(10 * index)
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
            if track is not None:
                tone = av.AudioFrame.from_ndarray(np.full((1, 1920), 0.1, np.float32), "fltp", "mono")
                tone.sample_rate, tone.pts, tone.time_base = 48_000, 1920 * index, Fraction(1, 48_000)
                container.mux(track.encode(tone))
        container.mux(stream.encode(None))
        if track is not None:
            container.mux(track.encode(None))
    return path.read_bytes()


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A clip with flipped bits, a part lost, doubled, zeroed or exchanged, or a number in its header made extreme."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        where = dice.randrange(len(changed)) if dice.random() < 0.6 else dice.randrange(min(len(changed), 600))
        length = dice.choice((1, 4, 30, 188, 1000))
        part = changed[where : where + length]
        match dice.randrange(7):
            case 0:
                for _ in range(dice.choice((1, 20, 200))):
                    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            case 1:
                del changed[where : where + length]
            case 2:
                changed[where:where] = part
            case 3:
                changed[where : where + length] = bytes(len(part))
            case 4:
                changed[where : where + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
            case 5:
                del changed[where:]
            case 6:
                changed[where : where + length] = dice.randbytes(len(part))
        if len(changed) < 16:
            break
    return bytes(changed)


def check(path: Path, folder: Path, start_s: float | None) -> str:
    """Copies a clip as a run does; what is written must be whole. Returns what came of it."""
    target = folder / "out.mp4"
    target.unlink(missing_ok=True)
    started, last, frames = time.monotonic(), -1.0, 0
    try:
        with open_video(path, start_s) as reader, VideoWriter(target, reader.info, reader.sound, start_s) as writer:
            for frame in reader:
                assert frame.time_s > last
                assert frame.image.shape == (reader.info.height, reader.info.width, 3)
                last, frames = frame.time_s, frames + 1
                writer.write(frame.image, frame.pts)
    except VideoError:
        assert not target.exists()
        return "refused"
    finally:
        assert time.monotonic() - started < BOUND_S
        assert not list(folder.glob(".out*"))
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames
    return "damaged" if reader.damaged else "whole"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("clips")
    return {kind: write(folder / f"clip.{kind}", codec, kind in WITH_SOUND) for kind, codec in CONTAINERS.items()}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_damaged_containers(clips: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    _fuzz(clips[kind], kind, tmp_path, range(PER_KIND_IN_CI))


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", CONTAINERS)
def test_many_damaged_containers(clips: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    _fuzz(clips[kind], kind, tmp_path, range(PER_KIND_IN_CI, PER_KIND))


@contextmanager
def piped(path: Path) -> Iterator[Path]:
    """A FIFO through which the content of a file comes."""

    def feed() -> None:
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            file.write(path.read_bytes())

    pipe = path.with_name(f"pipe{path.suffix}")
    os.mkfifo(pipe)
    feeder = threading.Thread(target=feed)
    feeder.start()
    yield pipe
    feeder.join()
    pipe.unlink()


def _fuzz(data: bytes, kind: str, folder: Path, seeds: range) -> None:
    path = folder / f"clip.{kind}"
    path.write_bytes(data)
    assert check(path, folder, None) == "whole"
    for seed in seeds:
        dice = random.Random(f"{kind} {seed}")
        path.write_bytes(mutated(data, dice))
        start_s = dice.choice((None, None, 0.3))
        try:
            if kind in STREAMED and seed % 3 == 0:
                with piped(path) as pipe:
                    check(pipe, folder, start_s)
            else:
                check(path, folder, start_s)
        except Exception as error:
            raise AssertionError(f"{kind} {seed}: {error}") from error
