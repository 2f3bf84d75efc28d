"""`vipnas run` on what has no end: it is ended from outside, and the files are whole and valid."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import av
import numpy as np
import pytest

from vipnas_cli.media.connection import READ_S

FAST = ["--threads", "1", "-b", "0.07GFLOPs", "--boxes", "whole"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for value in range(200):
            picture = np.full((64, 64, 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


def start(folder: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vipnas_cli", "run", *arguments, *FAST, "-o", "out.mp4", "-o", "out.jsonl"]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def test_a_stream_that_stalls_ends_with_whole_files(tmp_path: Path, clip: Path) -> None:
    """The server goes on holding the connection without a word, so nothing but the signal ends the run."""
    enough = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                data = clip.read_bytes()
                for place in cycle(range(0, len(data), 2000)):
                    if enough.is_set():
                        break
                    connection.sendall(data[place : place + 2000])
                    time.sleep(0.05)
                connection.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        process = start(tmp_path, f"tcp://someone:hunter2@127.0.0.1:{server.getsockname()[1]}", "--json")
        partial = tmp_path / ".out.partial.jsonl"
        deadline = time.monotonic() + 120
        while not (partial.exists() and len(partial.read_text().splitlines()) > 5):
            time.sleep(0.02)
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
        enough.set()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        _, told = process.communicate(timeout=60)
        assert time.monotonic() - asked < READ_S
    assert process.returncode == 130, told
    assert "Traceback" not in told
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert frames == len(lines) - 1 > 0
    assert "hunter2" not in json.dumps(lines) + told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.ts", "out.jsonl", "out.mp4"]


def test_a_pipe_gives_what_the_file_gives(tmp_path: Path, clip: Path) -> None:
    found = []
    command = f"{sys.executable} -m vipnas_cli run {{}} {' '.join(FAST)} -q --end 0:01 --overwrite -o out.jsonl"
    for line in (f"cat clip.ts | {command.format('-')}", f"{command.format('-')} < clip.ts"):
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, timeout=120)
        header, *frames = (tmp_path / "out.jsonl").read_text().splitlines()
        found.append((json.loads(header)["source"], frames))
    assert [source for source, _ in found] == ["stdin", "stdin"]
    assert len(found[0][1]) > 20
    assert found[0][1] == found[1][1]
