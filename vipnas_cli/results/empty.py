"""Frames without people, of which tables have no rows: their facts tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vipnas_cli.media.frames import FrameResult
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import FrameFacts, ResultHeader, Results, Stretch
from vipnas_cli.results.sink import MOST_MISSING


class FrameCounter:
    """Counts frames, which are `stride` apart, and keeps those without people as stretches of even times."""

    def __init__(self, stride: int) -> None:
        self._stride, self._frames = stride, 0
        self._stretches: list[Stretch] = []

    def add(self, result: FrameResult) -> None:
        """Takes the next frame."""
        self._frames += 1
        if len(result.people):
            return
        if self._stretches:
            index, pts, count, ticks = self._stretches[-1]
            since = result.pts - pts - (count - 1) * ticks
            if result.frame_index == index + count * self._stride and (count == 1 or since == ticks):
                self._stretches[-1] = index, pts, count + 1, since
                return
        self._stretches.append((result.frame_index, result.pts, 1, 0))

    @property
    def facts(self) -> dict[str, Any]:
        """What was counted, by the names of `FrameFacts`."""
        return {"frames": self._frames, "frames_without_people": tuple(self._stretches)}


def with_empty_frames(
    header: ResultHeader, skeleton: Skeleton, frames: Iterable[FrameResult], facts: FrameFacts | None
) -> Results:
    """A table that was read, with the frames without people if its facts tell of them and count as many as there are.

    A table from which rows were taken since has fewer; one of earlier versions tells of none.
    """
    known, stretches = list(frames), (facts or {}).get("frames_without_people", [])
    total = sum(max(0, count) for _, _, count, _ in stretches)
    numbers = {frame.frame_index for frame in known}
    whole = facts is not None and facts.get("frames") == len(numbers) + total and total <= MOST_MISSING
    if whole:
        known += _frames_of(stretches, header, People.nobody(len(skeleton.keypoints)))
    return Results.of(header, skeleton, known, whole)


def _frames_of(stretches: Iterable[Stretch], header: ResultHeader, nobody: People) -> Iterator[FrameResult]:
    for index, pts, count, ticks in stretches:
        for place in range(count):
            at = pts + place * ticks
            yield FrameResult(index + place * header.stride, at, float(at * header.time_base), nobody, False)
