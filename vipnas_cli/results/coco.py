"""The poses of a run as a COCO keypoint file, which annotation and analysis tools open: images, people, a skeleton.

COCO counts ids from 1, and boxes are x, y, width, height. One image stands for each frame, by the name of its picture
or that which annotation tools give the frames of a video; every person carries the id of the run as `track_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from vipnas_cli.documents import brief
from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.people import People, are_sure, pose_scores
from vipnas_cli.pose.skeletons import Skeleton
from vipnas_cli.results.facts import POSES, Facts, ResultHeader, Results, facts_of, header_of, known_people, skeleton_of
from vipnas_cli.results.numbers import check_lengths, floats_of, ids_of
from vipnas_cli.results.sink import TextFile, rounded, rounded_scores, rounded_xywh

# COCO's marks: not labelled, labelled but hidden, which is what unsure keypoints count as, and visible.
UNKNOWN, HIDDEN, VISIBLE = 0, 1, 2
PERSON = 1


class CocoSink(TextFile):
    """One COCO document; people are written as they come, the list of images when it is closed."""

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        about = {"description": f"poses of {header.source}", **facts_of(header, skeleton)}
        size = {"width": header.width, "height": header.height}
        self._size = {name: value for name, value in size.items() if value is not None}
        self._pictures = header.pictures
        self._images: list[str] = []
        self._people = 0
        opening = f'{{"info": {json.dumps(about)},\n"categories": [{json.dumps(category(skeleton))}],\n"annotations": ['
        super().__init__(path, opening)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the people of a frame; the picture is not needed."""
        image = result.frame_index + 1
        facts = {
            "id": image,
            "file_name": self._pictures.get(result.frame_index, _name(result.frame_index)),
            **self._size,
            "frame_id": result.frame_index,
            "pts": result.pts,
            "time_s": round(result.time_s, 6),
            "key": result.key,
        }
        self._images.append(json.dumps(facts, allow_nan=False))
        rows = person_rows(result.people, image, self._people + 1)
        lines = (json.dumps(row, allow_nan=False) for row in rows)
        text = "".join(f"{',' if self._people + number else ''}\n{line}" for number, line in enumerate(lines))
        self._people += len(rows)
        self._add_frame(text)

    def _ending(self) -> str:
        return '\n],\n"images": [\n' + ",\n".join(self._images) + "\n]}\n"


def _name(index: int) -> str:
    """What annotation tools call a frame of a video."""
    return f"frame_{index:06d}.jpg"


def category(skeleton: Skeleton) -> dict[str, Any]:
    """COCO's description of a person with these keypoints; limbs count keypoints from 1."""
    limbs = [[start + 1, end + 1] for start, end in skeleton.limbs]
    names = list(skeleton.keypoints)
    return {"id": PERSON, "name": "person", "supercategory": "person", "keypoints": names, "skeleton": limbs}


def person_rows(people: People, image: int, first: int) -> list[dict[str, Any]]:
    """COCO's rows of the people of an image, their ids counted from `first`."""
    people = known_people(people)
    known = people.known
    marks = np.where(known, np.where(are_sure(people.scores), VISIBLE, HIDDEN), UNKNOWN)
    keypoint_scores = rounded_scores(people.scores)
    # Of what is written, so that whoever reads the file and writes it again gets the same.
    scores = pose_scores(np.array(keypoint_scores, np.float32).reshape(people.scores.shape))
    columns = zip(
        people.ids.tolist(),
        rounded(np.where(known[..., None], people.points_frame, np.float32(0))),
        marks.tolist(),
        keypoint_scores,
        rounded_xywh(people.boxes_frame),
        scores,
        strict=True,
    )
    return [
        {
            "id": first + row,
            "image_id": image,
            "category_id": PERSON,
            "track_id": person,
            "keypoints": [value for (x, y), mark in zip(points, seen, strict=True) for value in (x, y, mark)],
            "num_keypoints": sum(mark != UNKNOWN for mark in seen),
            "keypoint_scores": peaks,
            "score": round(float(score), 3),
            "bbox": box,
            "area": round(box[2] * box[3], 2),
            "iscrowd": 0,
        }
        for row, (person, points, seen, peaks, box, score) in enumerate(columns)
    ]


