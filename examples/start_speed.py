"""How long `vipnas --help` and `vipnas --version` take beside the import of what draws the help, Typer's part of rich.

    python examples/start_speed.py [--pairs 20]

The programs take turns, and the median of each is given: by the clock, and on the processor, which is right also on a
machine that others use; the ratio is that on the processor. Not for Windows, which has no `wait4`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

MEASURE = "import typer.rich_utils"
PROGRAMS = {
    "python": ["-c", ""],
    MEASURE: ["-c", MEASURE],
    "vipnas --help": ["-m", "vipnas_cli", "--help"],
    "vipnas --version": ["-m", "vipnas_cli", "--version"],
}


@dataclass(frozen=True)
class Seconds:
    """By the clock and on the processor."""

    clock: float
    processor: float


def positive(text: str) -> int:
    """A whole number above 0; ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


def main() -> None:
    """Measures and tells."""
    parser = argparse.ArgumentParser(description="How long the command takes to start.")
    parser.add_argument("--pairs", type=positive, default=20, help="How often each program is started.")
    rounds = [{name: started(words) for name, words in PROGRAMS.items()} for _ in range(parser.parse_args().pairs)]
    for name in PROGRAMS:
        clock = median(one[name].clock for one in rounds)
        processor = median(one[name].processor for one in rounds)
        ratios = [one[name].processor / one[MEASURE].processor for one in rounds]
        print(
            f"{name:24} {1e3 * clock:5.0f} ms, on the processor {1e3 * processor:4.0f} ms, ratio {median(ratios):.2f}"
        )


def started(words: list[str]) -> Seconds:
    """What one start takes."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    clock = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return Seconds(clock, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    main()
