"""Small clips made with PyAV: frame i is a grey level of its own, its top left quarter is red."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

RATE = Fraction(25)


@dataclass(frozen=True)
class Clip:
    """What a clip is made of; `pts` are in units of `time_base`, `audio` names the codec of each track."""

    pts: Sequence[int] = range(20)
    time_base: Fraction = 1 / RATE
    rate: Fraction = RATE
    size: tuple[int, int] = (64, 48)
    audio: tuple[str, ...] = ()
    turn: tuple[int, bool] = (0, False)
    key_every: int = 10
    options: tuple[tuple[str, str], ...] = ()
    kind: str | None = None


def level(index: int) -> int:
    return 30 + 8 * index % 200


def picture(index: int, width: int, height: int) -> NDArray[np.uint8]:
    image = np.full((height, width, 3), level(index), np.uint8)
    image[: height // 2, : width // 2] = (220, 20, 20)
    return image


def index_of(image: NDArray[np.uint8]) -> int:
    """Which frame of a clip this is, by its lower right corner."""
    height, width = image.shape[:2]
    grey = float(image[height * 3 // 4 :, width * 3 // 4 :].mean())
    return min(range(24), key=lambda index: abs(level(index) - grey))


def write_clip(path: Path, clip: Clip) -> Path:
    with av.open(str(path), "w", format=clip.kind, container_options=dict(clip.options)) as container:
        stream = container.add_stream("libx264", clip.rate, options={"crf": "10", "g": str(clip.key_every)})
        stream.width, stream.height = clip.size
        stream.codec_context.time_base = clip.time_base
        stream.set_display_rotation(clip.turn[0], hflip=clip.turn[1])
        tracks = [_add_audio(container, codec) for codec in clip.audio]
        for index, pts in enumerate(clip.pts):
            frame = av.VideoFrame.from_ndarray(picture(index, *clip.size))
            frame.pts, frame.time_base = pts, clip.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        seconds = float((clip.pts[-1] + 1) * clip.time_base)
        for track in tracks:
            _fill_audio(container, track, seconds)
    return path


def _add_audio(container: av.container.OutputContainer, codec: str) -> Any:
    track = container.add_stream(codec, 48_000)
    track.codec_context.layout = "mono"
    return track


def _fill_audio(container: av.container.OutputContainer, track: Any, seconds: float) -> None:
    tone = (8000 * np.sin(np.arange(round(48_000 * seconds)) / 20)).astype(np.int16)
    for start in range(0, len(tone), 1024):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))


@dataclass(frozen=True)
class Contents:
    """What a file holds: times of the pictures, pictures, and (codec, packet count, first, end) of each audio track."""

    times: tuple[Fraction, ...]
    images: tuple[NDArray[np.uint8], ...]
    audio: tuple[tuple[str, int, float, float], ...]
    average_rate: Fraction


def read_contents(path: Path) -> Contents:
    """Read with PyAV alone, not with the code under test."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames = list(container.decode(stream))
        images = tuple(frame.to_ndarray(format="rgb24").copy() for frame in frames)
    tracks = []
    for number in range(_count_audio(path)):
        with av.open(str(path)) as container:
            track = container.streams.audio[number]
            packets = [packet for packet in container.demux(track) if packet.pts is not None]
            first, last = packets[0], packets[-1]
            end = (last.pts + (last.duration or 0)) * last.time_base
            tracks.append((track.codec_context.name, len(packets), float(first.pts * first.time_base), float(end)))
    times = tuple(frame.pts * frame.time_base for frame in frames)
    assert rate is not None
    return Contents(times, images, tuple(tracks), rate)


def _count_audio(path: Path) -> int:
    with av.open(str(path)) as container:
        return len(container.streams.audio)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Makes a clip of a name, with fields of Clip to change."""

    def make(name: str = "clip.mp4", **changes: Any) -> Path:
        return write_clip(tmp_path / name, replace(Clip(), **changes))

    return make


@pytest.fixture
def contents() -> Callable[[Path], Contents]:
    return read_contents


@pytest.fixture
def which_frame() -> Callable[[NDArray[np.uint8]], int]:
    return index_of
