"""Poses as JSON Lines, the layout that holds everything a run knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import numpy as np

from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import POSES, Facts, ResultHeader, Results, facts_of, header_of, known_people, skeleton_of
from vipnas_cli.results.sink import TextFile, rounded, rounded_scores


class JsonlSink(TextFile):
    """A header object, then one object per frame, with boxes, and also for frames without people."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        super().__init__(path, json.dumps(facts_of(header, skeleton)) + "\n")

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the object of a frame; the picture is not needed."""
        people = known_people(result.people)
        listed = [
            {"id": person, "box": box, "keypoints": keypoints}
            for person, box, keypoints in zip(
                people.ids.tolist(), rounded(people.boxes_frame), _keypoints(people), strict=True
            )
        ]
        frame = {"frame": result.frame_index, "pts": result.pts, "time_s": round(result.time_s, 6), "key": result.key}
        self._add_frame(json.dumps({**frame, "people": listed}, separators=(",", ":"), allow_nan=False) + "\n")


def _keypoints(people: People) -> list[list[list[float | None]]]:
    """x, y and score of each keypoint; null for places that are not known, as JSON has no other word for them."""
    return [
        [
            [x, y, score] if there else [None, None, score]
            for (x, y), there, score in zip(pose, known, peaks, strict=True)
        ]
        for pose, known, peaks in zip(
            rounded(people.points_frame), people.known.tolist(), rounded_scores(people.scores), strict=True
        )
    ]


class _Person(TypedDict):
    """A person of a frame."""

    id: int
    box: tuple[float, float, float, float]
    keypoints: list[tuple[float | None, float | None, float]]


class _Frame(TypedDict):
    """Every line but the first."""

    frame: int
    pts: int
    time_s: float
    key: bool
    people: list[_Person]


def read_jsonl(path: Path | str) -> Results:
    """What a JsonlSink wrote; DataError if it is something else."""
    path = Path(path)
    with POSES.told(path), np.errstate(over="raise"):
        first, *lines = POSES.read_text(path).splitlines() or [""]
        facts = POSES.parse(first, path, Facts)
        skeleton = skeleton_of(facts["keypoints"])
        frames = (POSES.parse(line, f"{shown(path)}, line {number}", _Frame) for number, line in enumerate(lines, 2))
        count = len(skeleton.keypoints)
        return Results.of(header_of(facts), skeleton, (_frame_of_object(frame, count) for frame in frames))


def _frame_of_object(frame: _Frame, keypoints: int) -> FrameResult:
    listed = frame["people"]
    array = np.array([person["keypoints"] for person in listed], np.float32).reshape(len(listed), keypoints, 3)
    people = People(
        np.array([person["id"] for person in listed], np.int64),
        np.array([person["box"] for person in listed], np.float32).reshape(len(listed), 4),
        array[..., :2],
        array[..., 2],
    )
    return FrameResult(frame["frame"], frame["pts"], frame["time_s"], people, frame["key"])
