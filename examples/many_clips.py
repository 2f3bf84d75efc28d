"""Thousands of clips on many machines: Dask hands them out, a folder that all of them see holds clips and results.

    pip install 'vipnas[cluster]'
    python examples/many_clips.py clips results --workers 2                       # processes of this machine

    dask scheduler                                                                # on the machine `head` only
    dask worker tcp://head:8786 --nthreads 1 --nworkers 8                         # on each machine
    python examples/many_clips.py /shared/clips /shared/results --scheduler tcp://head:8786

Clips are the videos in and below a folder, and results are named as `vipnas run` names them. A clip that fails costs
itself only; the exit code is then 1, and the same command tries it again.

Nothing is lost: Dask gives the clip of a worker that dies to another one, and a result appears whole or not at all.
Nothing is done twice: a clip whose result is there is left out, and a worker claims a clip before it begins. It creates
`.NAME.claim-1` exclusively beside the result and touches it every few seconds. Who finds a claim waits for the result;
a claim that nobody touches for STALE_S is dead, and who creates `.NAME.claim-2` first goes on in its place. No clocks
are compared. A worker that only slept for so long may do its clip, too: the results are the same, the last one stays.
"""

from __future__ import annotations

import argparse
import glob
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from vipnas_cli.cli.run.job import run_job
from vipnas_cli.cli.run.options import RunOptions
from vipnas_cli.cli.run.plan import Plan, planned
from vipnas_cli.errors import InputError, VipnasError
from vipnas_cli.spec import Budget

BEAT_S, STALE_S, LOOK_S = 2.0, 15.0, 0.5


def run_clip(run: RunOptions) -> str:
    """Runs one clip, on a worker, unless another one does; in a word how it ended."""
    try:
        with claim(Path(run.out[0])) as ours:
            if not ours:
                return "there"
            return "done" if run_job(run) in (0, 5) else "interrupted"
    except (VipnasError, OSError) as error:
        return f"failed: {error}"


@contextmanager
def claim(target: Path) -> Iterator[bool]:
    """Whether a result is ours to make; otherwise it is there, for which this waits."""
    watched, seen, since = 0, 0, time.monotonic()
    while True:
        if target.exists():
            yield False
            return
        last = max(_claims(target), default=0)
        beat = _beat(_path(target, last))
        if (last, beat) != (watched, seen):
            watched, seen, since = last, beat, time.monotonic()
        if not beat or time.monotonic() - since > STALE_S:
            with suppress(FileExistsError):  # another one was first
                with _path(target, last + 1).open("x") as file:
                    file.write(f"{socket.gethostname()} {os.getpid()}\n")
                break
        time.sleep(LOOK_S)
    done = threading.Event()
    threading.Thread(target=_touch, args=(_path(target, last + 1), done), daemon=True).start()
    try:
        yield not target.exists()
    finally:
        done.set()
        for number in _claims(target):
            _path(target, number).unlink(missing_ok=True)


def _path(target: Path, number: int) -> Path:
    return target.with_name(f".{target.name}.claim-{number}")


def _claims(target: Path) -> list[int]:
    pattern = f".{glob.escape(target.name)}.claim-*"
    return [int(path.name.rpartition("-")[2]) for path in target.parent.glob(pattern)]


def _beat(path: Path) -> int:
    """When a claim was touched last, 0 without one."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _touch(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT_S):
        os.utime(path)


def missing(clips: Path, results: Path, budget: str) -> Plan:
    """A run for each video in and below a folder that lacks its result; VipnasError without videos or budget."""
    Budget.parse(budget)
    out = f"{results.absolute()}/{{name}}.jsonl"
    plan = planned(
        RunOptions((str(clips.absolute()),), out=(out,), budget=budget, threads=1, skip_existing=True, quiet=True)
    )
    # A folder of pictures stands for a video, but not together with the videos that may lie below it.
    videos = tuple(run for run in plan.runs if Path(run.inputs[0]).is_file())
    if not videos and not plan.skipped:
        raise InputError(f"{clips} holds no videos")
    return replace(plan, runs=videos)


def hand_out(plan: Plan, scheduler: str | None, workers: int) -> Counter[str]:
    """Runs all clips of a plan on the workers of a scheduler, or on some of this machine; how many ended how."""
    from dask.distributed import Client, LocalCluster, as_completed

    ended, count = Counter(there=plan.skipped), plan.skipped + len(plan.runs)
    local = None if scheduler else LocalCluster(workers, threads_per_worker=1, dashboard_address=None)
    with Client(scheduler or local) as client:
        jobs = dict(zip(client.map(run_clip, plan.runs, pure=False), plan.runs, strict=True))
        for job in as_completed(jobs):
            # That of a clip which killed one worker after the other.
            error = job.exception()
            how = f"failed: {error}" if error else job.result()
            ended[how.partition(":")[0]] += 1
            print(f"{ended.total()}/{count} {Path(jobs[job].inputs[0]).name}: {how}", flush=True)
    if local is not None:
        local.close()
    return +ended


def main() -> None:
    """Hands all clips of a folder out and counts how they ended; exit code 1 if any is left without a result."""
    parser = argparse.ArgumentParser(description="Poses of thousands of clips on many machines.")
    parser.add_argument("clips", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--budget", default="0.2GFLOPs")
    parser.add_argument(
        "--scheduler", help="for example tcp://head:8786; without it workers of this machine are started"
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    try:
        plan = missing(options.clips, options.results, options.budget)
        for run in plan.runs:
            Path(run.out[0]).parent.mkdir(parents=True, exist_ok=True)
    except (VipnasError, OSError) as error:
        parser.error(str(error))
    ended = hand_out(plan, options.scheduler, options.workers)
    print(", ".join(f"{count} {how}" for how, count in sorted(ended.items())))
    sys.exit(1 if set(ended) - {"done", "there"} else 0)


if __name__ == "__main__":
    main()
