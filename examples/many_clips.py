"""Thousands of clips on many machines: Dask hands them out, a folder that all of them see holds clips and results.

    pip install 'vipnas[cluster]'
    python examples/many_clips.py clips results --workers 2                       # processes of this machine
    dask scheduler & dask worker tcp://head:8786 --nthreads 1 --nworkers 8        # on each machine
    python examples/many_clips.py /shared/clips /shared/results --scheduler tcp://head:8786

Nothing is lost: Dask gives the clip of a worker that dies to another one, and a result appears whole or not at all.
Nothing is done twice: a clip whose result is there is left out, and a worker claims a clip before it begins. It creates
`.NAME.claim-1` exclusively beside the result and touches it every few seconds. Who finds a claim waits for the result;
a claim that nobody touches for STALE_S is dead, and who creates `.NAME.claim-2` first goes on in its place. No clocks
are compared. A worker that only slept for so long may do its clip, too: the results are the same, the last one stays.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT_S, STALE_S, LOOK_S = 2.0, 15.0, 0.5


def run_clip(clip: str, target: str, budget: str) -> str:
    """Runs one clip, on a worker, unless another one does; in a word how it ended."""
    from vipnas_cli.cli.run.job import run_job
    from vipnas_cli.cli.run.options import RunOptions
    from vipnas_cli.errors import VipnasError

    options = RunOptions((clip,), out=(target,), budget=budget, threads=1, skip_existing=True, quiet=True)
    with claim(Path(target)) as ours:
        if not ours:
            return "there"
        try:
            return "done" if run_job(options) in (0, 5) else "interrupted"
        except VipnasError as error:
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
            try:
                with _path(target, last + 1).open("x") as file:
                    file.write(f"{socket.gethostname()} {os.getpid()}\n")
                break
            except FileExistsError:  # another one was first
                continue
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
    return [int(path.name.rpartition("-")[2]) for path in target.parent.glob(f".{target.name}.claim-*")]


def _beat(path: Path) -> int:
    """When a claim was touched last, 0 without one."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _touch(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT_S):
        os.utime(path)


def main() -> None:
    """Hands all clips of a folder out and counts how they ended."""
    from dask.distributed import Client, LocalCluster, as_completed

    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--budget", default="0.2GFLOPs")
    parser.add_argument(
        "--scheduler", help="for example tcp://head:8786; without it workers of this machine are started"
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    clips = sorted(path for path in options.clips.glob("**/*.mp4"))
    targets = [options.results / path.relative_to(options.clips).with_suffix(".jsonl") for path in clips]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    local = None if options.scheduler else LocalCluster(options.workers, threads_per_worker=1, dashboard_address=None)
    with Client(options.scheduler or local) as client:
        words = [[str(path.absolute()) for path in paths] for paths in (clips, targets)]
        jobs = client.map(run_clip, *words, budget=options.budget, pure=False)
        ended: Counter[str] = Counter()
        for job, how in as_completed(jobs, with_results=True):
            ended[how.partition(":")[0]] += 1
            print(f"{sum(ended.values())}/{len(clips)} {Path(words[0][jobs.index(job)]).name}: {how}", flush=True)
    if local is not None:
        local.close()
    print(", ".join(f"{count} {how}" for how, count in sorted(ended.items())))


if __name__ == "__main__":
    main()