class _Image(TypedDict):
    """A frame, as CocoSink writes it."""

    id: int
    file_name: NotRequired[str]
    frame_id: int
    pts: int
    time_s: float
    key: NotRequired[bool]


class Row(TypedDict):
    """A person in a frame, as all COCO files of poses have it."""

    image_id: int
    category_id: NotRequired[int]
    track_id: int
    bbox: tuple[float, float, float, float]
    keypoints: list[float]


SomeRow = TypeVar("SomeRow", bound=Row)


class _Row(Row):
    """A person in a frame, as CocoSink writes it."""

    keypoint_scores: list[float]


class _Category(TypedDict):
    """The keypoints."""

    id: NotRequired[int]
    keypoints: list[str]
    skeleton: list[tuple[int, int]]


class _Document(TypedDict):
    """A document of CocoSink."""

    info: Facts
    images: list[_Image]
    annotations: list[_Row]
    categories: tuple[_Category]


def read_coco(path: Path | str) -> Results:
    """What a CocoSink wrote; DataError if it is something else, such as labels without times and track ids."""
    path = Path(path)
    with POSES.told(path):
        document = POSES.read(path, _Document)
        (names,) = document["categories"]
        skeleton = skeleton_of(names["keypoints"], _limbs(names))
        rows = rows_of((image["id"] for image in document["images"]), document["annotations"], names.get("id", PERSON))
        frames = []
        for image in document["images"]:
            with POSES.told(f"{shown(path)}, image {brief(image['id'])}"):
                frames.append(_frame(image, rows[image["id"]], skeleton))
        names_of = {image["frame_id"]: image.get("file_name", "") for image in document["images"]}
        pictures = {index: name for index, name in names_of.items() if name not in ("", _name(index))}
        return Results.of(replace(header_of(document["info"]), pictures=pictures), skeleton, frames)


def _limbs(names: _Category) -> list[tuple[int, int]]:
    """The limbs, keypoints counted from 0; ValueError for one that ends at no keypoint."""
    count = len(names["keypoints"])
    for start, end in names["skeleton"]:
        if not (1 <= start <= count and 1 <= end <= count):
            raise ValueError(f"the limb from {brief(start)} to {brief(end)} ends at none of {count} keypoints")
    return [(start - 1, end - 1) for start, end in names["skeleton"]]


def rows_of(images: Iterable[int], rows: Iterable[SomeRow], person: int) -> dict[int, list[SomeRow]]:
    """The people of each image by its id; ValueError for one of no image, or of another category than `person`."""
    found: dict[int, list[SomeRow]] = {image: [] for image in images}
    for number, row in enumerate(rows):
        if row["image_id"] not in found:
            raise ValueError(f"annotations[{number}] has image_id {brief(row['image_id'])}, which no image has")
        if row.get("category_id", person) != person:
            raise ValueError(f"annotations[{number}] has category_id {brief(row['category_id'])}, people have {person}")
        found[row["image_id"]].append(row)
    return found


def corners_of(rows: Sequence[Row]) -> NDArray[np.float32]:
    """The boxes (P, 4) xyxy of people."""
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    with np.errstate(over="ignore"):  # a box without end is not known
        boxes[:, 2:] += boxes[:, :2]
    return floats_of(boxes)


def _frame(image: _Image, rows: list[_Row], skeleton: Skeleton) -> FrameResult:
    count = len(skeleton.keypoints)
    check_lengths(((row["track_id"], row["keypoints"]) for row in rows), count, "keypoints", each=3)
    check_lengths(((row["track_id"], row["keypoint_scores"]) for row in rows), count, "scores")
    values = floats_of([row["keypoints"] for row in rows]).reshape(len(rows), count, 3)
    scores = floats_of([row["keypoint_scores"] for row in rows]).reshape(len(rows), count)
    points = np.where(values[..., 2:] == UNKNOWN, np.float32(np.nan), values[..., :2])
    people = People(ids_of([row["track_id"] for row in rows]), corners_of(rows), points, scores)
    return FrameResult(image["frame_id"], image["pts"], image["time_s"], people, image.get("key", False))
