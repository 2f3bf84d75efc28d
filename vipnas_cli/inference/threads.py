"""How many threads and processes are sensible, and how many are allowed."""

from __future__ import annotations

import os

# More than any machine's cores; every one of them takes memory and time to start.
MOST_THREADS = 512


def usable_cores() -> int:
    """The cores that this process may use; only Linux tells which these are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
