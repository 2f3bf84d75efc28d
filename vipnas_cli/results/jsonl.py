"""Poses as JSON Lines, the layout that holds everything a run knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NotRequired, TypedDict

from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import POSES, Facts, ResultHeader, Results, facts_of, header_of, known_people, skeleton_of
from vipnas_cli.results.numbers import check_lengths, floats_of, ids_of
from vipnas_cli.results.sink import TextFile, rounded, rounded_scores


class JsonlSink(TextFile):
    """A header object, then one object per frame, with boxes, and also for frames without people.

    The object of a frame that is a picture has its name.
    """

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        self._pictures = header.pictures
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
        index = result.frame_index
        frame = {"frame": index, "pts": result.pts, "time_s": round(result.time_s, 6), "key": result.key}
        picture = {"picture": self._pictures[index]} if index in self._pictures else {}
        self._add_frame(
            json.dumps({**frame, **picture, "people": listed}, separators=(",", ":"), allow_nan=False) + "\n"
        )


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
    picture: NotRequired[str]
    people: list[_Person]


def read_jsonl(path: Path | str) -> Results:
    """What a JsonlSink wrote; DataError if it is something else."""
    path = Path(path)
    with POSES.told(path):
        first, *lines = POSES.read_text(path).splitlines() or [""]
        facts = POSES.parse(first, path, Facts)
        header, skeleton = header_of(facts), skeleton_of(facts["keypoints"])
        pictures: dict[int, str] = {}
        frames = []
        for number, line in enumerate(lines, 2):
            place = f"{shown(path)}, line {number}"
            frame = POSES.parse(line, place, _Frame)
            with POSES.told(place):
                frames.append(_frame_of_object(frame, len(skeleton.keypoints)))
            if "picture" in frame:
                pictures[frame["frame"]] = frame["picture"]
        return Results.of(replace(header, pictures=pictures), skeleton, frames)


def _frame_of_object(frame: _Frame, keypoints: int) -> FrameResult:
    listed = frame["people"]
    check_lengths(((person["id"], person["keypoints"]) for person in listed), keypoints, "keypoints")
    array = floats_of([person["keypoints"] for person in listed]).reshape(len(listed), keypoints, 3)
    people = People(
        ids_of([person["id"] for person in listed]),
        floats_of([person["box"] for person in listed]).reshape(len(listed), 4),
        array[..., :2],
        array[..., 2],
    )
    return FrameResult(frame["frame"], frame["pts"], frame["time_s"], people, frame["key"])
