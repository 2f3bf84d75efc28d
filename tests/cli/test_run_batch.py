"""Several inputs of `vipnas run`: what fails does not stop the rest, and what is not whole is not taken for it."""

from __future__ import annotations

import errno
import json
import multiprocessing.context
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vipnas_cli.cli.app import app
from vipnas_cli.cli.run import single
from vipnas_cli.cli.run.batch import exit_code
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import planned
from vipnas_cli.cli.run.worker import Crew, Worker
from vipnas_cli.errors import BudgetError, ProgramError
from vipnas_cli.files import PartialFile
from vipnas_cli.folders import PartialFolder
from vipnas_cli.inference.pipeline import RunStatistics, process
from vipnas_cli.media.encoding import PictureEncoder

CLIP = Path(__file__).parents[2] / "examples" / "two_people.mp4"
FAST = ["--threads", "1", "-b", "0.07GFLOPs", "--boxes", "whole"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """Three clips of five frames, one of them cut off, in two folders."""
    top = tmp_path_factory.mktemp("clips")
    (top / "more").mkdir()
    for name in ("one.mp4", "more/two.mp4"):
        shutil.copy(clip, top / name)
    (top / "bad.mp4").write_bytes((top / "one.mp4").read_bytes()[:500])
    return top


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["run", *arguments, *FAST])
    return found.exit_code, found.stdout, found.stderr


