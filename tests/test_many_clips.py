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
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace

import av
import pytest

from vipnas_cli.cli.run.options import RunOptions

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


def test_names_with_brackets_are_claimed_as_others(many_clips: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "a [1].csv"
    # What fails leaves no claim, so that another one finds none.
    with pytest.raises(OSError, match="full"), many_clips.claim(target):
        raise OSError("full")
    assert not list(tmp_path.iterdir())
    (tmp_path / ".a [1].csv.claim-1").write_text("elsewhere 1\n")
    assert claimed(many_clips, target, threads=3, work_s=0) == 1


def test_who_comes_second_looks_again_after_a_while(
    many_clips: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The claim of another one, created after the one look that there is time for.
    (tmp_path / ".a.csv.claim-1").touch()
    looks = iter([[]])
    monkeypatch.setattr(many_clips, "_claims", lambda _: next(looks))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        (tmp_path / "a.csv").touch()

    monkeypatch.setattr(many_clips.time, "sleep", sleep)
    with many_clips.claim(tmp_path / "a.csv") as ours:
        assert not ours
    assert slept == [many_clips.LOOK_S]


def test_a_claim_that_cannot_be_written_fails_its_clip_only(many_clips: ModuleType, tmp_path: Path) -> None:
    run = RunOptions(("clip.mp4",), out=(str(tmp_path / f"{'x' * 247}.csv"),))
    assert re.match("failed: .*too long", many_clips.run_clip(run))


@dataclass(frozen=True)
class Job:
    """A job of Dask that ended with a result or with an exception."""

    word: str = ""
    error: Exception | None = None

    def result(self) -> str:
        if self.error:
            raise self.error
        return self.word

    def exception(self) -> Exception | None:
        return self.error


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that puts a Dask in place whose jobs end as told."""

    def ends(*jobs: Job) -> None:
        client = SimpleNamespace(map=lambda *_, **__: list(jobs))
        dask = SimpleNamespace(
            Client=lambda _: nullcontext(client),
            LocalCluster=lambda *_, **__: SimpleNamespace(close=lambda: None),
            as_completed=lambda jobs, with_results=False: [(j, j.result()) for j in jobs] if with_results else jobs,
        )
        monkeypatch.setitem(sys.modules, "dask", SimpleNamespace(distributed=dask))
        monkeypatch.setitem(sys.modules, "dask.distributed", dask)

    return ends


def exit_code(many_clips: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> object:
    """The exit code of the program, 0 where it returns."""
    monkeypatch.setattr(sys, "argv", ["many_clips", *map(str, words)])
    try:
        many_clips.main()
    except SystemExit as error:
        return error.code
    return 0


def test_a_clip_that_fails_or_kills_its_workers_is_told_and_the_others_go_on(
    many_clips: ModuleType, ends: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    for name in ("a.mp4", "b.MOV", "c.mkv", "no_clip.txt"):
        (tmp_path / name).touch()
    ends(Job(error=RuntimeError("4 workers died")), Job("done"), Job("failed: b.MOV is cut off"))
    assert exit_code(many_clips, monkeypatch, tmp_path, tmp_path / "results") == 1
    assert capsys.readouterr().out.splitlines() == [
        "1/3 a.mp4: failed: 4 workers died",
        "2/3 b.MOV: done",
        "3/3 c.mkv: failed: b.MOV is cut off",
        "1 done, 2 failed",
    ]
    ends(Job("done"), Job("there"))
    (tmp_path / "results" / "c.jsonl").touch()
    assert exit_code(many_clips, monkeypatch, tmp_path, tmp_path / "results") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 2 there"


def test_clips_that_only_their_ending_tells_apart_have_results_of_their_own(
    many_clips: ModuleType, tmp_path: Path
) -> None:
    for name in ("a.mp4", "a.MOV"):
        (tmp_path / name).touch()
    plan = many_clips.missing(tmp_path, tmp_path / "results", "0.2GFLOPs")
    assert {Path(run.out[0]).name for run in plan.runs} == {"a.mp4.jsonl", "a.MOV.jsonl"}


@pytest.mark.parametrize(
    ("folder", "budget", "what"),
    [
        ("clips", "foo", "budget 'foo'"),
        ("nowhere", "0.2GFLOPs", "nowhere holds no videos"),
        ("empty", "0.2GFLOPs", "holds no videos"),
    ],
)
def test_nothing_begins_without_videos_or_a_budget(
    many_clips: ModuleType, ends: Callable[..., None], tmp_path: Path, monkeypatch, capsys, folder, budget, what: str
) -> None:
    ends()
    (tmp_path / "empty").mkdir()
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    assert exit_code(many_clips, monkeypatch, tmp_path / folder, tmp_path / "results", "--budget", budget) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_help_needs_no_dask(many_clips: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    assert exit_code(many_clips, monkeypatch, "--help") == 0


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
