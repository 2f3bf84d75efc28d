"""Poses as a PoseTrack18 file: one sequence, 15 joints of which head ends follow from shoulders and face.

The layout has places for ears that its labels never fill; neither does this. Eyes have none.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from vipnas_cli.documents import brief
from vipnas_cli.errors import DataError, OutputError
from vipnas_cli.files import shown
from vipnas_cli.media.frames import FrameResult, Image
from vipnas_cli.pose.conversion import posetrack15_from_coco17
from vipnas_cli.pose.people import People, finite_places
from vipnas_cli.pose.skeletons import COCO17, POSETRACK15, POSETRACK18_FILE, Skeleton
from vipnas_cli.results.coco import Row, corners_of, rows_of
from vipnas_cli.results.facts import POSES, Facts, ResultHeader, Results, facts_of, header_of, known_people
from vipnas_cli.results.numbers import check_lengths, floats_of, ids_of
from vipnas_cli.results.sink import TextFile, rounded, rounded_scores, rounded_xywh

PERSON = 1
# The place of each joint of POSETRACK15 in the file.
PLACES = [POSETRACK18_FILE.index("head_bottom" if name == "neck" else name) for name in POSETRACK15.keypoints]


class PoseTrackSink(TextFile):
    """One PoseTrack18 document; people are written as they come, the list of images when it is closed.

    An image has the number of its frame as id. Scores are those of the joints; the third value of a joint is 1, and 0
    where its place is not known.
    """

    def __init__(self, path: Path | str, skeleton: Skeleton, header: ResultHeader) -> None:
        if skeleton not in (COCO17, POSETRACK15):
            raise OutputError(
                f"{shown(path)} cannot hold the keypoints {shown(' '.join(skeleton.keypoints))[:80]}",
                "choose another kind of file",
            )
        self._skeleton = skeleton
        self._pictures = header.pictures
        self._images: list[str] = []
        self._people = 0
        facts = facts_of(header, POSETRACK15)
        category = {"id": PERSON, "name": "person", "supercategory": "person", "keypoints": list(POSETRACK18_FILE)}
        opening = f'{{"info": {json.dumps(facts)},\n"categories": [{json.dumps(category)}],\n"annotations": ['
        super().__init__(path, opening)

    def write(self, result: FrameResult, _image: Image | None = None, /) -> None:
        """Add the people of a frame; the picture is not needed."""
        image = result.frame_index
        name = self._pictures.get(image, _name(image))
        facts = {"id": image, "frame_id": image, "file_name": name, "pts": result.pts}
        facts = {**facts, "time_s": round(result.time_s, 6), "key": result.key}
        self._images.append(json.dumps(facts, allow_nan=False))
        rows = self._rows(known_people(result.people), image)
        lines = (json.dumps(row, allow_nan=False) for row in rows)
        text = "".join(f"{',' if self._people + number else ''}\n{line}" for number, line in enumerate(lines))
        self._people += len(rows)
        self._add_frame(text)

    def _rows(self, people: People, image: int) -> list[dict[str, object]]:
        if not len(people):
            return []
        points, sure = people.points_frame, people.scores
        if self._skeleton == COCO17:
            exact, sure_exact = posetrack15_from_coco17(points, sure)
            points, sure = exact.astype(np.float32), sure_exact.astype(np.float32)
        count = len(people), len(POSETRACK18_FILE)
        keypoints, scores = np.zeros((*count, 3)), np.zeros(count)
        known = finite_places(points)
        keypoints[:, PLACES, :2] = rounded(np.where(known[..., None], points, np.float32(0)))
        keypoints[:, PLACES, 2] = known
        scores[:, PLACES] = rounded_scores(np.where(known, sure, np.float32(0)))
        columns = zip(
            people.ids.tolist(),
            rounded_xywh(people.boxes_frame),
            keypoints.reshape(count[0], -1).tolist(),
            scores.tolist(),
            strict=True,
        )
        return [
            {
                "image_id": image,
                "id": self._people + row + 1,
                "track_id": person,
                "category_id": PERSON,
                "bbox": box,
                "keypoints": values,
                "scores": peaks,
            }
            for row, (person, box, values, peaks) in enumerate(columns)
        ]

    def _ending(self) -> str:
        return '\n],\n"images": [\n' + ",\n".join(self._images) + "\n]}\n"


def _name(index: int) -> str:
    """What PoseTrack calls a frame of a video."""
    return f"{index:06d}.jpg"


class _Image(TypedDict):
    """A frame, as PoseTrackSink writes it."""

    id: int
    file_name: NotRequired[str]
    pts: int
    time_s: float
    key: bool


class _Row(Row):
    """A person in a frame, as PoseTrackSink writes it."""

    scores: list[float]


class _Document(TypedDict):
    """A document of PoseTrackSink."""

    info: Facts
    images: list[_Image]
    annotations: list[_Row]


class _Names(TypedDict):
    """The keypoints of a kind of object."""

    keypoints: list[str]


class _Categories(TypedDict):
    """What tells the layout."""

    categories: list[_Names]


def is_posetrack(path: Path) -> bool:
    """Whether a file has the keypoints of PoseTrack18, which tell it from other COCO files."""
    try:
        found = POSES.read(path, _Categories)
    except DataError:
        return False
    return [tuple(one["keypoints"]) for one in found["categories"]] == [POSETRACK18_FILE]


def read_posetrack(path: Path | str) -> Results:
    """What a PoseTrackSink wrote, with the joints of POSETRACK15; DataError if it is something else."""
    path = Path(path)
    with POSES.told(path):
        document = POSES.read(path, _Document)
        rows = rows_of((image["id"] for image in document["images"]), document["annotations"], PERSON)
        frames = []
        for image in document["images"]:
            with POSES.told(f"{shown(path)}, image {brief(image['id'])}"):
                people = _people(rows[image["id"]])
            frames.append(FrameResult(image["id"], image["pts"], image["time_s"], people, image["key"]))
        names = {image["id"]: image.get("file_name", "") for image in document["images"]}
        pictures = {index: name for index, name in names.items() if name not in ("", _name(index))}
        return Results.of(replace(header_of(document["info"]), pictures=pictures), POSETRACK15, frames)


def _people(rows: list[_Row]) -> People:
    count = len(POSETRACK18_FILE)
    check_lengths(((row["track_id"], row["keypoints"]) for row in rows), count, "keypoints", each=3)
    check_lengths(((row["track_id"], row["scores"]) for row in rows), count, "scores")
    values = floats_of([row["keypoints"] for row in rows]).reshape(len(rows), count, 3)[:, PLACES]
    scores = floats_of([row["scores"] for row in rows]).reshape(len(rows), count)[:, PLACES]
    points = np.where(values[..., 2:] == 0, np.float32(np.nan), values[..., :2])
    return People(ids_of([row["track_id"] for row in rows]), corners_of(rows), points, scores)
