"""Clips on several workers over one folder: one of them is killed, nothing is lost and nothing is done twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType

import av
import pytest

ROOT = Path(__file__).parents[1]
FRAMES = 60
EXAMPLE = ROOT / "examples" / "many_clips.py"


@pytest.fixture
def many_clips(load_example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, in a hurry."""
    module = load_example("many_clips")
    for name, seconds in {"BEAT_S": 0.05, "STALE_S": 0.4, "LOOK_S": 0.01}.items():
        monkeypatch.setattr(module, name, seconds)
    return module


def claimed(many_clips: ModuleType, target: Path, threads: int, work_s: float) -> int:
    """How many of several threads that claim a result make it."""
    made, lock = [], threading.Lock()

    def work() -> None:
        with many_clips.claim(target) as ours:
            if ours:
                time.sleep(work_s)
                with lock:
                    made.append(target)
                target.touch()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
    return len(made)


def test_one_of_several_gets_a_claim_and_the_others_wait_for_the_result(many_clips: ModuleType, tmp_path: Path) -> None:
    # Longer than a claim lives untouched.
    assert claimed(many_clips, tmp_path / "a.csv", threads=4, work_s=0.8) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_one_goes_on_in_the_place_of_a_dead_one(many_clips: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".a.csv.claim-1").write_text("elsewhere 1\n")
    assert claimed(many_clips, tmp_path / "a.csv", threads=3, work_s=0) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def shorten(source: Path, target: Path) -> None:
    """The first frames of a clip."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as short:
        stream = short.add_stream_from_template(clip.streams.video[0])
        for packet in islice(clip.demux(video=0), FRAMES):
            packet.stream = stream
            short.mux(packet)


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    clips, results = tmp_path / "clips", tmp_path / "results"
    for number in range(3):
        clip = clips / f"day{number % 2}" / f"clip{number}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        shorten(ROOT / "examples" / "two_people.mp4", clip)
    program = EXAMPLE.read_text().replace("STALE_S, LOOK_S = 2.0, 15.0, 0.5", "STALE_S, LOOK_S = 0.5, 3.0, 0.1")
    (tmp_path / "many_clips.py").write_text(program)
    command = [sys.executable, "many_clips.py", str(clips), str(results), "--budget", "0.07GFLOPs", "--workers", "2"]
    with (tmp_path / "told.txt").open("w") as told:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=told, stderr=subprocess.STDOUT)
    first: dict[Path, int] = {}
    killed = ""
    while process.poll() is None:
        first |= {path: path.stat().st_ino for path in whole(results) if path not in first}
        begun = list(results.glob("*/.*.partial.jsonl"))
        if not killed and any(path.stat().st_size > 3000 for path in begun):
            held = next(path for path in results.glob("*/.*.claim-1") if path.read_text())
            killed = held.name
            os.kill(int(held.read_text().split()[1]), signal.SIGKILL)
        time.sleep(0.05)
    lines = (tmp_path / "told.txt").read_text().splitlines()
    assert killed, lines
    assert process.returncode == 0, lines
    done = whole(results)
    assert len(done) == 3
    # Whole, and the first one that appeared: no result was made again.
    assert all(len(path.read_text().splitlines()) == 1 + FRAMES for path in done)
    assert {path: path.stat().st_ino for path in done if path in first} == first
    assert not list(results.glob("*/.*.claim-*"))
    # Of a result whose worker was killed before it told so, Dask hears that it is there.
    assert re.fullmatch(r"(\d done)?(, )?(\d there)?", lines[-1])


def whole(results: Path) -> list[Path]:
    return [path for path in results.glob("*/*.jsonl") if not path.name.startswith(".")]
