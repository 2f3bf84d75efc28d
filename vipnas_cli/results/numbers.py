"""Numbers that files of poses hold as arrays; ValueError for those that no array takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import brief

_IDS = np.iinfo(np.int64)


def ids_of(ids: Sequence[int]) -> NDArray[np.int64]:
    """The ids of people (P,)."""
    large = next((one for one in ids if not _IDS.min <= one <= _IDS.max), None)
    if large is not None:
        raise ValueError(f"the id {brief(large)} of a person takes more than 64 bits")
    return np.array(ids, np.int64)


def floats_of(numbers: Sequence[Any] | NDArray[np.floating]) -> NDArray[np.float32]:
    """Places or scores (…); None is not known."""
    exact = np.array(numbers, np.float64)
    with np.errstate(over="ignore"):
        found = exact.astype(np.float32)
    large = exact[np.isinf(found) & np.isfinite(exact)]
    if large.size:
        raise ValueError(f"{large[0]:g} is too large for a place, a size or a score")
    return found


def check_lengths(lists: Iterable[tuple[int, Sized]], length: int, what: str, each: int = 1) -> None:
    """ValueError if a list, which comes with the id of its person, is longer or shorter than `length` times `each`."""
    for person, listed in lists:
        if len(listed) != each * length:
            raise ValueError(f"person {brief(person)} has {len(listed) / each:g} {what}, expected {length}")
