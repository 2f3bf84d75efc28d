"""Readers that are closed or dropped midway end, let go of what they read, and never crash the interpreter."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from vipnas_cli.errors import UsageError
from vipnas_cli.media.closing import Closer
from vipnas_cli.media.inputs import FrameReader, open_input

MakeClip = Callable[..., Path]
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
KINDS = ["video", "part", "pictures", pytest.param("pipe", marks=needs_fifo), pytest.param("live", marks=needs_fifo)]


@contextmanager
def feeding(fifo: Path, data: bytes, then: threading.Event | None = None) -> Iterator[threading.Thread]:
    """A thread that writes to a new FIFO, and leaves it open until `then` or until nobody reads it any more."""

    def feed() -> None:
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
            file.write(data)
            while then is not None and not then.wait(0.02):
                file.write(b"\0")

    os.mkfifo(fifo)
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    yield feeder
    feeder.join(10)
    assert not feeder.is_alive()


@contextmanager
def opened(kind: str, make_clip: MakeClip, folder: Path) -> Iterator[FrameReader]:
    """A reader of each kind, of a hundred frames or more."""
    if kind == "pictures":
        for number in range(100):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
        yield open_input(folder)
    elif kind in ("pipe", "live"):
        data = make_clip("clip.ts", pts=range(200)).read_bytes()
        with feeding(folder / "pipe", data):
            yield open_input(folder / "pipe", live=kind == "live")
    else:
        yield open_input(make_clip(pts=range(200)), start_s=1.0 if kind == "part" else None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_reader_ends_and_is_not_begun_again(kind: str, make_clip: MakeClip, tmp_path: Path) -> None:
    with opened(kind, make_clip, tmp_path) as reader:
        iteration = iter(reader)
        assert next(iteration).index == 0
        reader.close()
        reader.close()
        assert next(iteration, None) is None
        with pytest.raises(UsageError, match="is closed already"):
            list(reader)
        assert reader.info.width
        assert reader.damaged == 0


@pytest.mark.parametrize("kind", KINDS)
def test_closing_within_the_loop_ends_it(kind: str, make_clip: MakeClip, tmp_path: Path) -> None:
    taken = 0
    with opened(kind, make_clip, tmp_path) as reader:
        for _ in reader:
            taken += 1
            if taken == 3:
                reader.close()
    assert taken == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_that_was_left_is_not_read_on(kind: str, make_clip: MakeClip, tmp_path: Path) -> None:
    with opened(kind, make_clip, tmp_path) as reader:
        with reader:
            for _ in reader:
                break
        with pytest.raises(UsageError, match="is closed already"):
            list(reader)


@pytest.mark.parametrize("kind", KINDS)
def test_another_thread_may_close_at_any_time(kind: str, make_clip: MakeClip, tmp_path: Path) -> None:
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with opened(kind, make_clip, folder) as reader:
            failures: list[BaseException] = []
            reading = threading.Thread(target=read_all, args=(reader, failures), daemon=True)
            reading.start()
            time.sleep(0.004 * attempt)
            started = time.monotonic()
            reader.close()
            assert time.monotonic() - started < 1
            reading.join(10)
            assert not reading.is_alive()
            # The thread may not have begun.
            assert all(isinstance(failure, UsageError) for failure in failures)


def read_all(reader: FrameReader, failures: list[BaseException]) -> None:
    try:
        for _ in reader:
            pass
    except BaseException as failure:  # noqa: BLE001 - told by the test
        failures.append(failure)


@needs_fifo
def test_closing_ends_a_thread_that_waits_for_a_pipe(make_clip: MakeClip, tmp_path: Path) -> None:
    data, over = make_clip("clip.ts", pts=range(200)).read_bytes(), threading.Event()
    with feeding(tmp_path / "pipe", data, over) as feeder:
        reader, failures = open_input(tmp_path / "pipe"), []
        reading = threading.Thread(target=read_all, args=(reader, failures), daemon=True)
        reading.start()
        time.sleep(0.5)
        assert reading.is_alive()
        reader.close()
        reading.join(5)
        assert (reading.is_alive(), failures) == (False, [])
        feeder.join(5)  # nobody reads any more
        assert not feeder.is_alive()


@needs_fifo
def test_a_pipe_that_is_closed_gives_no_sound(make_clip: MakeClip, tmp_path: Path) -> None:
    data = make_clip("clip.ts", audio=("aac",)).read_bytes()
    with feeding(tmp_path / "pipe", data), open_input(tmp_path / "pipe") as reader:
        assert reader.sound is not None
        reader.close()
        with pytest.raises(UsageError, match="is closed already"):
            reader.sound()


def test_nothing_is_released_under_a_step_that_uses_it() -> None:
    events: list[str] = []
    closer = Closer("it", lambda: events.append("released"))

    def use() -> str:
        with pytest.raises(UsageError, match="it is being read"):
            closer.step(lambda: "again")
        closer.close()  # as a signal handler or a finaliser does
        assert closer.step(lambda: "again") is None
        events.append("used")
        return "result"

    assert closer.step(use) == "result"
    assert events == ["used", "released"]
    assert closer.step(use) is None


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What only a collection of garbage would free stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - what pathlib opens itself counts, too


@needs_fifo
def test_a_pipe_that_was_read_leaves_nothing_open(make_clip: MakeClip, tmp_path: Path, no_collection: None) -> None:
    data = make_clip("clip.ts", audio=("aac",)).read_bytes()
    before = descriptors()
    for number in range(3):
        with feeding(tmp_path / f"pipe{number}", data):
            assert len(list(open_input(tmp_path / f"pipe{number}"))) == 20
        assert descriptors() == before


@needs_fifo
@pytest.mark.parametrize("dropped", [False, True])
def test_what_writes_to_a_pipe_is_not_left_waiting(
    make_clip: MakeClip, tmp_path: Path, no_collection: None, dropped: bool
) -> None:
    """Neither by a reader that is dropped midway, nor by one that is kept behind the end of what it reads."""
    data = make_clip("clip.ts", pts=range(200)).read_bytes()
    with feeding(tmp_path / "pipe", data + bytes(1 << 20), threading.Event()) as feeder:
        reader = open_input(tmp_path / "pipe", end_s=1)
        if dropped:
            for _ in reader:
                break
            assert feeder.is_alive()
            del reader
        else:
            assert list(reader)
        feeder.join(5)
        assert not feeder.is_alive()


def test_the_type_of_readers_can_be_closed(make_clip: MakeClip) -> None:
    reader: FrameReader = open_input(make_clip())
    reader.close()
    assert callable(getattr(FrameReader, "close", None))
