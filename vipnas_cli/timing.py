"""The one clock: how long calls take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

# The first rounds find cold caches.
WARM_UP = 2
_FEWEST = 3


def times_ms(
    call: Callable[[], object],
    repeats: int,
    seconds: float = math.inf,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[float]:
    """Milliseconds of each of `repeats` calls, fewer if that takes longer than `seconds`, but at least three.

    `clock` counts nanoseconds: time.process_time_ns and time.thread_time_ns leave out what other programs take.
    """
    return in_turn_ms([call], repeats, seconds, clock)[0]


def in_turn_ms(
    calls: Sequence[Callable[[], object]],
    repeats: int,
    seconds: float = math.inf,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[list[float]]:
    """Like times_ms for several calls that take turns, so that all see the same caches: a list for each call."""
    for _ in range(WARM_UP):
        for call in calls:
            call()
    found: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    for done in range(repeats):
        if done >= _FEWEST and time.perf_counter() >= end:
            break
        for call, times in zip(calls, found, strict=True):
            started = clock()
            call()
            times.append((clock() - started) / 1e6)
    return found