def frames_in(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_rest_is_done_when_one_fails(clips: Path, tmp_path: Path, jobs: str) -> None:
    code, out, err = run(str(clips), "-o", f"{tmp_path}/new/{{name}}.jsonl", "--jobs", jobs, "--json")
    document = json.loads(out)
    assert code == document["exit_code"] == 3
    assert [Path(one["input"]).name for one in document["runs"]] == ["bad.mp4", "one.mp4", "two.mp4"]
    assert document["runs"][0]["error"]["code"] == "VideoError"
    assert [one.get("frames") for one in document["runs"]] == [None, 5, 5]
    for name in ("one", "more/two"):
        assert frames_in(tmp_path / "new" / f"{name}.jsonl") == [0, 1, 2, 3, 4]
    assert "2 inputs done" in err
    assert "cut off" in err


def test_what_is_there_is_skipped_and_what_fails_leaves_nothing(clips: Path, tmp_path: Path) -> None:
    target = f"{tmp_path}/{{name}}.jsonl"
    assert run(str(clips), "-o", target, "--shard", "2/3")[0] == 0  # bad is the first, one the second
    before = (tmp_path / "one.jsonl").stat().st_mtime_ns
    code, out, _ = run(str(clips), "-o", target, "--skip-existing", "--json")
    assert (code, json.loads(out)["skipped"]) == (3, 1)
    assert (tmp_path / "one.jsonl").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["one.jsonl", "two.jsonl"]
    code, _, err = run(str(clips / "one.mp4"), "-o", target, "--skip-existing")
    assert code == 0
    assert "Nothing to do" in err


def test_a_setting_that_holds_for_all_stops_all(clips: Path, tmp_path: Path) -> None:
    options = ["-b", "1kFLOPs", "-o", f"{tmp_path}/{{name}}.jsonl", "-j", "2"]
    assert isinstance(CliRunner().invoke(app, ["run", str(clips), *options]).exception, BudgetError)
    assert not list(tmp_path.rglob("*.jsonl"))


def fail_at_the_third_frame(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Of the first input only."""
    left = [error]

    def failing(*arguments: Any) -> RunStatistics:
        frames, propagator, outputs, on_frame, *rest = arguments

        def watched(statistics: RunStatistics) -> None:
            on_frame(statistics)
            if statistics.frames == 3 and left:
                raise left.pop()

        return process(frames, propagator, outputs, watched, *rest)

    monkeypatch.setattr(single, "process", failing)


@pytest.mark.parametrize("skip", [True, False])
def test_a_fault_of_the_program_costs_its_input_only(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip: bool
) -> None:
    fail_at_the_third_frame(monkeypatch, ValueError("the third\nframe"))
    inputs = str(clips / "one.mp4"), str(clips / "more" / "two.mp4")
    told = ["--json", "--log-file", f"{tmp_path}/log", *(["--skip-existing"] if skip else ["-v"])]
    code, out, err = run(*inputs, "-o", f"{tmp_path}/{{name}}.jsonl", *told)
    first, second = json.loads(out)["runs"]
    assert code == json.loads(out)["exit_code"] == first["error"]["exit_code"] == 1
    assert first["error"]["code"] == "ProgramError"
    assert "ValueError: the third frame" in first["error"]["what"]
    assert second["frames"] == 5
    assert "one.mp4: a fault of this program, ValueError: the third frame. Report it" in err
    assert ("Traceback" in err) == (not skip)
    assert "Traceback" in (tmp_path / "log").read_text()
    assert frames_in(tmp_path / "two.jsonl") == [0, 1, 2, 3, 4]
    if skip:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "two.jsonl"]
    else:
        assert frames_in(tmp_path / "one.jsonl") == [0, 1, 2]


def test_a_fault_of_the_program_is_told_of_an_input_alone(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_the_third_frame(monkeypatch, ValueError("the third frame"))
    words = ["run", str(clips / "one.mp4"), "-o", f"{tmp_path}/one.jsonl", "-v", "--log-file", f"{tmp_path}/log"]
    found = CliRunner().invoke(app, [*words, *FAST])
    assert isinstance(found.exception, ProgramError)
    assert "ValueError: the third frame" in found.exception.what
    assert "Traceback" in found.stderr
    assert "Report it" in (tmp_path / "log").read_text()
    assert frames_in(tmp_path / "one.jsonl") == [0, 1, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("several", [True, False])
def test_with_skip_existing_no_part_of_results_ever_has_its_name(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, several: bool
) -> None:
    named: list[PartialFile | PartialFolder] = []
    for kind in (PartialFile, PartialFolder):
        monkeypatch.setattr(kind, "keep", lambda partial, durable=False: named.append(partial))  # noqa: ARG005
    fail_at_the_third_frame(monkeypatch, error)
    (tmp_path / "one.csv").write_text("precious")
    endings = (".mp4", ".csv", ".html", ".openpose", ".trc")
    outputs = [word for ending in endings for word in ("-o", f"{tmp_path}/{{name}}{ending}")]
    inputs = [str(clips / "one.mp4"), *([str(clips / "bad.mp4")] if several else [])]
    found = CliRunner().invoke(app, ["run", *inputs, *outputs, "--skip-existing", *FAST])
    assert found.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert not named
    assert [path.name for path in tmp_path.iterdir()] == ["one.csv"]
    assert (tmp_path / "one.csv").read_text() == "precious"


def test_with_skip_existing_a_result_that_fails_at_its_end_takes_the_others_along(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush(_encoder: PictureEncoder) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PictureEncoder, "flush", flush)
    (tmp_path / "one.jsonl").write_text("from before")
    outputs = [word for ending in (".mp4", ".csv", ".jsonl") for word in ("-o", f"{tmp_path}/{{name}}{ending}")]
    found = CliRunner().invoke(app, ["run", str(clips / "one.mp4"), *outputs, "--skip-existing", *FAST])
    assert found.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["one.jsonl"]
    assert frames_in(tmp_path / "one.jsonl") == [0, 1, 2, 3, 4]


def test_an_interrupt_while_results_end_is_told(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(_encoder: PictureEncoder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PictureEncoder, "flush", flush)
    assert run(str(clips / "one.mp4"), "-o", f"{tmp_path}/one.mp4", "-o", f"{tmp_path}/one.jsonl")[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["one.jsonl"]


@pytest.mark.parametrize(
    ("codes", "expected"), [([], 0), ([0, 0], 0), ([0, 5], 5), ([5, 3, 1], 3), ([1, 3], 1), ([3, 130], 130)]
)
def test_the_exit_code_of_several(codes: list[int], expected: int) -> None:
    assert exit_code(codes) == expected


def test_a_lost_process_costs_its_input_only(clips: Path, tmp_path: Path) -> None:
    options = RunOptions((str(clips / "one.mp4"),), out=(f"{tmp_path}/one.jsonl",), boxes="whole", budget="0.07GFLOPs")
    one = planned(options).runs[0]
    worker = Worker(options)
    try:
        _, process = worker._begun()
        os.kill(process.pid or 0, signal.SIGKILL)
        assert worker.ask(one).exit_code == 1
        assert worker.ask(one).exit_code == 0
    finally:
        worker.close()
    assert frames_in(tmp_path / "one.jsonl") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupt_while_a_process_begins_ends_its_input(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    options = RunOptions((str(CLIP),), out=(f"{tmp_path}/one.jsonl",), boxes="whole", budget="0.07GFLOPs")
    worker = Worker(options)
    start = multiprocessing.context.SpawnProcess.start

    def interrupted_start(process: multiprocessing.context.SpawnProcess) -> None:
        for step in (worker.interrupt, lambda: start(process))[:: 1 if before else -1]:
            step()

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", interrupted_start)
    try:
        assert worker.ask(planned(options).runs[0]).exit_code == 130
    finally:
        worker.close()
    assert not list(tmp_path.iterdir())


def test_a_worker_that_cannot_be_interrupted_leaves_no_other_to_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = iter([PermissionError(), KeyboardInterrupt(), None])
    asked = []

    def interrupt(worker: Worker) -> None:
        asked.append(worker)
        if error := next(errors):
            raise error

    monkeypatch.setattr(Worker, "interrupt", interrupt)
    with Crew(RunOptions((str(CLIP),)), 3) as crew, pytest.raises(KeyboardInterrupt), crew.interrupted_by_errors():
        raise KeyboardInterrupt
    assert asked == crew._workers


def test_an_interrupted_batch_keeps_what_is_whole(clips: Path, tmp_path: Path) -> None:
    """With --skip-existing an interrupted input leaves nothing that would be skipped the next time."""
    command = [sys.executable, "-m", "vipnas_cli", "run", f"{clips}/one.mp4", str(CLIP), f"{clips}/more/two.mp4"]
    options = [*FAST, "-o", f"{tmp_path}/{{name}}.jsonl", "--jobs", "2", "--skip-existing", "--json"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = tmp_path / ".two_people.partial.jsonl"
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size > 10_000 and (tmp_path / "one.jsonl").exists()):
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert {Path(one["input"]).name: one.get("interrupted") for one in json.loads(out)["runs"]}["two_people.mp4"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert "one.jsonl" in names
    assert not any("two_people" in name for name in names)


@pytest.mark.skipif(sys.platform == "win32", reason="kills without a word")
def test_workers_end_with_a_batch_that_is_killed(tmp_path: Path) -> None:
    clips = [str(shutil.copy(CLIP, tmp_path / f"{name}.mp4")) for name in ("one", "two")]
    options = [*FAST, "-o", f"{tmp_path}/{{name}}.jsonl", "--jobs", "2", "--skip-existing", "-q"]
    command = [sys.executable, "-m", "vipnas_cli", "run", *clips, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size > 1000 for path in tmp_path.glob(".*.partial.jsonl")) < 2:
        time.sleep(0.02)
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.kill()
    # The workers hold the pipe open until they are gone.
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.jsonl"))


def test_workers_tell_how_many_frames_are_done(tmp_path: Path) -> None:
    clips = [str(shutil.copy(CLIP, tmp_path / f"{name}.mp4")) for name in ("one", "two")]
    options = [*FAST, "-o", f"{tmp_path}/{{name}}.csv", "--jobs", "2", "--progress", "json"]
    command = [sys.executable, "-m", "vipnas_cli", "run", *clips, *options]
    err = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stderr
    rows = [
        row for line in err.splitlines() if line.startswith("{") if (row := json.loads(line))["progress"] == "inputs"
    ]
    counts = [int(row["facts"].split()[0]) for row in rows if "facts" in row]
    assert counts == sorted(counts)
    assert all(0 < count <= 2 * 175 for count in counts)
    assert rows[-1]["done"] == rows[-1]["total"] == 2
    assert len(rows) == len(counts) + 1 >= 2
