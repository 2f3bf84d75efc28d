"""Ctrl-C, SIGTERM and SIGHUP during a command leave a playable video and valid rows, or nothing at all."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import pytest

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"
FAST = ["--threads", "1", "-b", "0.07GFLOPs", "--boxes", "whole"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from vipnas_cli.cli.app import main; main()", *arguments]
    # A shell that starts this in the background has its children ignore the signal.
    return subprocess.Popen(
        command,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_a_playable_video_and_valid_rows(tmp_path: Path, number: int) -> None:
    process = start(tmp_path, "run", str(CLIP), "-o", "out.mp4", "-o", "out.csv")
    partial = tmp_path / ".out.partial.csv"
    # Rows are flushed as they come, so the growing file says that frames are being processed.
    wait_for(process, lambda: partial.exists() and partial.stat().st_size > 20_000)
    process.send_signal(number)
    process.send_signal(signal.SIGHUP)  # as a closed terminal does; it is the same wish
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    assert 0 < frames < 175
    assert len(rows) % 17 == 0
    assert int(rows[-1]["frame"]) < frames
    assert sorted(path.name for path in tmp_path.iterdir()) == [*("out.csv", "out.csv-metadata.json", "out.mp4")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
@pytest.mark.parametrize("data", [0, 30_000])
def test_a_pipe_that_waits_can_be_interrupted(tmp_path: Path, data: int) -> None:
    """Before the first frame, too: one sentence, no file."""
    os.mkfifo(tmp_path / "pipe.mp4")
    process = start(tmp_path, "run", "pipe.mp4", "-o", "out.mp4", "-o", "out.csv", *FAST)
    with (tmp_path / "pipe.mp4").open("r+b", buffering=0) as pipe:
        pipe.write(CLIP.read_bytes()[:data])
        wait_for(process, lambda: _reads(process, "pipe.mp4"))
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.strip().splitlines() == ["vipnas: interrupted."]
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.mp4"]


def _reads(process: subprocess.Popen[str], name: str) -> bool:
    names = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            names.append(str(link.readlink()))
    return any(name in opened for opened in names)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_bench_leaves_nothing(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("VIPNAS_CACHE", str(tmp_path / "cache"))
    process = start(tmp_path, "bench", "--seconds", "0.01")
    wait_for(process, lambda: any(tmp_path.glob("vipnas-*")))
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert not list(tmp_path.glob("vipnas-*"))
